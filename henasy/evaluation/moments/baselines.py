"""Plain ways to find moments from the scores of dense clips: what a moment search has to beat.

N clips of one video in the order of time, E entities, D width of the joint space; M found moments, best first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import ConfigError
from henasy.heads.moment_ends import EndScores

Floats = NDArray[np.float64]

MAX_MOMENTS = 10
_RELATIVE = tuple(np.round(np.arange(0.1, 0.96, 0.05), 2).tolist())
_NUM_ABSOLUTE = 20


class DenseClips(NamedTuple):
    """The clips of one video."""

    starts_s: Floats
    """(N,)"""
    ends_s: Floats
    """(N,)"""
    vectors: NDArray[np.float32]
    """(N, D) L2-normalised"""
    entities: NDArray[np.float32] | None = None
    """(N, E, D) L2-normalised; None or E = 0 where there are none"""
    is_valid: NDArray[np.bool_] | None = None
    """(N, E) whether an entity owns any patch"""
    ends: EndScores | None = None
    """Where anything starts or ends, for models that tell; `find_moments` alone looks at them"""

    @property
    def middles_s(self) -> Floats:
        """(N,)"""
        return (self.starts_s + self.ends_s) / 2


class RankedSpans(NamedTuple):
    """What a finder answers for one video, best first; no two overlap."""

    spans: Floats
    """(M, 2) seconds"""
    scores: Floats
    """(M,)"""


Finder = Callable[[DenseClips, Floats], RankedSpans]
"""From clips and their scores (N,) to moments."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """Where a score counts as high."""

    kind: Literal["absolute", "relative"]
    """`relative`: a share of the way from the median of a video's scores to the largest of them."""
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("absolute", "relative") or not np.isfinite(self.value):
            raise ConfigError(f"level is {self.kind!r} {self.value}, must be a finite absolute or relative one")

    def of(self, scores: Floats) -> float:
        """The threshold for one video's scores; never above the largest of them, so that something is found."""
        top = float(scores.max())
        if self.kind == "absolute":
            return min(self.value, top)
        middle = float(np.median(scores))
        return min(middle + self.value * (top - middle), top)

    def __str__(self) -> str:
        return f"{self.value:.3f}" if self.kind == "absolute" else f"median + {self.value:.2f} (max - median)"


def best_clips(clips: DenseClips, scores: Floats) -> RankedSpans:
    """The best single clips, none of which overlaps a better one; of equal scores the earlier clip is the better."""
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if all(clips.starts_s[row] >= clips.ends_s[one] or clips.ends_s[row] <= clips.starts_s[one] for one in kept):
            kept.append(row)
        if len(kept) == MAX_MOMENTS:
            break
    return RankedSpans(np.stack([clips.starts_s[kept], clips.ends_s[kept]], axis=1), scores[kept])


def clip_runs(clips: DenseClips, scores: Floats, level: Level) -> RankedSpans:
    """Unbroken runs of clips that reach the level, from the middle between neighbouring clips at either end.

    Where a run starts, the time that its first clip shares with the clip before belongs half to each. The score is that
    of the best clip; of equal runs the earlier is the better.
    """
    first, last = _runs(scores >= level.of(scores))
    halves = (clips.middles_s[1:] + clips.middles_s[:-1]) / 2
    edges = np.concatenate([clips.starts_s[:1], halves, clips.ends_s[-1:]])
    return _ranked(np.stack([edges[first], edges[last + 1]], axis=1), first, last, scores)


def level_crossings(clips: DenseClips, scores: Floats, level: Level) -> RankedSpans:
    """The same runs, their ends where the line between the scores of neighbouring clips' middles crosses the level.

    A run that reaches the first or last clip goes to the start or end of the video.
    """
    threshold = level.of(scores)
    first, last = _runs(scores >= threshold)
    starts = _crossings(clips, scores, threshold, first, -1)
    ends = _crossings(clips, scores, threshold, last, +1)
    return _ranked(np.stack([starts, ends], axis=1), first, last, scores)


def candidate_levels(scores: Sequence[Floats]) -> list[Level]:
    """The levels to choose from on a training set: shares of the range, and quantiles of the videos' top scores."""
    tops = np.array([row.max() for row in scores])
    medians = np.array([np.median(row) for row in scores])
    absolute = np.linspace(np.median(medians), np.quantile(tops, 0.95), _NUM_ABSOLUTE)
    return [Level(kind="relative", value=value) for value in _RELATIVE] + [
        Level(kind="absolute", value=float(value)) for value in absolute
    ]


def _runs(is_high: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last row of every unbroken run."""
    steps = np.diff(np.concatenate([[False], is_high, [False]]).astype(np.int8))
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1


def _crossings(clips: DenseClips, scores: Floats, threshold: float, rows: NDArray[np.int64], step: int) -> Floats:
    """Where the line from each row's score (at or above) to the neighbour's (below) crosses the threshold."""
    others = rows + step
    is_inside = (others >= 0) & (others < len(scores))
    others = np.where(is_inside, others, rows)
    fall = scores[rows] - scores[others]
    share = np.divide(scores[rows] - threshold, fall, out=np.zeros_like(fall), where=fall > 0)
    middles = clips.middles_s
    crossed = middles[rows] + share * (middles[others] - middles[rows])
    at_edge = clips.starts_s[rows] if step < 0 else clips.ends_s[rows]
    return np.where(is_inside, crossed, at_edge)


def _ranked(spans: Floats, first: NDArray[np.int64], last: NDArray[np.int64], scores: Floats) -> RankedSpans:
    best = np.array([scores[start : end + 1].max() for start, end in zip(first, last, strict=True)])
    order = np.argsort(-best, kind="stable")[:MAX_MOMENTS]
    return RankedSpans(spans[order], best[order])
