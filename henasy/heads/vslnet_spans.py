"""Between spans of time and positions of a sequence: what a span head learns from, and what it answers.

L positions, N features; times in seconds of the clip.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

Floats = NDArray[np.float64]


class ClipSequence(NamedTuple):
    """A clip as a span head sees it."""

    features: NDArray[np.float32]
    """(L, D)"""
    edges_s: Floats
    """(L + 1,) where positions begin and end; they lie side by side."""


class SpanTarget(NamedTuple):
    """The positions that come closest to a true span."""

    first: int
    last: int


def as_sequence(features: NDArray[np.floating], spans: Floats, duration_s: float, num_positions: int) -> ClipSequence:
    """Features as positions that lie side by side, averaged down if there are too many.

    Overlapping features share the time between their middles. The reference lets every position stand for an equal
    share of the clip, which is the same for features that lie side by side.

    Args:
        features: (N, D) in order of time.
        spans: (N, 2) the time that each describes.
        duration_s: length of the clip.
        num_positions: how many to keep, at most.

    Raises:
        InputError: there is no feature.
    """
    count = len(features)
    if count == 0:
        raise InputError("features", "are none; a clip needs at least one")
    middles = spans.mean(axis=1)
    edges = np.concatenate([[0.0], (middles[:-1] + middles[1:]) / 2, [duration_s]])
    if count <= num_positions:
        return ClipSequence(np.asarray(features, np.float32), edges)
    bounds = np.round(np.arange(num_positions + 1) / num_positions * count).astype(np.int64)
    sums = np.add.reduceat(np.asarray(features, np.float64), bounds[:-1], axis=0)
    return ClipSequence((sums / np.diff(bounds)[:, None]).astype(np.float32), edges[bounds])


def even_spans(count: int, duration_s: float) -> Floats:
    """(N, 2) spans of equal length side by side: what features of unknown place are taken to describe."""
    edges = np.linspace(0.0, duration_s, count + 1)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def target_positions(edges_s: Floats, start_s: float, end_s: float) -> SpanTarget:
    """The run of positions with the largest overlap with a span; for an instant, the position that holds it.

    The reference trains spans that are an instant, or become one in its rounding, as the first position of the clip.
    """
    starts, ends = edges_s[:-1], edges_s[1:]
    if end_s <= start_s or start_s >= edges_s[-1]:
        at = int(np.clip(np.searchsorted(edges_s, start_s, side="right") - 1, 0, len(starts) - 1))
        return SpanTarget(at, at)
    overlap = np.minimum(ends[None, :], end_s) - np.maximum(starts[:, None], start_s)
    hull = np.maximum(ends[None, :], end_s) - np.minimum(starts[:, None], start_s)
    iou = np.where(ends[None, :] > starts[:, None], np.maximum(overlap, 0) / hull, -1.0)
    first, last = divmod(int(iou.argmax()), len(starts))
    return SpanTarget(first, last)


def highlighted(target: SpanTarget, num_positions: int, extend: float = 0.1) -> NDArray[np.float32]:
    """(L,) 1 on a span and on a tenth of its length on either side, else 0."""
    reach = round(extend * (target.last - target.first + 1))
    marks = np.zeros(num_positions, np.float32)
    marks[max(target.first - reach, 0) : target.last + reach + 1] = 1
    return marks


def best_spans(start_logits: Floats, end_logits: Floats, edges_s: Floats, count: int = 5) -> tuple[Floats, Floats]:
    """The spans (P, 2) whose start and end are most probable together, best first, and their probabilities (P,).

    A span ends in the position where it starts or later. Nothing is left out for overlapping a better one, as in the
    reference. Equal probabilities keep the order of starts, then of ends.

    Args:
        start_logits: (L,) of the clip's positions, no padding.
        end_logits: (L,)
        edges_s: (L + 1,)
        count: how many spans; fewer if there are not so many.
    """
    joint = np.triu(np.outer(_softmax(start_logits), _softmax(end_logits)))
    allowed = np.flatnonzero(np.triu(np.ones(joint.shape, bool)))
    values = joint.ravel()[allowed]
    kept = min(count, len(values))
    least = np.partition(values, -kept)[-kept]
    rows = np.flatnonzero(values >= least)
    rows = rows[np.argsort(-values[rows], kind="stable")][:kept]
    first, last = np.divmod(allowed[rows], len(start_logits))
    return np.stack([edges_s[first], edges_s[last + 1]], axis=1), values[rows]


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    shares: Floats = powers / powers.sum()
    return shares
