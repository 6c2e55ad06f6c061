"""Clips one at a time, each read in a child process within a time limit, for callers that must not be held up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, LifoQueue

from henasy.errors import VideoError
from henasy.video.clips import ClipBatch, RefusedClips
from henasy.video.isolated import DecodeProcess

ReadClip = Callable[[Path, tuple[float, float], int, float], ClipBatch]
"""(path, span, number of frames, seconds) -> the clip, or a VideoError at the latest when the seconds are over."""


def read_clip(path: Path, span: tuple[float, float], num_frames: int, limit_s: float) -> ClipBatch:
    """One clip, decoded in a child process of its own.

    Args:
        path: the video.
        span: start and end in seconds.
        num_frames: frames of the clip.
        limit_s: time that the reading may take, the child's start included.

    Raises:
        VideoError: the clip cannot be read, or the decoder hung, crashed or took too long.
    """
    with DecodeProcess() as process:
        return _read_clip(process, path, span, num_frames, limit_s)


class ClipPool:
    """A few child processes that several threads share; each starts when it is first needed and then stays."""

    def __init__(self, num_processes: int = 2) -> None:
        """Args: num_processes: clips that are decoded at a time."""
        self._num_processes = num_processes
        # The one used last comes first: as few children run as the calls need.
        self._idle: LifoQueue[DecodeProcess] = LifoQueue()
        for _ in range(num_processes):
            self._idle.put(DecodeProcess())

    def read_clip(self, path: Path, span: tuple[float, float], num_frames: int, limit_s: float) -> ClipBatch:
        """As `read_clip`; waiting for a process that is idle counts as well.

        Raises:
            VideoError: as there, or because no process was idle in time.
        """
        ends_s = time.monotonic() + limit_s
        try:
            process = self._idle.get(timeout=max(0.0, limit_s))
        except Empty:
            raise VideoError(f"{path}: all {self._num_processes} decoding processes are busy") from None
        try:
            return _read_clip(process, path, span, num_frames, ends_s - time.monotonic())
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """Ends the children that are idle; the next clip starts another."""
        for process in [self._idle.get() for _ in range(self._idle.qsize())]:
            process.close()
            self._idle.put(process)


def _read_clip(
    process: DecodeProcess, path: Path, span: tuple[float, float], num_frames: int, limit_s: float
) -> ClipBatch:
    try:
        # Read to the end: a child whose answer is left half read would have to be replaced.
        item, *_ = process.read_clips(path, [span], num_frames, limit_s=limit_s)
    except OSError as error:
        raise VideoError(f"{path}: no decoding process can be started: {error}") from error
    if isinstance(item, RefusedClips):
        raise VideoError(f"{path}: the clip at {span[0]:g} s cannot be read: {item.reason}")
    return item
