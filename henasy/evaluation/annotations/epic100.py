"""EPIC-KITCHENS-100 retrieval annotations: the clips, their classes, and which clip stands for each sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError, NotFoundError
from henasy.evaluation.annotations.csv_table import TableRow, read_table
from henasy.evaluation.encoding.frame_rules import Span
from henasy.video.reference_frames import timestamp_s

TEST_FILE = "EPIC_100_retrieval_test.csv"
SENTENCE_FILE = "EPIC_100_retrieval_test_sentence.csv"

_CLIP_COLUMNS = (
    "narration_id",
    "video_id",
    "start_timestamp",
    "stop_timestamp",
    "narration",
    "verb_class",
    "all_noun_classes",
)


@dataclass(frozen=True, kw_only=True)
class EpicClip:
    """One row of the test file."""

    narration_id: str
    video_id: str
    start_s: float
    stop_s: float
    narration: str
    verb_class: int
    noun_classes: tuple[int, ...]

    @property
    def span(self) -> Span:
        """What of its video it is."""
        return Span(self.video_id, self.start_s, self.stop_s)


@dataclass(frozen=True, kw_only=True)
class EpicRetrieval:
    """The retrieval test set: V clips and S sentences."""

    clips: tuple[EpicClip, ...]
    """In the order of the test file."""
    sentence_rows: NDArray[np.int64]
    """(S,) for each sentence the row of `clips` with its narration id."""
    num_other_wordings: int
    """Sentences whose own narration column differs from that clip's; the published file has 6, shifted by a row."""

    @property
    def texts(self) -> list[str]:
        """The text of every sentence: the narration of its clip, not the sentence file's own column."""
        return [self.clips[row].narration for row in self.sentence_rows]


def load_epic_retrieval(folder: Path) -> EpicRetrieval:
    """The test set of an EPIC-KITCHENS-100 annotation folder.

    The two files may lie in `folder` or in its `retrieval_annotations`, as in the published repository.

    Raises:
        NotFoundError: if a file is missing.
        AnnotationError: if a column is missing, a value is out of range, or a narration id is repeated or unknown.

    Source: PROTOCOLS section 3.2.
    """
    test_file, sentence_file = annotation_files(folder)
    clips = read_epic_clips(test_file)
    row_of = {clip.narration_id: row for row, clip in enumerate(clips)}
    sentences = read_table(sentence_file, ("narration_id", "narration"))
    _check_different(sentences)
    sentence_rows = np.array([_clip_row(sentence, row_of) for sentence in sentences], np.int64)
    num_other = sum(
        sentence["narration"] != clips[row].narration for sentence, row in zip(sentences, sentence_rows, strict=True)
    )
    return EpicRetrieval(clips=clips, sentence_rows=sentence_rows, num_other_wordings=num_other)


def read_epic_clips(path: Path) -> tuple[EpicClip, ...]:
    """The clips of a file in the layout of `EPIC_100_validation.csv`, in its order.

    Raises:
        NotFoundError: if the file is missing.
        AnnotationError: if a column is missing, a value is out of range, or a narration id is repeated.
    """
    rows = read_table(path, _CLIP_COLUMNS)
    _check_different(rows)
    return tuple(_clip(row) for row in rows)


def annotation_files(folder: Path) -> tuple[Path, Path]:
    """The test file and the sentence file of an annotation folder.

    Raises:
        NotFoundError: if the test file is in neither place; a missing sentence file shows when it is read.
    """
    candidates = (folder, folder / "retrieval_annotations")
    for candidate in candidates:
        if (candidate / TEST_FILE).is_file():
            return candidate / TEST_FILE, candidate / SENTENCE_FILE
    raise NotFoundError(f"no {TEST_FILE} in {' or '.join(map(str, candidates))}")


def _check_different(rows: Sequence[TableRow]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.text("narration_id") in seen:
            raise row.error("narration_id", "different in every row")
        seen.add(row["narration_id"])


def _clip(row: TableRow) -> EpicClip:
    start_s, stop_s = _time_s(row, "start_timestamp"), _time_s(row, "stop_timestamp")
    if stop_s <= start_s:
        raise row.error("stop_timestamp", f"after start_timestamp {row['start_timestamp']!r}")
    return EpicClip(
        narration_id=row["narration_id"],
        video_id=row.text("video_id"),
        start_s=start_s,
        stop_s=stop_s,
        narration=row.text("narration"),
        verb_class=row.integer("verb_class"),
        noun_classes=row.class_numbers("all_noun_classes"),
    )


def _time_s(row: TableRow, column: str) -> float:
    try:
        return timestamp_s(row[column])
    except InputError as error:
        raise row.error(column, "a time as HH:MM:SS.ss") from error


def _clip_row(sentence: TableRow, row_of: dict[str, int]) -> int:
    row = row_of.get(sentence["narration_id"])
    if row is None:
        raise sentence.error("narration_id", f"one of the narration ids of {TEST_FILE}")
    return row
