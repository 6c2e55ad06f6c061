"""Which frames of a video file stand for an annotated span, as the reference evaluators choose them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from henasy.errors import InputError, NotFoundError
from henasy.video.probe import VideoInfo
from henasy.video.reference_frames import (
    ego4d_chunk_frames,
    ego4d_whole_frames,
    ek100_frame_range,
    lavila_frame_ids,
    locate_in_chunks,
)
from henasy.video.video_files import VideoFiles

_LAVILA_CHUNK_S = 300
# How far a chunk's duration may be from the length its name tells: encoders cut between frames.
_CHUNK_TOLERANCE_S = 1.0
_CHUNK_FPS = 30.0
MAX_PAST_END_S = 2.0
"""How far after the end of an Ego4D video a span may end to be cut there; annotated clips last some seconds."""
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


def from_video_start(time_s: float) -> float:
    """The time, those before the video's start as 0: annotated clips are centred on a moment that may be near it.

    Source: showlab/EgoVLP, whose loader takes `max(start, 0)`.
    """
    return max(time_s, 0.0)


FrameRule = Callable[[Span, VideoFiles, list[VideoInfo], int], tuple[FramePlace, ...]]
"""From a span, its video's files and what they say of themselves, and T to T frames."""
CutRule = Callable[[Span, VideoFiles, list[VideoInfo]], bool]
"""From a span and its video's files to whether the frame rule cuts it at the video's end."""


def never_cut(_span: Span, _files: VideoFiles, _infos: list[VideoInfo]) -> bool:
    """False: the rule takes a span as it is or refuses it."""
    return False


class FrameSelector(NamedTuple):
    """A rule under the name that cached embeddings carry."""

    name: str
    """Must change whenever the rule chooses other frames."""
    choose: FrameRule
    is_cut: CutRule = never_cut


def ek100_rule(span: Span, files: VideoFiles, infos: list[VideoInfo], num_frames: int) -> tuple[FramePlace, ...]:
    """EPIC-KITCHENS: timestamps times the video's own rate, LaViLa's frames of that range.

    Raises:
        InputError: the video lies in chunks, or the span is none.

    Source: PROTOCOLS section 2.
    """
    _check_whole(files, "EPIC-KITCHENS")
    start, end = ek100_frame_range(span.start_s, span.end_s, infos[0].fps)
    return tuple(FramePlace(0, frame_id) for frame_id in lavila_frame_ids(start, end, num_frames))


def ego4d_rule(span: Span, files: VideoFiles, infos: list[VideoInfo], num_frames: int) -> tuple[FramePlace, ...]:
    """Ego4D: LaViLa's frames of a span, from a whole file at its own rate or from chunk files at 30 fps.

    A span may run on into the chunks after it. One that ends up to `MAX_PAST_END_S` after the video is cut at its end.

    Raises:
        NotFoundError: a chunk that the span needs is missing.
        InputError: the chunks are not named by the seconds they start at, or one that the span crosses is cut short; or
            the span starts after the video's end, or ends further past it.

    Source: PROTOCOLS section 2; the end is that of facebookresearch/LaViLa lavila/data/datasets.py, `video_loader`.
    """
    if files.chunk_starts_s is None:
        return tuple(FramePlace(0, frame_id) for frame_id in _whole_file_frames(span, infos[0], num_frames))
    starts_s = list(files.chunk_starts_s)
    chunk_s = _chunk_length_s(files.paths[0].parent, starts_s, [info.duration_s for info in infos])
    frames = ego4d_chunk_frames(span.start_s, span.end_s, num_frames, chunk_s=chunk_s, fps=_CHUNK_FPS)
    if frames.chunk_start_s not in starts_s:
        raise _missing_chunk(files, frames.chunk_start_s, span)
    first = starts_s.index(frames.chunk_start_s)
    last = _last_chunk_of(span, files, infos, first, max(frames.frame_ids), chunk_s)
    if last == len(infos) - 1:
        _check_end(span, infos[-1], _end_s(files, infos))
    lengths = [info.num_frames for info in infos[first : last + 1]]
    if first == last and max(frames.frame_ids) >= lengths[0]:
        offset = min(round((span.start_s - frames.chunk_start_s) * _CHUNK_FPS), lengths[0] - 1)
        return tuple(FramePlace(first, frame_id) for frame_id in lavila_frame_ids(offset, lengths[0], num_frames))
    located = locate_in_chunks(frames, lengths, chunk_s=chunk_s)
    return tuple(FramePlace(starts_s.index(frame.chunk_start_s), frame.frame_id) for frame in located)


