"""Which frames of a video file stand for an annotated span, as the reference evaluators choose them."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from henasy.errors import InputError, NotFoundError
from henasy.evaluation.video_files import VideoFiles
from henasy.video.probe import VideoInfo
from henasy.video.reference_frames import (
    ego4d_chunk_frames,
    ek100_frame_range,
    lavila_frame_ids,
    locate_in_chunks,
)

_LAVILA_CHUNK_S = 300
# A chunk that no video outlasts: the frame numbers of a whole file.
_WHOLE_S = 10**9
EGTEA_CLIPS = 10
_EGTEA_STRIDE = 2


class FramePlace(NamedTuple):
    """One frame: which file of a video, and its number in that file."""

    file: int
    frame_id: int


BLACK = FramePlace(-1, -1)
"""A frame that no file has: black, of the size of the others."""


class Span(NamedTuple):
    """An annotated part `[start_s, end_s)` of a video; an infinite end is the end of the video."""

    video_id: str
    start_s: float
    end_s: float


FrameRule = Callable[[Span, VideoFiles, list[VideoInfo], int], tuple[FramePlace, ...]]
"""From a span, its video's files and what they say of themselves, and T to T frames."""


class FrameSelector(NamedTuple):
    """A rule under the name that cached embeddings carry."""

    name: str
    """Must change whenever the rule chooses other frames."""
    choose: FrameRule


def ek100_rule(span: Span, files: VideoFiles, infos: list[VideoInfo], num_frames: int) -> tuple[FramePlace, ...]:
    """EPIC-KITCHENS: timestamps times the video's own rate, LaViLa's frames of that range.

    Source: PROTOCOLS section 2.
    """
    start, end = ek100_frame_range(span.start_s, span.end_s, infos[0].fps)
    return tuple(FramePlace(0, frame_id) for frame_id in lavila_frame_ids(start, end, num_frames))


def ego4d_rule(span: Span, files: VideoFiles, infos: list[VideoInfo], num_frames: int) -> tuple[FramePlace, ...]:
    """Ego4D: LaViLa's frames of a span, from a whole file at its own rate or from chunk files at 30 fps.

    Source: PROTOCOLS section 2.
    """
    if files.chunk_starts_s is None:
        whole = ego4d_chunk_frames(span.start_s, span.end_s, num_frames, chunk_s=_WHOLE_S, fps=infos[0].fps)
        return tuple(FramePlace(0, frame_id) for frame_id in whole.frame_ids)
    starts_s = list(files.chunk_starts_s)
    chunk_s = min((later - earlier for earlier, later in pairwise(starts_s)), default=_LAVILA_CHUNK_S)
    frames = ego4d_chunk_frames(span.start_s, span.end_s, num_frames, chunk_s=chunk_s)
    if frames.chunk_start_s not in starts_s:
        raise NotFoundError(f"{files.paths[0].parent}: no chunk {frames.chunk_start_s} for {span.start_s} s")
    followers = [start_s for start_s in (frames.chunk_start_s, frames.chunk_start_s + chunk_s) if start_s in starts_s]
    lengths = [infos[starts_s.index(start_s)].num_frames for start_s in followers]
    located = locate_in_chunks(frames, lengths, chunk_s=chunk_s)
    return tuple(FramePlace(starts_s.index(frame.chunk_start_s), frame.frame_id) for frame in located)


def egtea_rule(span: Span, files: VideoFiles, infos: list[VideoInfo], num_frames: int) -> tuple[FramePlace, ...]:
    """EGTEA: ten clips of T frames each, every other frame of a span at the video's own rate, starts spread evenly.

    A span too short for one clip is filled up with black frames and taken ten times.

    Source: PROTOCOLS section 3.4 (facebookresearch/LaViLa lavila/data/datasets.py, `egtea`).
    """
    if files.chunk_starts_s is not None:
        raise InputError("videos", f"{files.paths[0].parent}: EGTEA videos must be whole files, not chunks")
    info = infos[0]
    start = round(span.start_s * info.fps)
    end = info.num_frames if span.end_s == float("inf") else round(span.end_s * info.fps)
    length, reach = end - start, num_frames * _EGTEA_STRIDE
    if not 0 < length <= info.num_frames - start:
        raise InputError("span", f"{info.path}: frames {start} to {end} are asked for, there are {info.num_frames}")
    if length < reach:
        offsets = range(0, reach, _EGTEA_STRIDE)
        return tuple(FramePlace(0, start + offset) if offset < length else BLACK for offset in offsets) * EGTEA_CLIPS
    first_frames = start + np.linspace(0, length - reach, EGTEA_CLIPS, dtype=int)
    return tuple(
        FramePlace(0, int(first) + _EGTEA_STRIDE * frame) for first in first_frames for frame in range(num_frames)
    )


EK100_FRAMES = FrameSelector("ek100-1", ek100_rule)
EGO4D_FRAMES = FrameSelector("ego4d-1", ego4d_rule)
EGTEA_FRAMES = FrameSelector("egtea-1", egtea_rule)
