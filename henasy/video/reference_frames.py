"""Frame numbers as the reference implementations choose them, for benchmarks that must match published numbers.

Archives are sampled by the container's clock instead (`henasy.video.plan`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from henasy.errors import InputError


class FrameRange(NamedTuple):
    """Frame numbers `[start, end)` of one video."""

    start: int
    end: int


class ChunkedFrames(NamedTuple):
    """Frame numbers counted from the start of one chunk of an Ego4D video; they may run past its end."""

    chunk_start_s: int
    frame_ids: tuple[int, ...]


class ChunkFrame(NamedTuple):
    """One frame of one chunk file."""

    chunk_start_s: int
    frame_id: int


def lavila_frame_ids(start: int, end: int, num_frames: int) -> tuple[int, ...]:
    """The frames LaViLa evaluates for `[start, end)`.

    Source: facebookresearch/LaViLa lavila/data/datasets.py, `get_frame_ids` without jitter; rounding is half to even.
    """
    _check_range(start, end, num_frames)
    step = (end - start - 1) / num_frames
    lows = [round(step * i) + start for i in range(num_frames)]
    highs = [min(round(step * (i + 1)) + start, end) for i in range(num_frames)]
    return tuple((low + high) // 2 for low, high in zip(lows, highs, strict=True))


def egovlp_frame_ids(start: int, end: int, num_frames: int) -> tuple[int, ...]:
    """The frames EgoVLP takes for `[start, end)` with its `uniform` rule; fewer than asked if `end` is smaller.

    Source: showlab/EgoVLP base/base_dataset.py, `sample_frames_start_end`.
    """
    _check_range(start, end, num_frames)
    count = min(num_frames, end)
    edges = np.linspace(start, end, num=count + 1).astype(int).tolist()
    return tuple((low + high - 1) // 2 for low, high in itertools.pairwise(edges))


def ek100_frame_range(start_s: float, stop_s: float, fps: float) -> FrameRange:
    """The frame numbers of an EPIC-KITCHENS-100 action, from its timestamps and the video's own rate.

    Source: facebookresearch/LaViLa lavila/data/datasets.py, EK100 metadata: start is rounded, end is rounded up.
    """
    if not 0 <= start_s <= stop_s:
        raise InputError("stop_s", f"timestamps must satisfy 0 <= start <= stop, got {start_s} and {stop_s}")
    if not (math.isfinite(fps) and fps > 0):
        raise InputError("fps", f"must be a positive rate, got {fps}")
    return FrameRange(round(fps * start_s), math.ceil(fps * stop_s))


def timestamp_s(text: str) -> float:
    """Seconds of an `HH:MM:SS.ff` timestamp as the EPIC-KITCHENS annotations write it."""
    parts = text.strip().split(":")
    try:
        hours, minutes, seconds = int(parts[0]), int(parts[1]), float(parts[2])
    except (IndexError, ValueError):
        raise InputError("timestamp", f"{text!r} is not HH:MM:SS.ff") from None
    if len(parts) != 3 or not (hours >= 0 and 0 <= minutes < 60 and 0 <= seconds < 61):
        raise InputError("timestamp", f"{text!r} is not HH:MM:SS.ff")
    return hours * 3600 + minutes * 60 + seconds


def ego4d_chunk_frames(
    start_s: float, end_s: float, num_frames: int, *, chunk_s: int = 300, fps: float = 30.0
) -> ChunkedFrames:
    """The frames LaViLa evaluates for a span of an Ego4D video that is stored as files of `chunk_s` seconds.

    Source: facebookresearch/LaViLa lavila/data/datasets.py, `video_loader`: a clip shorter than `num_frames`
    frames is taken as `num_frames` long.
    """
    if not 0 <= start_s <= end_s:
        raise InputError("end_s", f"a span must satisfy 0 <= start <= end, got {start_s} and {end_s}")
    chunk_start_s = int(start_s) // chunk_s * chunk_s
    offset = round((start_s - chunk_start_s) * fps)
    length = max(int((end_s - start_s) * fps), num_frames)
    return ChunkedFrames(chunk_start_s, lavila_frame_ids(offset, offset + length, num_frames))


def ego4d_whole_frames(start_s: float, end_s: float, num_frames: int, *, length: int, fps: float) -> tuple[int, ...]:
    """The frames LaViLa evaluates for a span of an Ego4D video that is one file of `length` frames.

    A span is cut at the last frame, also one that is taken longer than it is to have `num_frames` frames.

    Raises:
        InputError: the span ends before it starts, or starts at the end of the video or after it.

    Source: facebookresearch/LaViLa lavila/data/datasets.py, `video_loader` without chunks.
    """
    if not 0 <= start_s <= end_s:
        raise InputError("end_s", f"a span must satisfy 0 <= start <= end, got {start_s} and {end_s}")
    if start_s >= length / fps:
        raise InputError("start_s", f"must be before the video's end at {length / fps:g} s, got {start_s}")
    offset = min(round(start_s * fps), length - 1)
    wanted = max(int((min(end_s, length / fps) - start_s) * fps), num_frames)
    return lavila_frame_ids(offset, min(offset + wanted, length), num_frames)


def locate_in_chunks(
    frames: ChunkedFrames, chunk_lengths: Sequence[int], *, chunk_s: int = 300
) -> tuple[ChunkFrame, ...]:
    """Each frame with the chunk file that holds it.

    Args:
        frames: frame numbers counted from the start of their chunk.
        chunk_lengths: frames in the chunk itself and in those that follow it without a gap.
        chunk_s: length of a chunk.

    Frames past the end spill into the next chunk; without one, the last frame of the last chunk stands for them.

    Source: facebookresearch/LaViLa lavila/data/datasets.py, `video_loader`, which looks one chunk ahead.
    """
    located = []
    for frame_id in frames.frame_ids:
        chunk, rest = 0, frame_id
        while rest >= chunk_lengths[chunk] and chunk + 1 < len(chunk_lengths):
            rest -= chunk_lengths[chunk]
            chunk += 1
        located.append(ChunkFrame(frames.chunk_start_s + chunk * chunk_s, min(rest, chunk_lengths[chunk] - 1)))
    return tuple(located)


def _check_range(start: int, end: int, num_frames: int) -> None:
    if not 0 <= start < end:
        raise InputError("end", f"a frame range must satisfy 0 <= start < end, got {start} and {end}")
    if num_frames < 1:
        raise InputError("num_frames", f"must be at least 1, got {num_frames}")
