"""How sure a difference between two methods is, when both answered the same questions."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

# Resamples drawn at a time: bounds the count matrix to some tens of megabytes.
_BATCH = 500


class Estimate(NamedTuple):
    """A mean and the interval of its bootstrap distribution."""

    mean: float
    low: float
    high: float


class Difference(NamedTuple):
    """Mean of `ours - theirs` and the interval of its bootstrap distribution."""

    mean: float
    low: float
    high: float

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval says that ours is better."""
        return self.low > 0


def paired_difference(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    *,
    groups: NDArray[np.int64] | None = None,
    level: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Percentile bootstrap of the mean of paired differences.

    Args:
        ours: (Q,) score of each question.
        theirs: (Q,) the other method's score of the same questions.
        groups: (Q,) questions with equal numbers are drawn together, as those of one video should be; None draws
            single questions.
        level: share of the bootstrap distribution inside the interval.
        num_resamples: number of draws.
        seed: of the draws; the same seed gives the same interval.

    Raises:
        InputError: if the arrays are empty or differ in length.
    """
    if ours.ndim != 1 or len(ours) == 0 or ours.shape != theirs.shape:
        raise InputError(
            "theirs", f"shape {theirs.shape} does not pair with {ours.shape}: two equal, non-empty vectors"
        )
    gain = ours.astype(np.float64) - theirs
    sums, sizes = _group_sums(gain, groups)
    means = _resampled_means(sums, sizes, num_resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return Difference(float(gain.mean()), float(low), float(high))


def mean_over_classes(
    values: NDArray[np.float64],
    classes: NDArray[np.int64],
    *,
    groups: NDArray[np.int64],
    level: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """The mean over classes of each class's mean, with a percentile bootstrap that draws whole groups.

    A class that a draw leaves out counts nothing in it.

    Args:
        values: (Q,) a value each.
        classes: (Q,) whose mean each value enters.
        groups: (Q,) values with equal numbers are drawn together, as those of one video should be.
        level: share of the bootstrap distribution inside the interval.
        num_resamples: number of draws.
        seed: of the draws.

    Raises:
        InputError: if the arrays are empty or differ in length.
    """
    if values.ndim != 1 or len(values) == 0 or not values.shape == classes.shape == groups.shape:
        raise InputError("classes", f"shapes {values.shape}, {classes.shape}, {groups.shape} must be equal, not empty")
    names, group = np.unique(classes, return_inverse=True)[1], np.unique(groups, return_inverse=True)[1]
    shape = (group.max() + 1, names.max() + 1)
    cell = group * shape[1] + names
    sums = np.bincount(cell, weights=values, minlength=shape[0] * shape[1]).reshape(shape)
    sizes = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    rng, means = np.random.default_rng(seed), []
    for first in range(0, num_resamples, _BATCH):
        draws = rng.multinomial(
            shape[0], np.full(shape[0], 1 / shape[0]), size=min(_BATCH, num_resamples - first)
        ).astype(np.float64)
        means.append(_class_means(draws @ sums, draws @ sizes))
    low, high = np.quantile(np.concatenate(means), ((1 - level) / 2, (1 + level) / 2))
    return Estimate(float(_class_means(sums.sum(axis=0), sizes.sum(axis=0))), float(low), float(high))


def _class_means(sums: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...,) mean of the means of the classes that are there, from (..., C) sums and sizes."""
    means = np.divide(sums, sizes, out=np.zeros_like(sums), where=sizes > 0)
    average: NDArray[np.float64] = means.sum(axis=-1) / (sizes > 0).sum(axis=-1)
    return average


def _group_sums(
    gain: NDArray[np.float64], groups: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of gains and number of questions of each group, both (G,)."""
    if groups is None:
        return gain, np.ones_like(gain)
    if groups.shape != gain.shape:
        raise InputError("groups", f"shape {groups.shape}, must be {gain.shape}")
    _, group = np.unique(groups, return_inverse=True)
    return np.bincount(group, weights=gain).astype(np.float64), np.bincount(group).astype(np.float64)


def _resampled_means(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], num_resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    num_groups = len(sums)
    means = []
    for first in range(0, num_resamples, _BATCH):
        draws = rng.integers(0, num_groups, size=(min(_BATCH, num_resamples - first), num_groups))
        means.append(sums[draws].sum(axis=1) / sizes[draws].sum(axis=1))
    return np.concatenate(means)
