"""Overlapping guesses made to count less, class by class, without a hard choice which one stays.

C classes, K guesses of each.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Suppressed(NamedTuple):
    """The guesses of every class, surest first after suppression."""

    order: NDArray[np.int64]
    """(C, K) rows of the guesses as given."""
    scores: Floats
    """(C, K) in that order, never rising."""


def soft_nms(spans: Floats, scores: Floats, *, sigma: float = 0.5) -> Suppressed:
    """The guesses in the order in which they are taken, each lowered by those before it.

    The surest one left is taken; those left then lose the factor exp(-iou ** 2 / sigma), with their overlap with it. Of
    equal scores the earlier row is taken first.

    Args:
        spans: (C, K, 2) start and end, start at most end.
        scores: (C, K) at least 0.
        sigma: above 0; the smaller, the harder.

    Source: "Soft-NMS" (Bodla et al., 2017), Eq. 4.
    """
    left = scores.astype(np.float64)
    is_taken = np.zeros(left.shape, bool)
    classes = np.arange(left.shape[0])
    order = np.zeros(left.shape, np.int64)
    taken_scores = np.zeros(left.shape)
    for place in range(left.shape[1]):
        best = np.where(is_taken, -1.0, left).argmax(axis=1)
        order[:, place], taken_scores[:, place] = best, left[classes, best]
        is_taken[classes, best] = True
        left *= np.exp(-np.square(_iou(spans, spans[classes, best][:, None])) / sigma)
    return Suppressed(order, taken_scores)


def _iou(spans: Floats, other: Floats) -> Floats:
    """(C, K) of spans (C, K, 2) with one of each class (C, 1, 2); 0 where both have no length."""
    shared = np.minimum(spans[..., 1], other[..., 1]) - np.maximum(spans[..., 0], other[..., 0])
    shared = np.maximum(shared, 0.0)
    union = (spans[..., 1] - spans[..., 0]) + (other[..., 1] - other[..., 0]) - shared
    overlap: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap
