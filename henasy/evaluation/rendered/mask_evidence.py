"""Whether the entity that a word meets is the one whose mask covers the thing, on a rendered archive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from henasy.checkpoint.encoder import Encoder
from henasy.evaluation.rendered.layouts import RenderedClip
from henasy.evaluation.rendered.overlaps import ThingOverlaps, rendered_overlaps
from henasy.evaluation.rendered.things import acting_hand, handled_object


class ThingOverlap(NamedTuple):
    """Overlaps of one thing of one clip, pooled over the clip's frames."""

    text_chosen: float
    """IoU of the valid entity whose embedding is closest to the thing's word."""
    best: float
    """The largest IoU of any entity."""
    random: float
    """Mean IoU of the valid entities: what choosing by lot gives."""
    ceiling: float
    """The largest IoU that any choice of patches could have."""
    is_best_chosen: bool
    """Whether the word meets the best entity."""


@dataclass(frozen=True, kw_only=True)
class MaskEvidence:
    """Overlaps over the clips in which the thing is visible inside the model's crop."""

    noun: list[ThingOverlap]
    """Of the handled object, met by its noun."""
    hand: list[ThingOverlap]
    """Of the acting hand, met by "left hand" or "right hand"."""
    num_unseen: int
    """Things that no frame shows inside the crop."""


def mean_overlap(things: Sequence[ThingOverlap]) -> dict[str, float]:
    """The mean of each column; empty without things."""
    return {name: float(np.mean([getattr(thing, name) for thing in things])) for name in ThingOverlap._fields if things}


def mask_evidence(
    encoder: Encoder,
    archive: Path,
    clips: Sequence[RenderedClip],
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> MaskEvidence:
    """How well words meet the masks of what they name.

    Raises:
        UnsupportedError: if the encoder has no entities.
        VideoError: if a video of the archive cannot be read.
    """
    found = rendered_overlaps(encoder, archive, clips, (handled_object, acting_hand), on_progress=on_progress)
    noun, hand = ([overlap for one in of_kind if (overlap := _pooled(one))] for of_kind in found)
    return MaskEvidence(noun=noun, hand=hand, num_unseen=2 * len(clips) - len(noun) - len(hand))


def _pooled(found: ThingOverlaps) -> ThingOverlap | None:
    if found.ious is None:
        return None
    ious = found.ious.pooled
    return ThingOverlap(
        text_chosen=float(ious[found.chosen]),
        best=float(ious.max()),
        random=float(ious[found.entities.is_valid].mean()),
        ceiling=found.ious.pooled_ceiling,
        is_best_chosen=bool(ious[found.chosen] == ious.max()),
    )
