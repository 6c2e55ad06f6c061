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
    # requests and questions
    ("please open the drawer", ["open the drawer"], ["drawer"]),
    ("could you please find the red bowl", ["find the red bowl"], ["red bowl"]),
    ("can you show me where I put the keys", ["show", "put the keys"], ["keys"]),
    ("find the moment I pick up the knife", ["find the moment", "pick up the knife"], ["moment", "knife"]),
    ("I want to see the knife", ["see the knife"], ["knife"]),
    ("where did I leave my phone", ["leave my phone"], ["phone"]),
    ("how many eggs did I crack?", ["crack"], ["eggs"]),
    ("what is in the pot?", [], ["pot"]),
    # how and where to
    ("pulls the mug closer", ["pulls the mug closer"], ["mug"]),
    ("drags the sponge closer with the left hand", ["drags the sponge closer with the left hand"],
     ["sponge", "left hand"]),
    ("moves the cup further away", ["moves the cup further away"], ["cup"]),
    ("pushes the plate to the left", ["pushes the plate to the left"], ["plate"]),
    ("rotate the knob clockwise", ["rotate the knob clockwise"], ["knob"]),
    ("carry the bag upstairs", ["carry the bag upstairs"], ["bag"]),
    ("neatly fold the shirt", ["fold the shirt"], ["shirt"]),
    ("slice the cucumber thinly", ["slice the cucumber thinly"], ["cucumber"]),
    ("open the jelly", ["open the jelly"], ["jelly"]),
    ("chop the parsley very fine", ["chop the parsley very fine"], ["parsley"]),
    ("mix it well", ["mix it well"], []),
    # particles
    ("picks the knife up", ["picks the knife up"], ["knife"]),
    ("put the lid back on", ["put the lid back on"], ["lid"]),
    ("turns off the tap", ["turns off the tap"], ["tap"]),
    ("goes down the stairs", ["goes down the stairs"], ["stairs"]),
    # what became of a thing
    ("wipe the table clean", ["wipe the table clean"], ["table"]),
    ("twist the cap open", ["twist the cap open"], ["cap"]),
    ("fold the towel in half", ["fold the towel in half"], ["towel"]),
    ("take the clean plate", ["take the clean plate"], ["clean plate"]),
    ("the pan has been put on the stove", ["put on the stove"], ["pan", "stove"]),
    ("a mug being washed", ["washed"], ["mug"]),
    ("the man has a hot cup", ["has a hot cup"], ["man", "hot cup"]),
    # several things, none, and numbers
    ("puts the knife and the fork in the drawer", ["puts the knife and the fork in the drawer"],
     ["knife", "fork", "drawer"]),
    ("cut the tomato, the onion and the pepper", ["cut the tomato, the onion and the pepper"],
     ["tomato", "onion", "pepper"]),
    ("open the fridge and take out milk", ["open the fridge", "take out milk"], ["fridge", "milk"]),
    ("cut bread without a knife", ["cut bread without a knife"], ["bread", "knife"]),
    ("crack 3 eggs", ["crack 3 eggs"], ["eggs"]),
    ("wash six cups", ["wash six cups"], ["cups"]),
    # prepositions of several words
    ("the blue plate next to the sink", [], ["blue plate", "sink"]),
    ("place the cup on top of the box", ["place the cup on top of the box"], ["cup", "box"]),
    ("the man in front of the stove", [], ["man", "stove"]),
    # unknown words where a verb must stand
    ("cutt the bread", ["cutt the bread"], ["bread"]),
    ("wahses the plate", ["wahses the plate"], ["plate"]),
    ("", [], []),
    (" \n", [], []),
    ("#C C", [], []),
    ("!!! ...", [], []),
]  # fmt: skip


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
