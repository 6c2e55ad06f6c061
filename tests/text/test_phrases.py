"""Phrases of queries, by hand and against the annotators' verbs and nouns."""

import ast
import csv
from pathlib import Path

import pytest

from henasy.text.phrases import find_phrases
from henasy.text.words import verb_of

TABLE = [
    ("#C C opens the drawer with the left hand", ["opens the drawer with the left hand"], ["drawer", "left hand"]),
    ("put down plate", ["put down plate"], ["plate"]),
    ("turn-on tap", ["turn-on tap"], ["tap"]),
    ("cut tomato and wash the knife", ["cut tomato", "wash the knife"], ["tomato", "knife"]),
    ("person washing a plate", ["washing a plate"], ["person", "plate"]),
    ("open water bottle", ["open water bottle"], ["water bottle"]),
    ("pick up the cup to drink the water", ["pick up the cup", "drink the water"], ["cup", "water"]),
    ("#O a man X walks around the house", ["walks around the house"], ["man", "house"]),
    ("the chopping board", [], ["chopping board"]),
    ("stuffing the tortillas", ["stuffing the tortillas"], ["tortillas"]),
    ("zorbs the Red Cup", ["zorbs the Red Cup"], ["Red Cup"]),
    ("a red cup", [], ["red cup"]),
    ("left hand", [], ["left hand"]),
    ("stir", ["stir"], []),
    ("water", [], ["water"]),
    ("他 cuts the 番茄", ["cuts the 番茄"], ["他", "番茄"]),
    ("", [], []),
    (" \n", [], []),
    ("#C C", [], []),
    ("!!! ...", [], []),
]


@pytest.mark.parametrize(("query", "verbs", "nouns"), TABLE)
def test_find_phrases_table(query: str, verbs: list[str], nouns: list[str]) -> None:
    phrases = find_phrases(query)
    assert [p.text for p in phrases if p.kind == "verb"] == verbs
    assert [p.text for p in phrases if p.kind == "noun"] == nouns
    assert all(query[p.start : p.end] == p.text for p in phrases)


@pytest.mark.parametrize(
    ("form", "base"),
    [("cutting", "cut"), ("washes", "wash"), ("dries", "dry"), ("tying", "tie"), ("moved", "move"),
     ("stirred", "stir"), ("fries", "fry"), ("spilled", None), ("held", "hold"), ("knives", None)],
)  # fmt: skip
def test_verb_of_inflected_forms(form: str, base: str | None) -> None:
    assert verb_of(form) == base


def test_find_phrases_agrees_with_annotators(shared_dir: Path) -> None:
    """EPIC-KITCHENS narrations begin with their verb; the share found is measured, the floor leaves some room."""
    path = shared_dir / "data" / "epic100" / "EPIC_100_retrieval_train_sentence.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))[::4]
    begins_with_verb = has_all_nouns = 0
    for row in rows:
        phrases = find_phrases(row["narration"])
        begins_with_verb += any(p.kind == "verb" and p.start == 0 for p in phrases)
        named = " ".join(p.text for p in phrases if p.kind == "noun")
        wanted = [word for noun in ast.literal_eval(row["nouns"]) for word in noun.split(":")]
        has_all_nouns += all(word in named for word in wanted)
    assert begins_with_verb / len(rows) > 0.93
    assert has_all_nouns / len(rows) > 0.93
