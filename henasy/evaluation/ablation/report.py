"""What the finished runs say about the paper's claims: paired differences over test videos and seeds, and verdicts.

S seeds, V test videos, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm as normal
from scipy.stats import t as student

from henasy.errors import AnnotationError
from henasy.evaluation.ablation.plan import CLAIMS, COMPONENTS, ENTRY_OF, Claim
from henasy.evaluation.ablation.results import FinishedRun

HOLDS, OPPOSITE, UNDECIDED = "holds", "opposite", "cannot tell"
NUM_RESAMPLES = 10_000
_LEVEL = 0.95
_FEWEST_SEEDS = 2
# Resamples drawn at a time: bounds the count matrix to some megabytes.
_BATCH = 1_000


class Contrast(NamedTuple):
    """How much better one row is than another, as a fraction."""

    mean: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    """Over all test videos."""
    paper: float | None
    """The paper's own difference, a fraction; None where it has no such number."""

    @property
    def verdict(self) -> str:
        """Whether the interval and every seed say the same; one seed alone says nothing about others."""
        if len(self.by_seed) < _FEWEST_SEEDS:
            return UNDECIDED
        if self.low > 0 and min(self.by_seed) > 0:
            return HOLDS
        if self.high < 0 and max(self.by_seed) < 0:
            return OPPOSITE
        return UNDECIDED


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim with what was found."""

    claim: Claim
    overall: Contrast
    """Of the mean over the claim's measures."""
    by_measure: Mapping[str, Contrast]
    """Of every measure that both have, also of those that the claim is not about."""


@dataclass(frozen=True, kw_only=True)
class RowScores:
    """One row of the table, or a reading of one."""

    label: str
    num_seeds: int
    mean: Mapping[str, float]
    """By measure that the row has, over seeds."""
    spread: Mapping[str, float]
    """Standard deviation over seeds; NaN for one."""


@dataclass(frozen=True, kw_only=True)
class AblationReport:
    """Table and claims of one experiment."""

    rows: list[RowScores]
    judged: list[Judged]
    unjudged: list[tuple[Claim, str]]
    """Claims with what is missing."""


