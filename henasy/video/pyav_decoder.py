"""Decodes with PyAV: one pass in order of time, seeking over what nobody asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import av.error
import numpy as np
from numpy.typing import NDArray

from henasy.errors import VideoError
from henasy.video.container import VideoSource, open_video
from henasy.video.decode import TIME_TOLERANCE_S, FrameRun
from henasy.video.display import Displayer
from henasy.video.pictures import Picture, read_pictures

_MIN_SEEK_GAIN_S = 0.5
"""Footage that a seek must skip to be worth its cost."""
_LEADING_FRAMES = 17
"""A key frame may be displayed this many frames after it is decoded: the codecs' deepest reordering."""
_SEEKABLE_FORMATS = ("mov,", "matroska")
"""Containers with an index of key frames; in the others a seek may land anywhere."""
_DOUBT_S = 10.0
"""For how long after a frame damage may still come to light that discredits it; frames are held back that long."""


def frames_at(path: Path, times_s: NDArray[np.float64], on_progress: Callable[[], None]) -> Iterator[FrameRun]:
    """The frame displayed at each requested time; see `henasy.video.decode.FramesAt`."""
    with open_video(path) as source:
        yield from _confirmed(_found_frames(source, times_s, on_progress))


def _found_frames(
    source: VideoSource, times_s: NDArray[np.float64], on_progress: Callable[[], None]
) -> Iterator[FrameRun | Picture]:
    """Answers as they are found, and before them each picture that says whether earlier ones can be trusted."""
    reader = _Reader(source, on_progress, is_sparse=_is_sparse(times_s))
    answers = _Answers(times_s, source)
    previous: Picture | None = None
    while not answers.is_complete:
        if reader.seek_towards(answers.next_time_s):
            previous = None
        picture = reader.next_picture()
        if previous is None and reader.has_overshot(picture, answers.next_time_s):
            reader.restart()
            continue
        if picture is not None and (picture.is_clean_key or picture.is_discrediting):
            yield picture
        yield from answers.until(previous, picture)
        previous = picture


def _confirmed(found: Iterator[FrameRun | Picture]) -> Iterator[FrameRun]:
    """The answers in order, refused after all where damage that came to light later discredits them."""
    held: deque[FrameRun] = deque()
    for item in found:
        if isinstance(item, FrameRun):
            held.append(item)
            while held[0].time_s < item.time_s - _DOUBT_S:
                yield held.popleft()
            continue
        if item.is_discrediting:
            why = f"{item.gap or item.fault}, noticed at {item.time_s:.3f} s"
            held = deque(run._replace(image=None, fault=run.fault or why) for run in held)
        yield from held
        held.clear()
    yield from held


def _is_sparse(times_s: NDArray[np.float64]) -> bool:
    return bool((np.diff(times_s, prepend=0.0) > _MIN_SEEK_GAIN_S).any())


