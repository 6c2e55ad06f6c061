"""A taxonomy of nouns or verbs as Ego4D publishes it: one group of surface words per class, its row being its id."""

import ast
import csv
from collections.abc import Sequence
from pathlib import Path

from henasy.errors import AnnotationError, NotFoundError

_COLUMNS = ("label", "group")


class Taxonomy:
    """Classes by row, and the classes that a word may mean."""

    def __init__(self, labels: Sequence[str], groups: Sequence[Sequence[str]]) -> None:
        """Takes labels and surface words in the order of the rows."""
        assert len(labels) == len(groups)
        self.labels = tuple(labels)
        self.groups = tuple(tuple(word.strip().lower() for word in group) for group in groups)
        self._rows: dict[str, list[int]] = {}
        for row, group in enumerate(self.groups):
            for word in dict.fromkeys(group):
                self._rows.setdefault(word, []).append(row)

    def __len__(self) -> int:
        return len(self.labels)

    def rows_of(self, word: str) -> list[int]:
        """Every class that has this word; a word may be of several, or of none."""
        return self._rows.get(word, [])


def read_taxonomy(path: Path) -> Taxonomy:
    """The taxonomy of a `label,group` file, a group being a list literal of words.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: a column is missing, or a group is no list of words; it names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise AnnotationError(f"{path}: missing columns {missing}; it has {reader.fieldnames}")
            rows = [(row["label"], _words(row["group"], path, line)) for line, row in enumerate(reader, start=2)]
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such taxonomy") from None
    if not rows:
        raise AnnotationError(f"{path}: holds no classes")
    return Taxonomy([label for label, _ in rows], [words for _, words in rows])


def _words(group: str, path: Path, line: int) -> list[str]:
    try:
        words = ast.literal_eval(group)
    except (ValueError, SyntaxError):
        words = None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise AnnotationError(f"{path}, line {line}: group is {group!r}; allowed: a list literal of words")
    return words