def ablation_report(
    runs: Sequence[FinishedRun], *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> AblationReport:
    """Table and claims of the runs of one experiment.

    Raises:
        AnnotationError: the runs are of several experiments, or were asked about different videos.
    """
    for name in ("experiment", "videos"):
        if len(values := {getattr(run, name) for run in runs}) > 1:
            raise AnnotationError(f"runs of several {name} cannot be compared: {sorted(values)}")
    of_row: dict[str, dict[int, FinishedRun]] = {key: {} for key in ENTRY_OF}
    for run in runs:
        of_row[run.row][run.seed] = run
    judged, unjudged = [], []
    for claim in CLAIMS:
        better, worse = of_row[claim.better], of_row[claim.worse]
        seeds = sorted(set(better) & set(worse))
        if not seeds:
            unjudged.append((claim, f"no seed with both {claim.better} and {claim.worse}"))
            continue
        pairs = [(better[one], worse[one]) for one in seeds]
        judged.append(_judge(claim, pairs, num_resamples, seed))
    return AblationReport(rows=_table(of_row), judged=judged, unjudged=unjudged)


def _table(of_row: Mapping[str, Mapping[int, FinishedRun]]) -> list[RowScores]:
    rows = []
    for key, by_seed in of_row.items():
        if by_seed:
            asked = [name for name in ENTRY_OF[key].measures if all(name in run.scores for run in by_seed.values())]
            values = {measure: np.array([run.scores[measure] for run in by_seed.values()]) for measure in asked}
            spread = {name: float(own.std(ddof=1)) if len(own) > 1 else float("nan") for name, own in values.items()}
            means = {name: float(own.mean()) for name, own in values.items()}
            rows.append(RowScores(label=ENTRY_OF[key].label, num_seeds=len(by_seed), mean=means, spread=spread))
    return rows


def _judge(claim: Claim, pairs: Sequence[tuple[FinishedRun, FinishedRun]], num_resamples: int, seed: int) -> Judged:
    draws = _draw_seeds(len(pairs), num_resamples, np.random.default_rng((seed, 1)))
    both = [ENTRY_OF[key].measures for key in (claim.better, claim.worse)]
    asked = [name for name in both[0] if name in both[1]]
    shared = [name for name in asked if all(name in run.scores for pair in pairs for run in pair)]
    gains = {measure: _gains(measure, pairs, num_resamples, seed) for measure in shared}
    by_measure = {measure: _contrast(gain, draws, claim.paper_gain((measure,))) for measure, gain in gains.items()}
    claimed = [gains[measure] for measure in claim.measures]
    whole = _Gains(*(np.mean(parts, axis=0) for parts in zip(*claimed, strict=True)))
    return Judged(claim=claim, overall=_contrast(whole, draws, claim.paper_gain(claim.measures)), by_measure=by_measure)


class _Gains(NamedTuple):
    """Differences of two rows' means of one measure."""

    observed: NDArray[np.float64]
    """(S,) on all videos"""
    resampled: NDArray[np.float64]
    """(R, S) on videos drawn with replacement, the same draw for every seed and measure"""


def _gains(measure: str, pairs: Sequence[tuple[FinishedRun, FinishedRun]], num_resamples: int, seed: int) -> _Gains:
    observed, resampled = [], []
    for component in COMPONENTS[measure]:
        sums = [(better.sums(component), worse.sums(component)) for better, worse in pairs]
        counts = sums[0][0][:, 1]
        if any((both[:, 1] != counts).any() for pair in sums for both in pair):
            raise AnnotationError(f"{component}: runs were asked about different numbers of things in a video")
        gain = np.stack([better[:, 0] - worse[:, 0] for better, worse in sums], axis=1)  # (V, S)
        observed.append(gain.sum(axis=0) / counts.sum())
        resampled.append(_resampled(gain, counts, num_resamples, np.random.default_rng(seed)))
    return _Gains(np.mean(observed, axis=0), np.mean(resampled, axis=0))


def _resampled(
    gain: NDArray[np.float64], counts: NDArray[np.float64], num_resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(R, S) means over draws of whole videos."""
    num_videos = len(counts)
    parts = []
    for first in range(0, num_resamples, _BATCH):
        size = min(_BATCH, num_resamples - first)
        times = rng.multinomial(num_videos, np.full(num_videos, 1 / num_videos), size=size).astype(np.float64)
        parts.append((times @ gain) / np.maximum(times @ counts, 1.0)[:, None])
    return np.concatenate(parts)


def _draw_seeds(num_seeds: int, num_resamples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(R, S) seeds drawn with replacement."""
    return rng.integers(num_seeds, size=(num_resamples, num_seeds))


def _contrast(gains: _Gains, draws: NDArray[np.int64], paper: float | None) -> Contrast:
    """Videos and seeds drawn anew, the seeds' share of the spread widened as `seed_widening` says."""
    centre = gains.resampled.mean(axis=1, keepdims=True)
    num_seeds = gains.resampled.shape[1]
    spread = seed_widening(num_seeds) if num_seeds > 1 else 0.0
    drawn = np.take_along_axis(gains.resampled - centre, draws, axis=1).mean(axis=1)
    values = centre[:, 0] + spread * drawn
    low, high = np.quantile(values, ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
    by_seed = tuple(float(gain) for gain in gains.observed)
    return Contrast(float(gains.observed.mean()), float(low), float(high), by_seed, paper)


def seed_widening(num_seeds: int) -> float:
    """By how much means of seeds drawn with replacement must be spread for about 95 % of intervals to hold the truth.

    So few values drawn anew vary too little, by sqrt(S / (S - 1)); and their spread is itself hardly known, so that
    Student's quantile with S - 1 degrees of freedom takes the place of the normal one.
    """
    upper = (1 + _LEVEL) / 2
    return float((num_seeds / (num_seeds - 1)) ** 0.5 * student.ppf(upper, num_seeds - 1) / normal.ppf(upper))
