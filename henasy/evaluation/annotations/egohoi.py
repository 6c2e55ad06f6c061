"""EgoHOIBench annotations: a clip, its caption, captions with another verb and captions with another noun."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.csv_table import TableRow, read_table
from henasy.evaluation.encoding.frame_rules import Span, from_video_start

FILE_NAME = "EgoMCQ_hardnegHOI.csv"
COLUMNS = ("video_uid", "clip_start", "clip_end", "clip_text", "tag_noun", "tag_verb", "verb_neg", "noun_neg")
NUM_SWAPS = 10
"""Swapped captions of a kind; fewer are padded with the last one, more are cut."""
NUM_CAPTIONS = 1 + 2 * NUM_SWAPS


@dataclass(frozen=True, kw_only=True)
class HoiItem:
    """One clip with its captions."""

    span: Span
    text: str
    """The true caption."""
    verb_swaps: tuple[str, ...]
    """`NUM_SWAPS` captions with another verb."""
    noun_swaps: tuple[str, ...]
    """`NUM_SWAPS` captions with another noun."""

    @property
    def captions(self) -> tuple[str, ...]:
        """The true caption, the verb swaps, the noun swaps."""
        return (self.text, *self.verb_swaps, *self.noun_swaps)


@dataclass(frozen=True, kw_only=True)
class EgoHoi:
    """The items in the order of the file."""

    items: tuple[HoiItem, ...]

    @property
    def num_repeated(self) -> int:
        """Items whose clip and true caption an earlier item has."""
        return len(self.items) - len({(item.span, item.text) for item in self.items})

    def distinct_spans(self) -> tuple[list[Span], NDArray[np.int64]]:
        """The spans of the items, each once, and every item's row among them (N,)."""
        row_of: dict[Span, int] = {}
        rows = [row_of.setdefault(item.span, len(row_of)) for item in self.items]
        return list(row_of), np.array(rows, np.int64)

    def distinct_texts(self) -> tuple[list[str], NDArray[np.int64]]:
        """The captions that occur, each once, and the rows among them of every item's captions (N, NUM_CAPTIONS)."""
        row_of: dict[str, int] = {}
        rows = [[row_of.setdefault(text, len(row_of)) for text in item.captions] for item in self.items]
        return list(row_of), np.array(rows, np.int64)


def load_egohoi(path: Path) -> EgoHoi:
    """The items of EgoHOIBench's tab-separated file.

    Args:
        path: the file, or the folder in which it has its published name.

    Raises:
        NotFoundError: if the file is missing.
        AnnotationError: if it is not of that layout; it names the line, the value and what is allowed.

    Source: PROTOCOLS section 3.6 (xuboshen/EgoNCEpp, EgoVLP/data_loader/EgoClip_hoi_dataset.py).
    """
    return EgoHoi(items=tuple(_item(row) for row in read_table(annotation_file(path), COLUMNS, delimiter="\t")))


def annotation_file(path: Path) -> Path:
    """The file itself, or the one of the published name in a folder."""
    return path / FILE_NAME if path.is_dir() else path


def _item(row: TableRow) -> HoiItem:
    start_s, end_s = _seconds(row, "clip_start"), _seconds(row, "clip_end")
    if end_s <= start_s:
        raise row.error("clip_end", f"after clip_start {start_s}")
    text = row.text("clip_text")
    return HoiItem(
        span=Span(row.text("video_uid"), start_s, end_s),
        text=text,
        verb_swaps=_swaps(row, "verb_neg", text),
        noun_swaps=_swaps(row, "noun_neg", text),
    )


def _seconds(row: TableRow, column: str) -> float:
    """The time; those before the video's start count as 0, as in the reference."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise row.error(column, "a finite number of seconds")
    return from_video_start(value)


def _swaps(row: TableRow, column: str, true_text: str) -> tuple[str, ...]:
    """The swapped captions. The true one among them would tie with itself, which counts as right."""
    texts = [text.strip() for text in row[column].split(",")]
    if not all(texts):
        raise row.error(column, "captions parted by single commas, none of them blank")
    if true_text.strip() in texts:
        raise row.error(column, f"captions other than the true one, {true_text.strip()!r}")
    padded = texts + [texts[-1]] * (NUM_SWAPS - len(texts))
    return tuple(padded[:NUM_SWAPS])
