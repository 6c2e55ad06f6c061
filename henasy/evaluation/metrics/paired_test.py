"""Whether a candidate is worse than a baseline, both having answered the same queries.

Q queries.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.evaluation.metrics.intervals import Difference, paired_difference

# Sign patterns drawn at a time: bounds the matrix to some tens of megabytes.
_BATCH = 500
_EXACT_UP_TO = 12
"""So many queries that differ have few enough sign patterns to try all."""
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """A candidate held against a baseline, query by query."""

    difference: Difference
    """Mean of candidate minus baseline, with its 95 % bootstrap interval over queries."""
    p_value: float
    """Of the two-sided randomisation test of no difference."""
    num_better: int
    num_worse: int

    @property
    def is_significantly_worse(self) -> bool:
        """Whether interval and randomisation test both say that the candidate is worse."""
        return self.difference.high < 0 and self.p_value < ALPHA

    def has_fallen(self, tolerance: float | None) -> bool:
        """Whether the candidate is significantly worse, or worse by more than is tolerated, sure or not.

        Args:
            tolerance: how far the mean may fall; None leaves it to significance alone.
        """
        return self.is_significantly_worse or (tolerance is not None and self.difference.mean < -tolerance)


def paired_test(
    candidate: NDArray[np.float64], baseline: NDArray[np.float64], *, num_resamples: int = 10_000, seed: int = 0
) -> PairedTest:
    """The test of two systems' values (Q,) of one measure.

    Raises:
        InputError: if the arrays are empty, differ in length, or hold a value that is not finite.
    """
    for name, values in (("candidate", candidate), ("baseline", baseline)):
        if not np.isfinite(values).all():
            raise InputError(name, f"query {int(np.argmin(np.isfinite(values)))} has no finite value")
    difference = paired_difference(candidate, baseline, num_resamples=num_resamples, seed=seed)
    gains = candidate - baseline
    return PairedTest(
        difference=difference,
        p_value=randomisation_p(gains, num_resamples=num_resamples, seed=seed),
        num_better=int((gains > 0).sum()),
        num_worse=int((gains < 0).sum()),
    )


def randomisation_p(gains: NDArray[np.float64], *, num_resamples: int = 10_000, seed: int = 0) -> float:
    """How often the mean gain would be at least as far from 0 if the sign of each query's gain were a coin's.

    All sign patterns are tried where there are few; otherwise `num_resamples` are drawn and the observed one is
    counted among them, so that p is never 0.

    Args:
        gains: (Q,) candidate minus baseline.

    Source: Smucker, Allan, Carterette, "A comparison of statistical significance tests for information retrieval
    evaluation", CIKM 2007 (Fisher's randomisation test).
    """
    moved = gains[gains != 0]
    if not len(moved):
        return 1.0
    observed = abs(moved.sum())
    # Sums of the same numbers in another order differ in the last bits.
    least = observed - 1e-9 * np.abs(moved).sum()
    if len(moved) <= _EXACT_UP_TO:
        signs = 2.0 * ((np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1) - 1
        return float(np.mean(np.abs(signs @ moved) >= least))
    rng = np.random.default_rng(seed)
    as_far = 1
    for first in range(0, num_resamples, _BATCH):
        signs = rng.choice((-1.0, 1.0), size=(min(_BATCH, num_resamples - first), len(moved)))
        as_far += int((np.abs(signs @ moved) >= least).sum())
    return as_far / (num_resamples + 1)
