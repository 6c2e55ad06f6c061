"""How well found spans of time meet annotated ones. Pure numpy; spans are rows of start and end in seconds.

P found spans of a query, ranked, best first; G true spans of it; Q queries.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

Floats = NDArray[np.float64]


class Met(NamedTuple):
    """What each found span meets best."""

    overlap: Floats
    """(P,) its largest overlap with any true span; 0 where it meets none."""
    truth: NDArray[np.int64]
    """(P,) row of that true span, the first of equal ones; -1 where it meets none."""


def true_iou(found: Floats, truth: Floats) -> Floats:
    """(P, G) length of the overlap over the length that either span covers; 0 where they do not overlap.

    The union of MQ's detection metric. Two spans that overlap cover all of their convex hull, and two that do not have
    0 in both, so this equals `hull_iou` but for rounding. Two names let a protocol say which of them it means.

    Raises:
        InputError: a span is not finite or ends before it starts.
    """
    overlap = _overlap(found, truth)
    lengths = (found[:, 1] - found[:, 0])[:, None] + (truth[:, 1] - truth[:, 0])[None, :]
    return _ratio(overlap, lengths - overlap)


def hull_iou(found: Floats, truth: Floats) -> Floats:
    """(P, G) length of the overlap over the time from the earlier start to the later end; 0 where they do not overlap.

    Source: NLQ's metric (PROTOCOLS section 3.5).

    Raises:
        InputError: a span is not finite or ends before it starts.
    """
    overlap = _overlap(found, truth)
    hull = np.maximum(found[:, None, 1], truth[None, :, 1]) - np.minimum(found[:, None, 0], truth[None, :, 0])
    return _ratio(overlap, hull)


def met_spans(found: Floats, truth: Floats) -> Met:
    """Which of several true spans each found span meets: where any one answers the query, the best counts.

    Raises:
        InputError: there is no true span, or a span is not finite or ends before it starts.
    """
    if len(truth) == 0:
        raise InputError("truth", "has no span: a query without an answer cannot be scored")
    overlaps = true_iou(found, truth)
    best = overlaps.argmax(axis=1)
    overlap: Floats = overlaps[np.arange(len(found)), best] if len(found) else np.zeros(0)
    return Met(overlap, np.where(overlap > 0, best, -1).astype(np.int64))


def recalls(overlaps: Sequence[Floats], k: int, threshold: float) -> Floats:
    """(Q,) 1 where any of a query's first k found spans overlaps a true one by more than the threshold, else 0.

    An overlap equal to the threshold is no hit, as in NLQ's metric.

    Args:
        overlaps: (P,) of each query, ranked; fewer than k, or none, are allowed.
        k: at least 1.
        threshold: from 0 to 1.

    Raises:
        InputError: k or the threshold is out of range.
    """
    if k < 1 or not 0 <= threshold <= 1:
        raise InputError("k", f"is {k} at threshold {threshold}, must be at least 1, and the threshold from 0 to 1")
    return np.array([float(np.any(ranked[:k] > threshold)) for ranked in overlaps], np.float64)


def top_overlaps(overlaps: Sequence[Floats]) -> Floats:
    """(Q,) overlap of each query's first found span, 0 where nothing was found; their mean is the mean IoU."""
    return np.array([ranked[0] if len(ranked) else 0.0 for ranked in overlaps], np.float64)


def end_errors(found: Floats, truth: Floats) -> Floats:
    """(N, 2) how far start and end of each span are from those of the true span in the same row, in seconds.

    Raises:
        InputError: the rows do not pair, or a span is not finite or ends before it starts.
    """
    check_spans("found", found)
    check_spans("truth", truth)
    if len(found) != len(truth):
        raise InputError("found", f"has {len(found)} spans, must be {len(truth)}, one for each true span")
    return np.abs(found - truth)


def check_spans(field: str, spans: Floats) -> None:
    """Passes for (n, 2) finite rows, none of which ends before it starts.

    Raises:
        InputError: `field` with the row and its values.
    """
    if spans.ndim != 2 or spans.shape[1] != 2:
        raise InputError(field, f"has shape {spans.shape}, must be (spans, 2)")
    wrong = np.flatnonzero(~(np.isfinite(spans).all(axis=1) & (spans[:, 1] >= spans[:, 0])))
    if len(wrong):
        row = int(wrong[0])
        raise InputError(field, f"row {row} is {spans[row].tolist()}, must be a finite start and an end not before it")


def _overlap(found: Floats, truth: Floats) -> Floats:
    check_spans("found", found)
    check_spans("truth", truth)
    last_start = np.maximum(found[:, None, 0], truth[None, :, 0])
    first_end = np.minimum(found[:, None, 1], truth[None, :, 1])
    overlap: Floats = np.maximum(first_end - last_start, 0.0)
    return overlap


def _ratio(overlap: Floats, union: Floats) -> Floats:
    """0 where both spans are the same instant."""
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
