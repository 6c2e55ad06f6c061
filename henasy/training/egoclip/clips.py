"""Everything that is known of EgoClip's clips, opened from the files on disk."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.training.egoclip.annotations import ClipTable, open_clips
from henasy.training.egoclip.boxes import BoxTable, open_boxes
from henasy.training.egoclip.config import EgoClipFiles, EgoClipRecipe
from henasy.training.egoclip.files import ClipFiles, check_share, write_left_out
from henasy.training.egoclip.order import Segments, segments
from henasy.training.egoclip.phrases import PhraseTable, open_phrases
from henasy.training.egoclip.taxonomy import Taxonomy, check_tags, read_taxonomy


class EgoClips(NamedTuple):
    """The clips that can be trained on; everything but `usable` and `segments` also has those that cannot."""

    table: ClipTable
    usable: NDArray[np.int64]
    """(N,) rows of the table."""
    segments: Segments
    """Of the usable clips."""
    files: ClipFiles
    taxonomy: Taxonomy
    boxes: BoxTable | None
    phrases: PhraseTable | None
    hand_row: int | None
    """Row of the word dictionary that names boxes of hands; None leaves them without a name."""

    def __len__(self) -> int:
        return len(self.usable)

    def digests(self) -> dict[str, str | None]:
        """What tells these clips from others: the content of the files, and which clips can be used."""
        return {
            "annotations": self.table.digest,
            "usable": hashlib.sha256(self.usable.tobytes()).hexdigest(),
            "taxonomy": self.taxonomy.digest(),
            "boxes": None if self.boxes is None else self.boxes.digest,
            "phrases": None if self.phrases is None else self.phrases.digest,
        }


def open_egoclip(
    files: EgoClipFiles, recipe: EgoClipRecipe, run: Path, *, cache: Path, report: Callable[[str], None]
) -> EgoClips:
    """Opens all files, leaves out what cannot be used, and says so in `run/left_out.parquet`.

    Raises:
        NotFoundError: a file or folder is missing.
        AnnotationError: a file is not what it should be, the taxonomy does not match the tags, or too many clips cannot
            be used.
        InputError: the folder of videos is ambiguous.
    """
    table = open_clips(files.annotations, cache)
    report(f"{len(table):,} clips of {len(table.video_uids):,} videos; {table.bad_lines.num_lines} lines are no clips")
    taxonomy = read_taxonomy(files.taxonomy)
    check_tags(taxonomy, table)
    on_disk = ClipFiles(table, files.videos, numbered_chunk_s=recipe.numbered_chunk_s)
    usable = on_disk.usable()
    report(f"on disk: {usable.counts()}")
    write_left_out(run / "left_out.parquet", table, usable)
    check_share(usable, recipe.max_missing_share, files.videos)
    boxes = open_boxes(files.boxes, table, cache) if files.boxes is not None else None
    if boxes is not None:
        num_known = int(boxes.has_boxes[usable.rows].sum())
        report(f"boxes: known for {num_known:,} of {len(usable.rows):,} clips; the others are trained without")
    phrases = open_phrases(files.phrases, table, cache) if files.phrases is not None else None
    if phrases is not None:
        report(f"verb phrases: written for {phrases.num_known:,} clips; the others' come from the taxonomy")
    neighbours = segments(table.video[usable.rows], table.narration_s[usable.rows], recipe.segment_s)
    return EgoClips(
        table, usable.rows, neighbours, on_disk, taxonomy, boxes, phrases, _hand_row(taxonomy, recipe.hand_word)
    )


def _hand_row(taxonomy: Taxonomy, word: str | None) -> int | None:
    if word is None:
        return None
    if word not in taxonomy.word_rows:
        raise AnnotationError(f"hand_word is {word!r}; the taxonomy's nouns have no such word")
    return taxonomy.word_rows[word]
