"""Ego4D's taxonomy of narrated nouns and verbs: what the numbers of EgoClip's tags stand for.

Two CSV files with the columns `label,group`; a tag is a row number, a group the list of surface words that it stands
for. The published files have rows that EgoExoLearn added behind Ego4D's own 582 and 118; these are left out.
"""

import ast
import csv
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from henasy.errors import AnnotationError, NotFoundError
from henasy.text.words import verb_of
from henasy.training.egoclip.annotations import ClipTable
from henasy.training.egoclip.tags import Tags

EGO4D_NOUNS, EGO4D_VERBS = 582, 118
MIN_AGREEMENT = 0.25
"""Least share of tagged clips whose narration has a word of a tag's group; by chance it is a few percent."""
_NUM_SAMPLED = 4000


class Kinds(NamedTuple):
    """The nouns or the verbs of a taxonomy, by row."""

    labels: tuple[str, ...]
    """One word or a few, e.g. "turn off"."""
    groups: tuple[tuple[str, ...], ...]
    """Surface words, lower case."""


class Taxonomy(NamedTuple):
    """Both taxonomies, and the dictionary of all surface words of nouns."""

    nouns: Kinds
    verbs: Kinds
    words: tuple[str, ...]
    """Each surface word of a noun once, in the order of the groups."""
    word_rows: dict[str, int]
    """Row of each word in `words`."""

    def digest(self) -> str:
        """What tells it from others: labels and groups, in their order."""
        return hashlib.sha256(json.dumps([self.nouns, self.verbs]).encode()).hexdigest()


def read_taxonomy(folder: Path) -> Taxonomy:
    """The taxonomy of a folder: `narration_noun_taxonomy.csv` or `noun_taxonomy.csv`, and likewise for verbs.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: a column is missing, or a group is no list of words.
    """
    nouns = _read_kinds(folder, "noun", EGO4D_NOUNS)
    words = tuple(dict.fromkeys(word for group in nouns.groups for word in group))
    verbs = _read_kinds(folder, "verb", EGO4D_VERBS)
    return Taxonomy(nouns, verbs, words, {word: row for row, word in enumerate(words)})


def check_tags(taxonomy: Taxonomy, table: ClipTable) -> None:
    """Passes when the clips' tags are rows of this taxonomy, and mean what the narrations say.

    Raises:
        AnnotationError: a tag has no row, or too few narrations have a word of their tags' groups, as when the columns
            are swapped or the taxonomy is another one.
    """
    for column, tags, kinds in (("tag_noun", table.nouns, taxonomy.nouns), ("tag_verb", table.verbs, taxonomy.verbs)):
        highest = int(tags.values.max(initial=-1))
        if highest >= len(kinds.labels):
            raise AnnotationError(
                f"{column} has the id {highest}, the taxonomy {len(kinds.labels)} rows: it is not the one of these "
                "tags, or the columns of tags are swapped"
            )
        agreement, example = _agreement(table, tags, kinds)
        if agreement < MIN_AGREEMENT:
            raise AnnotationError(
                f"{column}: {agreement:.0%} of the narrations have a word of their tags, at least {MIN_AGREEMENT:.0%} "
                f"must: the taxonomy is not the one of these tags, or the columns of tags are swapped; e.g. {example}"
            )


def has_word(text: str, group: tuple[str, ...]) -> bool:
    """Whether a narration has one of these words, in any form."""
    tokens = text.lower().replace(".", " ").replace(",", " ").split()
    forms = {*tokens, *(token.removesuffix("s") for token in tokens), *filter(None, map(verb_of, tokens))}
    joined = f" {' '.join(tokens)} "
    return any(word in forms or (" " in word and f" {word}" in joined) for word in group)


def _agreement(table: ClipTable, tags: Tags, kinds: Kinds) -> tuple[float, str]:
    """Share of a sample of tagged clips whose narration has a word of any of its tags, and one that has none."""
    tagged = np.flatnonzero(np.diff(tags.offsets))
    rows = tagged[np.linspace(0, len(tagged) - 1, min(_NUM_SAMPLED, len(tagged))).astype(np.int64)]
    num_agreeing, example = 0, ""
    for row, text in zip(rows, table.texts(rows), strict=True):
        ids = tags.of(int(row)).tolist()
        is_agreeing = any(has_word(text, kinds.groups[number]) for number in ids)
        num_agreeing += is_agreeing
        if not is_agreeing and not example:
            example = f"{text!r} is tagged {[kinds.labels[number] for number in ids]}"
    return num_agreeing / max(1, len(rows)) if len(rows) else 1.0, example


def _read_kinds(folder: Path, kind: str, num_rows: int) -> Kinds:
    paths = [folder / f"narration_{kind}_taxonomy.csv", folder / f"{kind}_taxonomy.csv"]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise NotFoundError(f"{folder} has neither {paths[0].name} nor {paths[1].name}")
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in ("label", "group") if name not in (reader.fieldnames or ())]
        if missing:
            raise AnnotationError(f"{path}: missing columns {missing}; it has {reader.fieldnames}")
        rows = list(reader)[:num_rows]
    labels = tuple(row["label"].split("_(")[0].replace("_", " ") for row in rows)
    return Kinds(labels, tuple(_group(path, number, row["group"]) for number, row in enumerate(rows)))


def _group(path: Path, number: int, text: str) -> tuple[str, ...]:
    try:
        words = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise AnnotationError(f"{path}: the group of row {number} is {text[:60]!r}; it must be a list of words")
    return tuple(word.strip().lower() for word in words)
