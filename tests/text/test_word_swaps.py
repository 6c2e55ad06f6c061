"""Captions with a swapped word: inflection, agreement, no synonyms, the same ones again for the same seed."""

import ast
import csv
import re
from pathlib import Path

import numpy as np
import pytest

from henasy.text.word_swaps import WordSwaps

VERBS = [["take", "pick", "grab"], ["put", "place", "drop"], ["cut", "slice", "trim"], ["open", "uncover"], ["stare"]]
NOUNS = [["cup", "mug"], ["apple"], ["knife", "blade"], ["box"], ["chopping board", "board"], ["man", "hand"]]
TAKE, PUT, CUT, OPEN = range(4)
CUP, APPLE, KNIFE, BOX, BOARD = range(5)
EVERYTHING = 50


@pytest.fixture(scope="module")
def swaps() -> WordSwaps:
    return WordSwaps(VERBS, NOUNS)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("caption", "row", "expected"),
    [
        ("#C C opens the box", OPEN, {"takes", "picks", "grabs", "puts", "places", "drops", "cuts", "slices", "trims"}),
        ("#C C is opening the box", OPEN, {"taking", "picking", "grabbing", "putting", "cutting", "slicing"}),
        ("open the box", OPEN, {"take", "put", "cut"}),
        ("#C C opened the box", OPEN, {"picked", "grabbed", "placed", "dropped", "sliced", "trimmed"}),
    ],
)
def test_verb_swaps_keep_the_inflection(swaps: WordSwaps, caption: str, row: int, expected: set[str]) -> None:
    found = swaps.verb_swaps(caption, [row], rng(1), EVERYTHING)
    true = re.search(r"open\w*", caption)
    assert true is not None
    before, after = caption[: true.start()], caption[true.end() :]
    assert all(text.startswith(before) and text.endswith(after) for text in found)
    words = {text[len(before) : len(text) - len(after)] for text in found}
    assert expected <= words
    assert not words & {"opens", "uncovers", "opening", "uncovering", "open", "uncover", "opened", "uncovered"}


def test_verb_swap_of_the_past_uses_no_irregular_verb(swaps: WordSwaps) -> None:
    text = " ".join(swaps.verb_swaps("#C C opened the box", [OPEN], rng(1), EVERYTHING))
    assert not re.search(r"taked|putted|cutted|\bput\b|took", text)


def test_verb_swap_takes_the_particle_along(swaps: WordSwaps) -> None:
    found = swaps.verb_swaps("#C C picks up the cup", [TAKE], rng(1), EVERYTHING)
    assert "#C C opens the cup" in found
    assert not any(" up" in text for text in found)
    assert not any(re.search(r"takes|grabs", text) for text in found)


def test_verb_swap_without_the_tagged_verb_is_none(swaps: WordSwaps) -> None:
    assert swaps.verb_swaps("#C C opens the box", [CUT], rng(1), 5) == []
    assert swaps.verb_swaps("#C C opens the box", [], rng(1), 5) == []
    assert swaps.verb_swaps("", [OPEN], rng(1), 5) == []


@pytest.mark.parametrize(
    ("caption", "rows", "expected", "refused"),
    [
        ("#C C lifts a cup", [CUP], {"an apple", "a knife", "a box", "a board", "a chopping board"}, {"mug", "man"}),
        ("#C C lifts an apple", [APPLE], {"a cup", "a mug", "a blade"}, {"an cup", "man", "hand"}),
        ("#C C lifts the cups", [CUP], {"the apples", "the knives", "the boxes"}, {"mugs", "men"}),
        ("#C C lifts the knives", [KNIFE], {"the cups", "the boards"}, {"blade"}),
    ],
)
def test_noun_swaps_keep_number_and_article(
    swaps: WordSwaps, caption: str, rows: list[int], expected: set[str], refused: set[str]
) -> None:
    found = {text.removeprefix("#C C lifts ") for text in swaps.noun_swaps(caption, rows, rng(2), EVERYTHING)}
    assert expected <= found
    assert not any(word in text for word in refused for text in found)


def test_noun_swap_changes_one_noun_and_no_part_of_a_name(swaps: WordSwaps) -> None:
    caption = "#C C puts a cup on the chopping board"
    found = swaps.noun_swaps(caption, [CUP, BOARD], rng(3), EVERYTHING)
    assert len(found) > 2
    for text in found:
        has_kept = ["a cup" in text, "chopping board" in text]
        assert sum(has_kept) == 1, text
        assert "chopping the" not in text
        assert "chopping knife" not in text


def test_noun_swap_leaves_out_what_the_caption_names_already(swaps: WordSwaps) -> None:
    found = swaps.noun_swaps("#C C cuts the apple with a blade", [APPLE], rng(4), EVERYTHING)
    assert found
    assert not any(word in text.split(" with ")[0] for text in found for word in ("knife", "blade"))


def test_swaps_depend_on_the_seed_alone_and_are_distinct(swaps: WordSwaps) -> None:
    caption = "#C C picks up the cup"
    once = [swaps.verb_swaps(caption, [TAKE], rng(7, step), 3) for step in range(8)]
    again = [swaps.verb_swaps(caption, [TAKE], rng(7, step), 3) for step in range(8)]
    assert once == again
    assert len({tuple(found) for found in once}) > 1
    assert all(len(set(found)) == len(found) == 3 and caption not in found for found in once)


def test_swaps_of_another_class_come_before_a_second_word_of_one(swaps: WordSwaps) -> None:
    found = swaps.noun_swaps("#C C lifts the cup", [CUP], rng(5), 4)
    words = [text.removeprefix("#C C lifts the ") for text in found]
    classes = [row for word in words for row, group in enumerate(NOUNS) if word in group]
    assert sorted(classes) == [APPLE, KNIFE, BOX, BOARD]


def groups(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return [ast.literal_eval(row["group"]) for row in csv.DictReader(stream)]


def test_swaps_of_the_published_taxonomy_are_no_synonyms(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "ego4d"
    verbs, nouns = groups(folder / "narration_verb_taxonomy.csv"), groups(folder / "narration_noun_taxonomy.csv")
    real = WordSwaps(verbs, nouns)
    take = [row for row, group in enumerate(verbs) if "pick" in group]
    found = real.verb_swaps("#C C picks a cup from the table", take, rng(0), 200)
    assert len(found) > 90
    assert not {"#C C takes a cup from the table", "#C C grabs a cup from the table"} & set(found)
    cup = [row for row, group in enumerate(nouns) if "cup" in group]
    swapped = real.noun_swaps("#C C picks a cup", cup, rng(0), 1000)
    assert len(swapped) > 800
    synonyms = {word for row in cup for word in nouns[row]}
    assert not {re.sub(r"#C C picks an? ", "", text) for text in swapped} & synonyms
    assert not any(re.search(r"\ba [aeio]|\ban [^aeio]", text) for text in swapped)
