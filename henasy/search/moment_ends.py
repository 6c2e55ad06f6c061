"""Ends of found moments, moved to where the clips around say that something starts or ends. numpy alone.

A moment's scores place its ends within a second or so; what starts or ends there is told more exactly by how entities
move, whatever the words were. So each end goes to the likeliest quarter of a stride near it, and no further.

M moments of one video, C cells of time.
"""

import numpy as np
from numpy.typing import NDArray

from henasy.heads.moment_ends import EndScores

Floats = NDArray[np.float64]

WINDOW_STRIDES = 1.5
"""An end moves at most so far."""
_SPREAD_STRIDES = 0.8
"""How far ends by scores usually are from the true ones; both chosen on development archives (docs/benchmarks.md)."""


def refine_ends(spans: Floats, scores: EndScores) -> Floats:
    """(M, 2) the same moments with their ends refined; where no cell is near, an end stays.

    Moments that were disjoint stay so: none reaches past another's middle, and of two that would then overlap the
    better one keeps its end. Each keeps its own middle.

    Args:
        spans: (M, 2) start and end in seconds, best first.
        scores: of the cells near the ends; others may be there.
    """
    middles_s, stride_s = spans.mean(axis=1), scores.stride_s
    refined = spans.copy()
    for row, (start_s, end_s) in enumerate(spans.tolist()):
        middle_s = float(middles_s[row])
        earlier, later = spans[:, 1] <= start_s, spans[:, 0] >= end_s
        first_s = float(middles_s[earlier].max(initial=-np.inf))
        last_s = float(middles_s[later].min(initial=np.inf))
        least_s = min(stride_s / 4, (end_s - start_s) / 2)
        start_s = _likeliest(start_s, scores.times_s, scores.starts, (first_s, middle_s - least_s), stride_s)
        end_s = _likeliest(end_s, scores.times_s, scores.ends, (middle_s + least_s, last_s), stride_s)
        start_s = max([start_s, *refined[:row][earlier[:row], 1].tolist()])
        end_s = min([end_s, *refined[:row][later[:row], 0].tolist()])
        refined[row] = start_s, end_s
    return refined


def near_ends(centres_s: Floats, spans: Floats, reach_s: float) -> NDArray[np.bool_]:
    """(N,) which clips lie near any of the ends.

    Args:
        centres_s: (N,) middles of the clips.
        spans: (M, 2) start and end in seconds.
        reach_s: how near.
    """
    return np.asarray((np.abs(centres_s[:, None] - spans.reshape(1, -1)) <= reach_s).any(axis=1), np.bool_)


def _likeliest(
    end_s: float, times_s: Floats, log_odds: NDArray[np.float32], limits_s: tuple[float, float], stride_s: float
) -> float:
    """The time near an end at which its log odds and the distance speak for it together."""
    is_open = (
        (np.abs(times_s - end_s) <= WINDOW_STRIDES * stride_s) & (times_s >= limits_s[0]) & (times_s <= limits_s[1])
    )
    if not is_open.any():
        return end_s
    times_s = times_s[is_open]
    votes = log_odds[is_open] - 0.5 * ((times_s - end_s) / (_SPREAD_STRIDES * stride_s)) ** 2
    best = int(votes.argmax())
    # Between two cells that are about as likely lies an end that is nearer to both.
    is_beside = np.abs(times_s - times_s[best]) < 0.3 * stride_s
    weights = np.exp(votes[is_beside] - votes[best])
    return float(weights @ times_s[is_beside] / weights.sum())
