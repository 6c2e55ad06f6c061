"""Queries put as narrations, against pairs written by hand."""

import pytest

from henasy.text.wording import Wording, as_narration, texts_of
from henasy.text.words import third_person


@pytest.mark.parametrize(
    ("query", "narration"),
    [
        ("open the jar", "#C C opens the jar"),
        ("Open the drawer.", "#C C opens the drawer"),
        ("opens the jar", "#C C opens the jar"),
        ("opening the jar", "#C C opens the jar"),
        ("opened the jar", "#C C opens the jar"),
        ("  pick up the mug with the left hand ", "#C C picks up the mug with the left hand"),
        ("wash hands and dry them", "#C C washes hands and dries them"),
        ("use a knife to cut the bread", "#C C uses a knife to cut the bread"),
        ("jiggle the jar", "#C C jiggles the jar"),
        ("cut onions", "#C C cuts onions"),
        ("water the plants", "#C C waters the plants"),
        ("clean up", "#C C cleans up"),
        ("wiping down the table", "#C C wipes down the table"),
        ("look at the phone", "#C C looks at the phone"),
        ("stir", "#C C stirs"),
        ("carry water", "#C C carries water"),
        ("have a drink", "#C C has a drink"),
        ("please open the drawer", "#C C opens the drawer"),
        ("Please, put the lid back on!", "#C C puts the lid back on"),
        ("slowly pour the milk", "#C C slowly pours the milk"),
        ("go to the fridge", "#C C goes to the fridge"),
        ("find the moment I pick up the knife", "#C C finds the moment I pick up the knife"),
    ],
)
def test_query_that_opens_with_a_verb_becomes_a_narration(query: str, narration: str) -> None:
    assert as_narration(query) == narration


@pytest.mark.parametrize(
    "query",
    [
        "mug",
        "the left hand",
        "cutting board",
        "water bottle",
        "light switch",
        "stack of plates",
        "open box",
        "drill on the bench",
        "chopped onions",
        "boiling water",
        "red mug on the table.",
        "a person opens the jar",
        "I open the fridge",
        "please",
        "please mug",
        "how many eggs did I crack?",
        "#C C opens the jar",
        "#O man X opens the jar",
        "...",
    ],
)
def test_other_queries_stay_as_they_are(query: str) -> None:
    assert as_narration(query) == query
    assert [texts_of(query, wording) for wording in Wording] == [(query,)] * 3


def test_third_person_of_every_spelling() -> None:
    pairs = {"open": "opens", "wash": "washes", "mix": "mixes", "do": "does", "dry": "dries", "play": "plays"}
    assert {base: third_person(base) for base in pairs} == pairs
    assert (third_person("have"), third_person("be")) == ("has", "is")
