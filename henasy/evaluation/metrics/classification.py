"""Accuracies of classification by scores: top-k, mean class accuracy, confusion matrix.

Of equal scores the class of the smaller number ranks first, so that a result does not depend on a sorting algorithm.

N items, C classes.
"""

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]


def target_ranks(scores: NDArray[np.floating], targets: Int64s) -> Int64s:
    """(N,) how many classes rank before the right one; 0 where it is the first.

    Args:
        scores: (N, C), larger means likelier.
        targets: (N,) in 0..C-1.

    Raises:
        InputError: if a shape is wrong, a score is not finite, or a target is no class.
    """
    _check(scores, targets)
    rows = np.arange(len(targets))
    own = scores[rows, targets][:, None]
    before = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < targets[:, None]))
    ranks: Int64s = before.sum(axis=1)
    return ranks


def top_k_accuracy(ranks: Int64s, k: int) -> float:
    """Share of items whose right class is among the first k."""
    return float((ranks < k).mean())


def confusion_matrix(predicted: Int64s, targets: Int64s, num_classes: int) -> Int64s:
    """(C, C) number of items of each class (rows) that were taken for each class (columns)."""
    cells = np.bincount(targets * num_classes + predicted, minlength=num_classes**2)
    matrix: Int64s = cells.reshape(num_classes, num_classes)
    return matrix


def class_accuracies(confusion: Int64s) -> Float64s:
    """(C,) share of each class's items that were recognised; NaN for a class without an item."""
    counts = confusion.sum(axis=1)
    accuracies = np.full(len(confusion), np.nan)
    np.divide(np.diag(confusion), counts, out=accuracies, where=counts > 0)
    return accuracies


def mean_class_accuracy(confusion: Int64s) -> float:
    """Mean over all classes; one without an item counts as 0, as in the reference.

    Source: PROTOCOLS section 3.4 (facebookresearch/LaViLa lavila/utils/evaluation.py, `get_mean_accuracy`).
    """
    return float(np.nan_to_num(class_accuracies(confusion), nan=0.0).mean())


def best_of_groups(scores: NDArray[np.floating], groups: Int64s) -> NDArray[np.floating]:
    """(N, G) each group's score: the largest of its classes.

    Args:
        scores: (N, C).
        groups: (C,) group of each class, 0..G-1, each of which occurs.
    """
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(int(groups.max()) + 1))
    best: NDArray[np.floating] = np.maximum.reduceat(scores[:, order], starts, axis=1)
    return best


def _check(scores: NDArray[np.floating], targets: Int64s) -> None:
    if scores.ndim != 2 or scores.size == 0 or targets.shape != scores.shape[:1]:
        raise InputError("scores", f"shape {scores.shape} does not fit targets {targets.shape}: (N, C) and (N,)")
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise InputError("scores", f"item {int(np.argmin(finite))} is not finite everywhere")
    if targets.min() < 0 or targets.max() >= scores.shape[1]:
        raise InputError("targets", f"are {targets.min()} to {targets.max()}; allowed: 0 to {scores.shape[1] - 1}")
