"""Ends of found moments, moved to where the clips around say that something starts or ends. numpy alone.

A moment's scores place its ends within a second or so, and run on over a rest into the next action that looks alike.
What starts or ends, and when, is told more exactly by how entities move, whatever the words were. So a moment is cut at
the gaps in it, and each end goes to the likeliest quarter of a stride near it.

M moments of one video, C cells of time.
"""

import numpy as np
from numpy.typing import NDArray

from henasy.heads.moment_ends import CELLS, EndScores

Floats = NDArray[np.float64]

WINDOW_STRIDES = 1.5
"""An end moves at most so far, cuts aside."""
_SPREAD_STRIDES = 0.8
"""How far ends by scores usually are from the true ones."""
_GAP_STRIDES = 7.0
"""A gap's start comes at most so long after its end."""
_GAP_LOG_ODDS = -1.0
"""What end and start of a gap add up to at least, and neither is less than `_LEAST_LOG_ODDS`. All five were chosen on
development archives (docs/moments_study.md)."""
_LEAST_LOG_ODDS = -2.0
_ROUNDING_S = 1e-6


def refine_ends(spans: Floats, peaks_s: Floats, scores: EndScores) -> Floats:
    """(M, 2) the same moments, cut at gaps and with nearer ends; an end that lies in no cell stays.

    Moments that were disjoint stay so: none reaches past another's middle, and of two that would then overlap the
    better one keeps its end. Each keeps its own middle, or, where it is cut, that of the piece that is left.

    Args:
        spans: (M, 2) start and end in seconds, best first.
        peaks_s: (M,) a time in each that a cut leaves in it.
        scores: of the cells in the moments and near their ends; others may be there.
    """
    gaps = _gaps(scores)
    both = zip(spans.tolist(), peaks_s.tolist(), strict=True)
    spans = np.array([_cut((start_s, end_s), peak_s, gaps) for (start_s, end_s), peak_s in both]).reshape(-1, 2)
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


def put_back(refined: Floats, spans: Floats, is_back: NDArray[np.bool_]) -> Floats:
    """(M, 2) refined moments of which some have their first ends again; the others make room, and all stay disjoint.

    Args:
        refined: (M, 2) start and end in seconds, from `refine_ends`.
        spans: (M, 2) the same moments before.
        is_back: (M,) which ones go back.
    """
    found = np.where(is_back[:, None], spans, refined)
    for start_s, end_s in spans[is_back].tolist():
        is_earlier, is_later = spans[:, 1] <= start_s, spans[:, 0] >= end_s
        found[is_earlier, 1] = np.minimum(found[is_earlier, 1], start_s)
        found[is_later, 0] = np.maximum(found[is_later, 0], end_s)
    return found


def near_moments(centres_s: Floats, spans: Floats, reach_s: float) -> NDArray[np.bool_]:
    """(N,) which clips lie in any of the moments or near its ends.

    Args:
        centres_s: (N,) middles of the clips.
        spans: (M, 2) start and end in seconds.
        reach_s: how near.
    """
    is_near = (centres_s[:, None] >= spans[:, 0] - reach_s) & (centres_s[:, None] <= spans[:, 1] + reach_s)
    return np.asarray(is_near.any(axis=1), np.bool_)


def _gaps(scores: EndScores) -> list[tuple[float, float]]:
    """When something ends and when the next starts, wherever both are likely enough, in the order of time."""
    starts, ends = _peaks(scores.starts), _peaks(scores.ends)
    width_s, overlap_s = _GAP_STRIDES * scores.stride_s, scores.stride_s / 4
    found = []
    for end in ends.tolist():
        after_s = scores.times_s[starts] - scores.times_s[end]
        is_likely = scores.starts[starts] + scores.ends[end] > _GAP_LOG_ODDS
        next_start = starts[(after_s >= -overlap_s) & (after_s <= width_s) & is_likely]
        if len(next_start):
            found.append((float(scores.times_s[end]), float(scores.times_s[next_start[0]])))
    return found


def _peaks(log_odds: NDArray[np.float32]) -> NDArray[np.int64]:
    """Cells that are likelier than those beside them, and likely enough for a gap."""
    before, after = np.r_[np.inf, log_odds[:-1]], np.r_[log_odds[1:], np.inf]
    return np.flatnonzero((log_odds >= before) & (log_odds > after) & (log_odds > _LEAST_LOG_ODDS))


def _cut(span: tuple[float, float], peak_s: float, gaps: list[tuple[float, float]]) -> tuple[float, float]:
    """The piece of a span around a time between the gaps that lie in it."""
    start_s, end_s = span
    for from_s, until_s in gaps:
        if not (start_s < from_s and until_s < end_s):
            continue
        if until_s <= peak_s:
            start_s = until_s
        elif from_s >= peak_s:
            end_s = from_s
    return start_s, end_s


def _likeliest(
    end_s: float, times_s: Floats, log_odds: NDArray[np.float32], limits_s: tuple[float, float], stride_s: float
) -> float:
    """The time near an end at which its log odds and the distance speak for it together."""
    away_s = np.abs(times_s - end_s)
    # At the border of a video, of a gap in the index or of a filter all cells lie inwards, and would draw every end.
    if away_s.min(initial=np.inf) > stride_s / CELLS / 2 + _ROUNDING_S:
        return end_s
    is_open = (away_s <= WINDOW_STRIDES * stride_s) & (times_s >= limits_s[0]) & (times_s <= limits_s[1])
    if not is_open.any():
        return end_s
    times_s = times_s[is_open]
    votes = log_odds[is_open] - 0.5 * ((times_s - end_s) / (_SPREAD_STRIDES * stride_s)) ** 2
    best = int(votes.argmax())
    # Between two cells that are about as likely lies an end that is nearer to both.
    is_beside = np.abs(times_s - times_s[best]) < 0.3 * stride_s
    weights = np.exp(votes[is_beside] - votes[best])
    return float(weights @ times_s[is_beside] / weights.sum())
