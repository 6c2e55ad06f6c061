"""Which clips of an annotation file can be trained on, and in which files their moments lie.

Folders are listed once; whether a clip's chunks are there is then looked up for all clips at a time. N clips.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.training.egoclip.annotations import ClipTable
from henasy.video.video_files import LAVILA_CHUNK_S, VideoFiles, usual_chunk_s, videos_by_id
from henasy.video.views import MAX_PAST_END_S, FilePart

REASONS = (
    "used",
    "the times are no span: end at or before start",
    "starts after the end of its video",
    "no file of its video",
    "a chunk of its video is missing",
)
"""Why a clip is left out, by the number that `Usable.reason` has for it."""
_MAX_CHUNK_S = 7200
_LAST_MOMENT_S = 1e-3
_MAX_CHUNKS = 1 << 20
_BLOCK = 1 << 18


class Usable(NamedTuple):
    """The clips that can be trained on."""

    rows: NDArray[np.int64]
    """Rows of the table, ascending."""
    reason: NDArray[np.int8]
    """(N,) row of `REASONS`; 0 for clips that are used."""

    def counts(self) -> dict[str, int]:
        """How many clips there are of each kind, but for those without any."""
        counts = np.bincount(self.reason, minlength=len(REASONS))
        return {why: int(count) for why, count in zip(REASONS, counts, strict=True) if count}


class ClipFiles:
    """The files of a table's videos."""

    def __init__(self, table: ClipTable, folder: Path, *, numbered_chunk_s: int) -> None:
        """Lists the folder.

        Args:
            table: the clips.
            folder: the videos: whole, LaViLa's `<uid>.mp4/<second>.mp4`, or EgoVLP's `<uid>/<number>.mp4`.
            numbered_chunk_s: length of the chunks of the latter.

        Raises:
            NotFoundError: there is no such folder.
            InputError: two videos have the same id, or chunks are not named as told.
        """
        found = videos_by_id(folder, numbered_chunk_s=numbered_chunk_s)
        self._table = table
        self._files = [found.get(uid) for uid in table.video_uids]
        chunked = [files for files in found.values() if files.chunk_starts_s is not None]
        self.chunk_s = usual_chunk_s(chunked) or _single_chunk_s(chunked, numbered_chunk_s)
        if self.chunk_s > _MAX_CHUNK_S:
            raise InputError(
                "videos",
                f"{folder}: chunks lie {self.chunk_s} s apart, at most {_MAX_CHUNK_S} are believed: are the files of "
                "<uid>/<number>.mp4 named by seconds? Then name the folders <uid>.mp4",
            )
        starts = [files.chunk_starts_s if files is not None else None for files in self._files]
        keys = [code * _MAX_CHUNKS + start // self.chunk_s for code, one in enumerate(starts) for start in one or ()]
        self._chunks = np.sort(np.array(keys, np.int64))
        self._end_s = np.array([one[-1] + self.chunk_s if one else 0 for one in starts])
        self._is_chunked = np.array([one is not None for one in starts])
        self._is_found = np.array([files is not None for files in self._files])

    def usable(self) -> Usable:
        """The clips whose span is one and whose files are there."""
        blocks = [range(first, min(first + _BLOCK, len(self._table))) for first in range(0, len(self._table), _BLOCK)]
        reason = np.concatenate([self._reasons(slice(block.start, block.stop)) for block in blocks])
        return Usable(np.flatnonzero(reason == 0), reason)

    def _reasons(self, rows: slice) -> NDArray[np.int8]:
        """Why each clip of a stretch of the table is left out; 0 if it is not."""
        table, video = self._table, self._table.video[rows]
        start_s, end_s = self.spans(rows)
        reason = np.zeros(len(video), np.int8)
        reason[self._is_chunked[video] & ~self._has_chunks(video, start_s, end_s)] = 4
        reason[~self._is_found[video]] = 3
        reason[(table.video_s[rows] > 0) & (table.start_s[rows] >= table.video_s[rows])] = 2
        is_span = np.isfinite(table.start_s[rows]) & np.isfinite(table.end_s[rows])
        reason[~(is_span & (table.end_s[rows] > table.start_s[rows]))] = 1
        reason[(reason == 0) & ~(end_s > start_s)] = 1
        return reason

    def spans(self, rows: NDArray[np.int64] | slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Start and end of clips, cut at the start and, where it is known, at the end of their videos."""
        table = self._table
        end_s = np.where(table.video_s[rows] > 0, np.minimum(table.end_s[rows], table.video_s[rows]), table.end_s[rows])
        return np.maximum(table.start_s[rows], 0.0), end_s

    def parts(self, row: int, times_s: NDArray[np.float64]) -> list[FilePart]:
        """The files of a clip's moments, which ascend.

        Raises:
            NotFoundError: a file is missing.
        """
        files = self._files[int(self._table.video[row])]
        if files is None:
            raise NotFoundError(f"no file of video {self._table.video_uids[int(self._table.video[row])]}")
        if files.chunk_starts_s is None:
            return [FilePart(files.paths[0], times_s)]
        chunks = [_chunk_of(files, float(time_s), self.chunk_s) for time_s in times_s]
        return [
            FilePart(files.paths[chunk], times_s[np.array(chunks) == chunk] - files.chunk_starts_s[chunk])
            for chunk in sorted(set(chunks))
        ]

    def _has_chunks(
        self, video: NDArray[np.int32], start_s: NDArray[np.float64], end_s: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """(n,) whether all chunks from clips' starts to their ends are there."""
        last_s = self._end_s[video]
        seen_end_s = np.where(end_s - last_s <= MAX_PAST_END_S, np.minimum(end_s, last_s), end_s) - _LAST_MOMENT_S
        first = np.clip(start_s // self.chunk_s, 0, _MAX_CHUNKS - 1).astype(np.int64)
        last = np.clip(np.maximum(seen_end_s, start_s) // self.chunk_s, 0, _MAX_CHUNKS - 1).astype(np.int64)
        base = video.astype(np.int64) * _MAX_CHUNKS
        end = np.searchsorted(self._chunks, base + last, side="right")
        held = end - np.searchsorted(self._chunks, base + first, side="left")
        is_whole: NDArray[np.bool_] = held == last - first + 1
        return is_whole


def check_share(usable: Usable, max_share: float, folder: Path) -> None:
    """Passes when enough of the clips can be used.

    Raises:
        AnnotationError: more than `max_share` of the clips are left out, or all.
    """
    share = 1 - len(usable.rows) / len(usable.reason)
    if share > max_share or not len(usable.rows):
        raise AnnotationError(
            f"{folder}: {share:.1%} of the clips cannot be used, at most {max_share:.1%} may be left out "
            f"(max_missing_share): {usable.counts()}"
        )


def write_left_out(path: Path, table: ClipTable, usable: Usable) -> None:
    """Lists the clips that are not used as Parquet: clip_idx, video_uid, clip_start, clip_end, reason."""
    rows = np.flatnonzero(usable.reason)
    uids = pa.DictionaryArray.from_arrays(pa.array(table.video[rows]), pa.array(table.video_uids, pa.string()))
    reasons = pa.DictionaryArray.from_arrays(pa.array(usable.reason[rows].astype(np.int32)), pa.array(REASONS))
    columns = {
        "clip_idx": table.clip_idx[rows],
        "video_uid": uids,
        "clip_start": table.start_s[rows],
        "clip_end": table.end_s[rows],
        "reason": reasons,
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    pq.write_table(pa.table(columns), temporary)
    temporary.replace(path)


def _single_chunk_s(chunked: Sequence[VideoFiles], numbered_chunk_s: int) -> int:
    """The length of chunks where no video has two: by how their folders are named."""
    is_numbered = any(files.paths[0].parent.suffix == "" for files in chunked)
    return numbered_chunk_s if is_numbered else LAVILA_CHUNK_S


def _chunk_of(files: VideoFiles, time_s: float, chunk_s: int) -> int:
    """Number of the chunk that has a moment; the last one also has what comes shortly after it."""
    starts_s = files.chunk_starts_s or ()
    start_s = math.floor(time_s / chunk_s) * chunk_s
    if start_s in starts_s:
        return starts_s.index(start_s)
    if time_s >= starts_s[-1] and time_s - (starts_s[-1] + chunk_s) <= MAX_PAST_END_S:
        return len(starts_s) - 1
    raise NotFoundError(f"{files.paths[0].parent}: no chunk that starts at {start_s} s")
