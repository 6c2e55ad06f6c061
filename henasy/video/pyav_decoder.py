"""Decodes with PyAV: one pass in order of time, seeking over what nobody asked for.

Decoding goes packet by packet. After an error, or a frame that the decoder marks as corrupt, every frame up to
the next key frame may be wrong, so the times that those frames would answer are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from henasy.video.container import VideoSource, open_video, orientation, shown_size
from henasy.video.decode import TIME_TOLERANCE_S, FrameRun
from henasy.video.geometry import Size, decoded_size

_MAX_READ_ERRORS = 64
"""Read errors in a row after which the rest of a file is given up."""
_MIN_SEEK_GAIN_S = 1.0
"""Footage that a seek must skip to be worth its cost."""
_LEADING_FRAMES = 17
"""A key frame may be displayed this many frames after it is decoded: the codecs' deepest reordering."""
_SEEKABLE_FORMATS = ("mov,", "matroska")
"""Containers with an index of key frames; in the others a seek may land anywhere."""


class _Picture(NamedTuple):
    frame: VideoFrame
    time_s: float
    end_s: float
    fault: str
    """Why this frame may be wrong; empty if it is right."""
    gap: str
    """Why frames between the one before and this one may be missing; empty if none are."""


def frames_at(path: Path, times_s: NDArray[np.float64], on_progress: Callable[[], None]) -> Iterator[FrameRun]:
    """The frame displayed at each requested time; see `henasy.video.decode.FramesAt`."""
    with open_video(path) as source:
        reader = _Reader(source, on_progress)
        answers = _Answers(times_s, source)
        previous: _Picture | None = None
        while not answers.is_complete:
            if reader.seek_towards(answers.next_time_s):
                previous = None
            picture = reader.next_picture()
            if previous is None and reader.has_overshot(picture, answers.next_time_s):
                reader.restart()
                continue
            yield from answers.until(previous, picture)
            previous = picture


class _Reader:
    """Pictures in display order, with what is known of their faults."""

    def __init__(self, source: VideoSource, on_progress: Callable[[], None]) -> None:
        self._source = source
        self._on_progress = on_progress
        self._pictures = _read_pictures(source, on_progress)
        self._position_s = 0.0
        self._considered_s = -1.0
        self._is_seeking = False
        self._may_seek = source.container.format.name.startswith(_SEEKABLE_FORMATS)

    def next_picture(self) -> _Picture | None:
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
        key_s = self._key_before(wanted_s) if wanted_s - self._position_s > _MIN_SEEK_GAIN_S else 0.0
        if key_s - self._position_s < _MIN_SEEK_GAIN_S:
            return False
        try:
            self._source.container.seek(self._source.ticks(key_s), stream=self._source.stream)
        except av.error.FFmpegError:
            self.restart()
            return True
        self._pictures = _read_pictures(self._source, self._on_progress)
        self._is_seeking = True
        return True

    def has_overshot(self, picture: _Picture | None, wanted_s: float) -> bool:
        """Whether a seek went past the wanted time, so that only reading from the start can answer it."""
        if not self._is_seeking:
            return False
        return picture is None or bool(picture.fault) or picture.time_s > wanted_s + TIME_TOLERANCE_S

    def restart(self) -> None:
        """Read from the start again, and never seek in this file any more: its index is wrong."""
        stream = self._source.stream
        self._source.container.seek(stream.start_time or 0, stream=stream)
        self._pictures = _read_pictures(self._source, self._on_progress)
        self._may_seek = self._is_seeking = False

    def _key_before(self, wanted_s: float) -> float:
        """Time of the last key frame whose leading frames, too, are displayed before `wanted_s`; 0 if unknown."""
        source = self._source
        margin_s = _LEADING_FRAMES * source.frame_s
        entries = source.stream.index_entries
        index = entries.search_timestamp(source.ticks(wanted_s - margin_s), backward=True)
        return source.time_s(entries[index].timestamp) if index >= 0 else 0.0


