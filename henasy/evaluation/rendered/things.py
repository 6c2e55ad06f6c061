"""The things that a rendered archive's narrations are about, with their masks at the frames that a model sees.

T frames of a clip, H x W pixels of a frame.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.encoding.frame_rules import FramePlace, FrameSelector, Span
from henasy.evaluation.rendered.layouts import RenderedClip
from henasy.scenes.archive import ArchiveConfig
from henasy.scenes.truth import Truth
from henasy.video.plan import frame_times
from henasy.video.probe import VideoInfo
from henasy.video.video_files import VideoFiles


class Thing(NamedTuple):
    """What a text names in a narrated clip."""

    label: str
    """Things of one label are averaged together: a noun, or a verb."""
    text: str
    """What a model is asked."""
    has_object: bool
    """Whether the handled object is part of it."""
    has_hand: bool
    """Whether the acting hand is part of it."""


def handled_object(clip: RenderedClip) -> Thing:
    """The object, by its noun."""
    return Thing(clip.noun, clip.noun, has_object=True, has_hand=False)


def acting_hand(clip: RenderedClip) -> Thing:
    """The hand, by "left hand" or "right hand"."""
    name = f"{clip.hand} hand"
    return Thing(name, name, has_object=False, has_hand=True)


def action(clip: RenderedClip) -> Thing:
    """Hand and object together, by the verb phrase."""
    return Thing(clip.verb, clip.verb_phrase, has_object=True, has_hand=True)


def thing_masks(truth: Truth, clip: RenderedClip, thing: Thing, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(T, H, W) visible pixels of a thing at these times, which the truth describes."""
    hand = truth.hands()[f"{clip.hand} hand"]
    parts = [*([clip.instance] if thing.has_object else []), *([hand] if thing.has_hand else [])]
    frames = [[truth.masks_at(time_s, instance) for instance in parts] for time_s in times_s]
    masks: NDArray[np.bool_] = np.stack([np.any(of_parts, axis=0) for of_parts in frames])
    return masks


def truth_times(span: Span, num_frames: int, config: ArchiveConfig) -> NDArray[np.float64]:
    """(T,) the truth times nearest to the midpoints of T equal parts of a span."""
    middles = frame_times([[span.start_s, span.end_s]], num_frames)[0]
    last = int(config.num_frames * config.truth_fps / config.fps) - 1
    times_s: NDArray[np.float64] = np.minimum(np.rint(middles * config.truth_fps), last) / config.truth_fps
    return times_s


def truth_selector(config: ArchiveConfig) -> FrameSelector:
    """The frames on screen at `truth_times`, so that picture and mask show the same instant."""

    def choose(span: Span, files: VideoFiles, infos: list[VideoInfo], num_frames: int) -> tuple[FramePlace, ...]:
        times_s = truth_times(span, num_frames, config)
        return tuple(FramePlace(0, int(time_s * config.fps + 1e-9)) for time_s in times_s)

    return FrameSelector(f"truth-1-{config.truth_fps:g}-{config.fps:g}", choose)
