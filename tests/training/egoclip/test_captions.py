"""The taxonomy, nouns and phrases of narrations, and a taxonomy that is not the one of the tags."""

from pathlib import Path

import pytest
from small_egoclip import Row, write_annotations, write_taxonomy

from henasy.errors import AnnotationError, NotFoundError
from henasy.training.egoclip.annotations import open_clips
from henasy.training.egoclip.captions import caption_nouns, phrase_number, plain_phrase
from henasy.training.egoclip.taxonomy import Taxonomy, check_tags, read_taxonomy


@pytest.fixture
def taxonomy(tmp_path: Path) -> Taxonomy:
    return read_taxonomy(write_taxonomy(tmp_path / "taxonomy"))


def test_taxonomy_lists_every_surface_word_once(taxonomy: Taxonomy) -> None:
    assert taxonomy.words == ("cup", "mug", "knife", "chopping board", "board", "hand")
    assert taxonomy.verbs.labels == ("take", "turn off", "wash")
    assert taxonomy.word_rows["board"] == 4


def test_taxonomy_of_ego4d_has_its_own_rows_alone(shared_dir: Path) -> None:
    found = read_taxonomy(shared_dir / "data" / "ego4d")
    assert (len(found.nouns.labels), len(found.verbs.labels)) == (582, 118)
    assert (found.nouns.labels[12], found.nouns.labels[115], found.nouns.labels[192]) == ("bag", "cloth", "floor")
    assert found.verbs.labels[93] == "take"
    assert len(found.words) == len(set(found.words)) == 1656


@pytest.mark.parametrize(
    ("text", "tags", "words"),
    [
        ("#C C picks the cup from the chopping board.", [0, 2], ["chopping board", "cup"]),
        ("#C C puts cups, mugs and knives on the board", [0, 1, 2], ["cup", "mug", "board"]),
        ("#C C washes the hand", [3], []),  # hands are passed over
        ("#C C picks the knife", [0], []),  # the word's group is not tagged
        ("#C C picks the cup cup", [0], ["cup"]),
        ("", [0], []),
        ("#C C picks the cup", [], []),
    ],
)
def test_caption_nouns(taxonomy: Taxonomy, text: str, tags: list[int], words: list[str]) -> None:
    assert [noun.word for noun in caption_nouns(text, tags, taxonomy)] == words


def test_caption_nouns_finds_words_that_end_in_s_and_at_most_four(shared_dir: Path) -> None:
    found = read_taxonomy(shared_dir / "data" / "ego4d")
    glass = next(row for row, group in enumerate(found.nouns.groups) if "glass" in group)
    assert [noun.word for noun in caption_nouns("#C C fills the glass", [glass], found)] == ["glass"]
    words = ("apple", "bag", "box", "cloth", "floor")
    rows = [next(row for row, group in enumerate(found.nouns.groups) if word in group) for word in words]
    named = caption_nouns("#C C puts apple bags boxes cloth and floor", rows, found)
    assert [noun.word for noun in named] == ["apple", "bag", "box", "cloth"]


@pytest.mark.parametrize(
    ("text", "verbs", "nouns", "phrase"),
    [
        ("#C C picks the knife from the chopping board", [0], [1, 2], "picking the knife"),
        ("#C C grabs the knife", [0], [1], "taking the knife"),  # no word of the group: its label
        ("#C C turns off the tap", [1], [], "turning off"),
        ("#C C stirs the soup", [], [], "stirring"),
        ("#C C a b", [], [], ""),
    ],
)
def test_plain_phrase(taxonomy: Taxonomy, text: str, verbs: list[int], nouns: list[int], phrase: str) -> None:
    assert plain_phrase(text, verbs, nouns, taxonomy) == phrase


def test_phrase_number_is_the_same_for_equal_phrases_alone() -> None:
    assert phrase_number("picking  the Cup") == phrase_number("picking the cup") >= 0
    assert phrase_number("picking the cup") != phrase_number("picking the mug")
    assert phrase_number(" ") == -1
    assert phrase_number("picking the cup") == 1751186421419138444  # the same in every process and version


@pytest.mark.parametrize(
    ("tag_verb", "tag_noun", "message"),
    [
        ("[0]", "[4]", "tag_noun has the id 4, the taxonomy 4 rows"),
        ("[3]", "[0]", "tag_verb has the id 3, the taxonomy 3 rows"),
        ("[0]", "[1]", r"tag_noun: 0% of the narrations .* e.g. '#C C picks the cup' is tagged \['knife'\]"),
        ("[2]", "[0]", "tag_verb: 0% of the narrations have a word of their tags"),
    ],
)
def test_check_tags_refuses_another_taxonomy_and_swapped_columns(
    tmp_path: Path, taxonomy: Taxonomy, tag_verb: str, tag_noun: str, message: str
) -> None:
    rows = [Row("v", n, n + 1, tag_verb=tag_verb, tag_noun=tag_noun) for n in range(20)]
    table = open_clips(write_annotations(tmp_path / "egoclip.csv", rows), tmp_path / "cache")
    with pytest.raises(AnnotationError, match=message):
        check_tags(taxonomy, table)


def test_check_tags_passes_without_tags(tmp_path: Path, taxonomy: Taxonomy) -> None:
    rows = [Row("v", 0, 1, tag_verb="[]", tag_noun="[]"), Row("v", 1, 2)]
    check_tags(taxonomy, open_clips(write_annotations(tmp_path / "egoclip.csv", rows), tmp_path / "cache"))


@pytest.mark.parametrize("group", ["__import__('os').system('true')", "['a', 3]", "word", "[''", "{'a'}"])
def test_taxonomy_groups_that_are_no_lists_of_words(tmp_path: Path, group: str) -> None:
    write_taxonomy(tmp_path)
    (tmp_path / "narration_noun_taxonomy.csv").write_text(f'label,group\ncup,"{group}"\n')
    with pytest.raises(AnnotationError, match="must be a list of words"):
        read_taxonomy(tmp_path)


def test_taxonomy_missing_file_or_column(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has neither narration_noun_taxonomy"):
        read_taxonomy(tmp_path)
    write_taxonomy(tmp_path)
    (tmp_path / "narration_verb_taxonomy.csv").write_text("label,words\ntake,['take']\n")
    with pytest.raises(AnnotationError, match=r"missing columns \['group'\]"):
        read_taxonomy(tmp_path)
