"""Scores of visual grounding: mean IoU of the mask that a text chooses, beside what no model or every model could do.

A thing's IoU is averaged over the frames that show it inside the model's crop, a label's over all frames of all its
things, and the score over labels: a noun that is filmed often counts no more than a rare one.

E entities, F frames that show a thing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.metrics.entity_overlap import ThingIous
from henasy.evaluation.metrics.intervals import Estimate, mean_over_classes


class GroundedThing(NamedTuple):
    """One thing of one clip; IoU in each of the frames that show it, all (F,)."""

    label: str
    video_id: str
    text_chosen: NDArray[np.float64]
    """Of the valid entity whose embedding is closest to the text"""
    oracle: NDArray[np.float64]
    """Of the entity that covers the thing best over the clip"""
    by_lot: NDArray[np.float64]
    """Mean over the valid entities"""
    ceiling: NDArray[np.float64]
    """Of the best choice of patches"""


@dataclass(frozen=True, kw_only=True)
class GroundingScore:
    """Means over labels, with 95 % intervals over videos."""

    text_chosen: Estimate
    oracle: Estimate
    by_lot: Estimate
    ceiling: Estimate
    gain: Estimate
    """Of the text-chosen entity over one by lot, on the same frames"""
    num_labels: int
    num_frames: int
    """Frames that show a thing, counted once for each thing."""
    num_videos: int


def grounded(label: str, video_id: str, ious: ThingIous, chosen: int, is_valid: NDArray[np.bool_]) -> GroundedThing:
    """The overlaps of a thing, given which entity its text met and which are valid (E,)."""
    best = int(ious.by_frame.mean(axis=0).argmax())
    return GroundedThing(
        label=label,
        video_id=video_id,
        text_chosen=ious.by_frame[:, chosen],
        oracle=ious.by_frame[:, best],
        by_lot=ious.by_frame[:, is_valid].mean(axis=1),
        ceiling=ious.ceilings,
    )


def grounding_score(things: Sequence[GroundedThing]) -> GroundingScore | None:
    """The means over labels; None without things."""
    if not things:
        return None
    lengths = [len(thing.ceiling) for thing in things]
    labels = np.repeat(np.unique([thing.label for thing in things], return_inverse=True)[1], lengths)
    videos = np.repeat(np.unique([thing.video_id for thing in things], return_inverse=True)[1], lengths)
    columns = {
        name: np.concatenate([getattr(thing, name) for thing in things])
        for name in ("text_chosen", "oracle", "by_lot", "ceiling")
    }
    columns["gain"] = columns["text_chosen"] - columns["by_lot"]
    return GroundingScore(
        **{name: mean_over_classes(values, labels, groups=videos) for name, values in columns.items()},
        num_labels=len(np.unique(labels)),
        num_frames=len(labels),
        num_videos=len(np.unique(videos)),
    )