def ego4d_is_cut(span: Span, files: VideoFiles, infos: list[VideoInfo]) -> bool:
    """Whether an Ego4D span ends after the last frame of its video."""
    fps = infos[-1].fps if files.chunk_starts_s is None else _CHUNK_FPS
    return round((span.end_s - _end_s(files, infos)) * fps) > 0


def _whole_file_frames(span: Span, info: VideoInfo, num_frames: int) -> tuple[int, ...]:
    _check_end(span, info, info.num_frames / info.fps)
    return ego4d_whole_frames(span.start_s, span.end_s, num_frames, length=info.num_frames, fps=info.fps)


def _end_s(files: VideoFiles, infos: list[VideoInfo]) -> float:
    """When the video's last frame ends, by the rate that frames are counted at."""
    if files.chunk_starts_s is None:
        return infos[0].num_frames / infos[0].fps
    return files.chunk_starts_s[-1] + infos[-1].num_frames / _CHUNK_FPS


def _check_end(span: Span, info: VideoInfo, end_s: float) -> None:
    if span.start_s >= end_s or span.end_s > end_s + MAX_PAST_END_S:
        raise InputError(
            "span",
            f"{info.path}: from {span.start_s:g} to {span.end_s:g} s is asked for, the video ends at {end_s:g} s;"
            f" up to {MAX_PAST_END_S:g} s after it are cut off",
        )


def _chunk_length_s(folder: Path, starts_s: list[int], durations_s: list[float]) -> int:
    """The length of a video's chunks but the last, which may be shorter: as they last, and all starts its multiples.

    Chunks that are missing make the starts lie further apart, so those alone do not tell it.
    """
    longest_s = max(durations_s) if len(starts_s) > 1 else max(durations_s[0], _LAVILA_CHUNK_S)
    step_s = math.gcd(*starts_s)
    parts = max(1, round(step_s / longest_s))
    chunk_s = step_s // parts if step_s else round(longest_s)
    if step_s % parts or abs(longest_s - chunk_s) > _tolerance_s(chunk_s):
        raise InputError(
            "videos",
            f"{folder}: chunks {', '.join(map(str, starts_s))} last up to {longest_s:g} s, so those are not the seconds"
            " they start at; chunks by number, as EgoVLP's 0, 1, 2, are not read",
        )
    return chunk_s


def _last_chunk_of(
    span: Span, files: VideoFiles, infos: list[VideoInfo], first: int, frame_id: int, chunk_s: int
) -> int:
    """The position of the chunk that has a frame counted from the start of chunk `first`, or of the video's last.

    Raises:
        NotFoundError: a chunk on the way is missing.
        InputError: one on the way is cut short, so that it does not tell where the next begins.
    """
    starts_s = files.chunk_starts_s or ()
    chunk = first
    while frame_id >= infos[chunk].num_frames and chunk + 1 < len(infos):
        if starts_s[chunk + 1] != starts_s[chunk] + chunk_s:
            raise _missing_chunk(files, starts_s[chunk] + chunk_s, span)
        lasting_s = infos[chunk].duration_s
        if abs(lasting_s - chunk_s) > _tolerance_s(chunk_s):
            raise InputError("videos", f"{files.paths[chunk]}: lasts {lasting_s:g} s, must last {chunk_s} s")
        frame_id -= infos[chunk].num_frames
        chunk += 1
    return chunk


def _tolerance_s(chunk_s: int) -> float:
    return min(_CHUNK_TOLERANCE_S, chunk_s / 20)


def _missing_chunk(files: VideoFiles, start_s: int, span: Span) -> NotFoundError:
    return NotFoundError(
        f"{files.paths[0].parent}: no chunk {start_s} for the span from {span.start_s:g} to {span.end_s:g} s"
    )


def egtea_rule(span: Span, files: VideoFiles, infos: list[VideoInfo], num_frames: int) -> tuple[FramePlace, ...]:
    """EGTEA: ten clips of T frames each, every other frame of a span at the video's own rate, starts spread evenly.

    A span too short for one clip is filled up with black frames and taken ten times.

    Source: PROTOCOLS section 3.4 (facebookresearch/LaViLa lavila/data/datasets.py, `egtea`).
    """
    _check_whole(files, "EGTEA")
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


def _check_whole(files: VideoFiles, dataset: str) -> None:
    if files.chunk_starts_s is not None:
        raise InputError("videos", f"{files.paths[0].parent}: {dataset} videos must be whole files, not chunks")


EK100_FRAMES = FrameSelector("ek100-1", ek100_rule)
EGO4D_FRAMES = FrameSelector("ego4d-3", ego4d_rule, ego4d_is_cut)
EGTEA_FRAMES = FrameSelector("egtea-1", egtea_rule)
