"""Which frames of a video file stand for an annotated span, as the reference evaluators choose them."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from henasy.errors import NotFoundError
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


class FramePlace(NamedTuple):
    """One frame: which file of a video, and its number in that file."""

    file: int
    frame_id: int


class Span(NamedTuple):
    """An annotated part `[start_s, end_s)` of a video."""

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


EK100_FRAMES = FrameSelector("ek100-1", ek100_rule)
EGO4D_FRAMES = FrameSelector("ego4d-1", ego4d_rule)