class _Reader:
    """Pictures in display order, with what is known of their faults."""

    def __init__(self, source: VideoSource, on_progress: Callable[[], None], *, is_sparse: bool) -> None:
        self._source = source
        self._on_progress = on_progress
        if is_sparse and source.container.format.name.startswith("matroska"):
            self._to_start()  # loads the index, which this format reads at the first seek
        self._pictures = read_pictures(source, on_progress)
        self._position_s = 0.0
        self._considered_s = -1.0
        self._is_seeking = False
        self._may_seek = source.container.format.name.startswith(_SEEKABLE_FORMATS)

    def next_picture(self) -> Picture | None:
        """The next picture, or None at the end of what can be read."""
        picture = next(self._pictures, None)
        if picture is not None:
            self._position_s = picture.time_s
        return picture

    def seek_towards(self, wanted_s: float) -> bool:
        """Jump to the last key frame that surely precedes a time, if that saves decoding; whether it did."""
        self._is_seeking = False
        if not self._may_seek or wanted_s == self._considered_s:
            return False
        self._considered_s = wanted_s
        if wanted_s - self._position_s < _MIN_SEEK_GAIN_S:
            return False
        margin_s = _LEADING_FRAMES * self._source.frame_s
        if self._key_before(wanted_s - 2 * margin_s) - self._position_s < _MIN_SEEK_GAIN_S:
            return False
        try:
            self._source.container.seek(self._source.ticks(wanted_s - margin_s), stream=self._source.stream)
        except av.error.FFmpegError:
            self.restart()
            return True
        self._pictures = read_pictures(self._source, self._on_progress)
        self._is_seeking = True
        return True

    def has_overshot(self, picture: Picture | None, wanted_s: float) -> bool:
        """Whether a seek went past the wanted time, so that only reading from the start can answer it."""
        if not self._is_seeking:
            return False
        return picture is None or bool(picture.fault) or picture.time_s > wanted_s + TIME_TOLERANCE_S

    def restart(self) -> None:
        """Read from the start again, and never seek in this file any more: its index is wrong."""
        self._to_start()
        self._pictures = read_pictures(self._source, self._on_progress)
        self._may_seek = self._is_seeking = False

    def _to_start(self) -> None:
        stream = self._source.stream
        try:
            self._source.container.seek(stream.start_time or 0, stream=stream)
        except av.error.FFmpegError as error:
            raise VideoError(f"{self._source.path}: seeking to its start failed: {error.strerror}") from error

    def _key_before(self, time_s: float) -> float:
        """Decoding time of the last key frame up to a time, on which a seek lands or after it; 0 if unknown.

        The index of some formats counts decoding times, the seek display times: hence the second margin.
        """
        entries = self._source.stream.index_entries
        index = entries.search_timestamp(self._source.ticks(time_s), backward=True)
        return self._source.time_s(entries[index].timestamp) if index >= 0 else 0.0


class _Answers:
    """Meets requested times with pictures that arrive in display order."""

    def __init__(self, times_s: NDArray[np.float64], source: VideoSource) -> None:
        self._times_s = times_s
        self._frame_s = source.frame_s
        self._displayer = Displayer(source.stream)
        self._next = 0

    @property
    def is_complete(self) -> bool:
        return self._next >= len(self._times_s)

    @property
    def next_time_s(self) -> float:
        """The first requested time without an answer."""
        return float(self._times_s[self._next])

    def until(self, previous: Picture | None, picture: Picture | None) -> Iterator[FrameRun]:
        """Answers to the times before `picture`, which `previous` is displayed at; None stands for either end."""
        end_s = np.inf if picture is None else picture.time_s - TIME_TOLERANCE_S
        if self.next_time_s >= end_s:
            return
        if previous is None:
            yield from self._before_first(picture, end_s)
            return
        if previous.fault:
            yield self._refused(end_s, previous.fault)
            return
        shown_until_s = previous.end_s + self._frame_s / 2
        if picture is not None and not picture.gap:
            shown_until_s = end_s
        if self.next_time_s < shown_until_s:
            yield self._answered(min(end_s, shown_until_s), previous)
        if not self.is_complete and self.next_time_s < end_s:
            why = picture.gap if picture is not None else "the readable part of the video ends there"
            yield self._refused(end_s, f"no frame after {previous.time_s:.3f} s: {why}")

    def _before_first(self, picture: Picture | None, end_s: float) -> Iterator[FrameRun]:
        """Answers to times before anything is displayed: the first frame stands for an instant, not for more."""
        if picture is None:
            yield self._refused(end_s, "no frame can be decoded")
            return
        tolerated_s = end_s if picture.fault else picture.time_s - 1.5 * self._frame_s
        if self.next_time_s < tolerated_s:
            yield self._refused(tolerated_s, picture.fault or f"no frame before {picture.time_s:.3f} s")
        if not self.is_complete and self.next_time_s < end_s:
            yield self._answered(end_s, picture)

    def _answered(self, end_s: float, picture: Picture) -> FrameRun:
        first, last = self._take(end_s)
        image, fault = self._displayer.convert(picture.frame)
        return FrameRun(first, last, picture.time_s, image, fault)

    def _refused(self, end_s: float, fault: str) -> FrameRun:
        first, last = self._take(end_s)
        return FrameRun(first, last, float(self._times_s[first]), None, fault)

    def _take(self, end_s: float) -> tuple[int, int]:
        first = self._next
        self._next = int(np.searchsorted(self._times_s, end_s, side="left"))
        return first, self._next
