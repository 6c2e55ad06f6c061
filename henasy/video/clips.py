"""Clips with their frames, streamed in order of time with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henasy.errors import InputError
from henasy.video.decode import FrameRun, find_decoder
from henasy.video.plan import frame_times

_PENDING = -1
_REFUSED = -2


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """Some clips of one video and the frames they share. Rows of all arrays are identity: they travel together."""

    spans: NDArray[np.float64]
    """(N, 2) start and end in seconds on the container's clock."""
    clip_rows: NDArray[np.int64]
    """(N,) the row of each clip among the spans that were asked for."""
    frames: NDArray[np.uint8]
    """(F, H, W, 3) RGB, displayed orientation, each frame once, in order of time."""
    frame_times_s: NDArray[np.float64]
    """(F,) when each frame starts to be displayed."""
    frame_rows: NDArray[np.int64]
    """(N, T) the frames of each clip, as rows of `frames`."""


class RefusedClips(NamedTuple):
    """Clips that cannot be had, as rows of the spans that were asked for, and why."""

    rows: NDArray[np.int64]
    reason: str


def read_clips(
    path: Path | str,
    spans: ArrayLike,
    num_frames: int,
    *,
    batch_clips: int = 32,
    decoder: str = "pyav",
    on_progress: Callable[[], None] | None = None,
) -> Iterator[ClipBatch | RefusedClips]:
    """Every clip once, in a batch or among the refused, in order of its last frame.

    Memory holds the frames of one batch and of the clips that overlap it, however long the video is.

    Args:
        path: the video.
        spans: (N, 2) start and end in seconds on the container's clock.
        num_frames: frames per clip, at the midpoints of as many equal parts of its span.
        batch_clips: clips per batch; refused ones count, so a batch may hold fewer.
        decoder: `pyav` or `decord`.
        on_progress: called often while decoding advances.

    Raises:
        InputError: spans that are not finite, start before 0, or are empty.
        VideoError: the file as a whole cannot be read.
    """
    checked = check_spans(spans)
    if batch_clips < 1:
        raise InputError("batch_clips", f"must be at least 1, got {batch_clips}")
    frames_at = find_decoder(decoder)
    collector = _Collector(checked, frame_times(checked, num_frames), batch_clips)
    return _stream(collector, frames_at(Path(path), collector.times_s, on_progress or _no_progress))


def _stream(collector: _Collector, runs: Iterator[FrameRun]) -> Iterator[ClipBatch | RefusedClips]:
    for run in runs:
        collector.add(run)
        while collector.is_batch_ready:
            yield from collector.take_batch()


class _Collector:
    """Holds answered times until all clips of a batch are complete."""

    def __init__(self, spans: NDArray[np.float64], times_s: NDArray[np.float64], batch_clips: int) -> None:
        flat, slots = np.unique(times_s, return_inverse=True)
        self.times_s: NDArray[np.float64] = flat
        self._spans = spans
        self._slots = slots.reshape(times_s.shape)
        order = np.lexsort((self._slots[:, 0], self._slots[:, -1])) if len(spans) else np.empty(0, np.int64)
        self._batches = [order[i : i + batch_clips] for i in range(0, len(order), batch_clips)]
        first_slots = [int(self._slots[rows].min()) for rows in self._batches]
        self._kept_from = [*np.minimum.accumulate(first_slots[::-1])[::-1].tolist()[1:], len(flat)]
        self._next_batch = 0
        self._num_answered = 0
        self._serial_of = np.full(len(flat), _PENDING, dtype=np.int64)
        self._frames: dict[int, tuple[float, NDArray[np.uint8]]] = {}
        self._faults: dict[int, str] = {}
        self._num_frames = 0

    @property
    def is_batch_ready(self) -> bool:
        if self._next_batch >= len(self._batches):
            return False
        return int(self._slots[self._batches[self._next_batch]].max()) < self._num_answered

    def add(self, run: FrameRun) -> None:
        """Take in the answer to the next requested times."""
        assert run.first == self._num_answered
        if run.image is None:
            self._serial_of[run.first : run.last] = _REFUSED
            self._faults.update(dict.fromkeys(range(run.first, run.last), run.fault))
        else:
            self._serial_of[run.first : run.last] = self._num_frames
            self._frames[self._num_frames] = (run.time_s, run.image)
            self._num_frames += 1
        self._num_answered = run.last

    def take_batch(self) -> Iterator[ClipBatch | RefusedClips]:
        """The next batch, and the refused among its clips; frames that no later batch needs are let go."""
        rows = self._batches[self._next_batch]
        serials = self._serial_of[self._slots[rows]]
        is_good = (serials >= 0).all(axis=1)
        if is_good.any():
            yield self._batch(rows[is_good], serials[is_good])
        yield from self._refused(rows[~is_good])
        self._forget_before(self._kept_from[self._next_batch])
        self._next_batch += 1

    def _batch(self, rows: NDArray[np.int64], serials: NDArray[np.int64]) -> ClipBatch:
        unique, frame_rows = np.unique(serials, return_inverse=True)
        held = [self._frames[int(serial)] for serial in unique]
        return ClipBatch(
            spans=self._spans[rows],
            clip_rows=rows.astype(np.int64),
            frames=np.stack([image for _, image in held]),
            frame_times_s=np.array([time_s for time_s, _ in held]),
            frame_rows=frame_rows.reshape(serials.shape).astype(np.int64),
        )

    def _refused(self, rows: NDArray[np.int64]) -> Iterator[RefusedClips]:
        by_reason: dict[str, list[int]] = {}
        for row in rows:
            reason = next(self._faults[slot] for slot in self._slots[row].tolist() if slot in self._faults)
            by_reason.setdefault(reason, []).append(int(row))
        for reason, clips in by_reason.items():
            yield RefusedClips(np.array(clips, dtype=np.int64), reason)

    def _forget_before(self, slot: int) -> None:
        for index in [each for each in self._faults if each < slot]:
            del self._faults[index]
        known = self._serial_of[slot : self._num_answered]
        kept_from = min((int(serial) for serial in known if serial >= 0), default=self._num_frames)
        for serial in [each for each in self._frames if each < kept_from]:
            del self._frames[serial]


def check_spans(spans: ArrayLike) -> NDArray[np.float64]:
    """The spans as (N, 2) float64.

    Raises:
        InputError: one is not finite, starts before 0, or is empty.
    """
    checked = np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    wrong = ~(np.isfinite(checked).all(axis=1) & (checked[:, 0] >= 0) & (checked[:, 1] > checked[:, 0]))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError("spans", f"row {row} is {checked[row].tolist()}; needs finite 0 <= start < end")
    return checked


def _no_progress() -> None:
    pass