def _read_pictures(source: VideoSource, on_progress: Callable[[], None]) -> Iterator[_Picture]:
    """Pictures from the file's current position on; frames before the first key frame are at fault."""
    fault = "no key frame before it"
    fed: set[int] = set()
    last_s = -np.inf
    for packet, damage in _read_packets(source):
        on_progress()
        if damage:
            fault, fed = damage, set()
        if packet is None:
            continue
        if fault and packet.pts is not None:
            fed.add(packet.pts)
        try:
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            fault, fed = f"decoding failed: {error.strerror}", set()
            continue
        if packet.is_keyframe and packet.is_discard:
            fault = ""  # an edit list hides it, but what follows depends on nothing earlier
        for frame in frames:
            gap = fault
            if frame.is_corrupt:
                fault, fed = "the decoder marked frames as corrupt", set()
            elif frame.key_frame and (frame.pts is None or frame.pts in fed):
                fault, fed = "", set()
            time_s = _time_s(frame, source, last_s)
            if time_s > last_s:
                shown_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
                yield _Picture(frame, time_s, time_s + (shown_s or source.frame_s), fault, gap)
                last_s = time_s


def _read_packets(source: VideoSource) -> Iterator[tuple[Packet[VideoStream] | None, str]]:
    """Packets as the file holds them, each with what was damaged just before or in it."""
    packets = source.container.demux(source.stream)
    errors = 0
    while errors < _MAX_READ_ERRORS:
        try:
            packet = next(packets, None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            errors += 1
            packets = source.container.demux(source.stream)
            yield None, f"reading failed: {error.strerror}"
            continue
        if packet is None:
            return
        errors = 0
        yield packet, "the container marks data as corrupt" if packet.is_corrupt else ""


def _time_s(frame: VideoFrame, source: VideoSource, last_s: float) -> float:
    ticks = frame.pts if frame.pts is not None else frame.dts
    if ticks is not None:
        return source.time_s(ticks)
    return max(last_s, -source.frame_s) + source.frame_s


class _Answers:
    """Meets requested times with pictures that arrive in display order."""

    def __init__(self, times_s: NDArray[np.float64], source: VideoSource) -> None:
        self._times_s = times_s
        self._frame_s = source.frame_s
        self._converter = _Converter(source.stream)
        self._next = 0

    @property
    def is_complete(self) -> bool:
        return self._next >= len(self._times_s)

    @property
    def next_time_s(self) -> float:
        """The first requested time without an answer."""
        return float(self._times_s[self._next])

    def until(self, previous: _Picture | None, picture: _Picture | None) -> Iterator[FrameRun]:
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

    def _before_first(self, picture: _Picture | None, end_s: float) -> Iterator[FrameRun]:
        """Answers to times before anything is displayed: the first frame stands for an instant, not for more."""
        if picture is None:
            yield self._refused(end_s, "no frame can be decoded")
            return
        tolerated_s = end_s if picture.fault else picture.time_s - 1.5 * self._frame_s
        if self.next_time_s < tolerated_s:
            yield self._refused(tolerated_s, picture.fault or f"no frame before {picture.time_s:.3f} s")
        if not self.is_complete and self.next_time_s < end_s:
            yield self._answered(end_s, picture)

    def _answered(self, end_s: float, picture: _Picture) -> FrameRun:
        first, last = self._take(end_s)
        image, fault = self._converter.convert(picture.frame)
        return FrameRun(first, last, picture.time_s, image, fault)

    def _refused(self, end_s: float, fault: str) -> FrameRun:
        first, last = self._take(end_s)
        return FrameRun(first, last, float(self._times_s[first]), None, fault)

    def _take(self, end_s: float) -> tuple[int, int]:
        first = self._next
        self._next = int(np.searchsorted(self._times_s, end_s, side="left"))
        return first, self._next


class _Converter:
    """Turns decoded frames into displayed RGB at the archive's size."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._reformatter = VideoReformatter()
        self._size: Size | None = None

    def convert(self, frame: VideoFrame) -> tuple[NDArray[np.uint8] | None, str]:
        """The image (H, W, 3), or None and why."""
        turn = orientation(frame)
        stored = decoded_size(*shown_size(frame, self._stream))
        size = turn.displayed(stored)
        if self._size is not None and size != self._size:
            return None, f"the picture's size changes from {tuple(self._size)} to {tuple(size)}"
        self._size = size
        try:
            scaled = self._reformatter.reformat(
                frame,
                width=stored.width_px,
                height=stored.height_px,
                format="rgb24",
                interpolation=Interpolation.AREA,
                threads=1,
            )
        except av.error.FFmpegError as error:
            return None, f"converting failed: {error.strerror}"
        image = scaled.to_ndarray()
        if turn.is_mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -turn.clockwise_deg // 90)), ""
