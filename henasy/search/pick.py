"""Which of the ranked rows become hits: thresholds, at most so many per video, no overlapping clips.

Nearest neighbours come as a list of any length, best first; what is wanted of them cannot be known beforehand, so
the list is asked for again, longer, until there are enough. n rows of a list.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.index.reader import ClipColumns

_FIRST_FACTOR = 4
_GROWTH = 4


class Ranked(NamedTuple):
    """Rows, best first."""

    scores: NDArray[np.float32]
    """(n,)"""
    rows: NDArray[np.int64]
    """(n,)"""


@dataclass(frozen=True, kw_only=True)
class PickRule:
    """What is taken from a ranked list."""

    top_k: int
    min_score: float | None = None
    max_per_video: int | None = None
    is_distinct: bool = False
    """Leaves out rows of clips that overlap, in the same video, the clip of a better row."""

    @property
    def is_plain(self) -> bool:
        """Whether the best rows are simply the first ones."""
        return self.max_per_video is None and not self.is_distinct


def pick(
    nearest: Callable[[int], Ranked],
    places: Callable[[NDArray[np.int64]], ClipColumns],
    rule: PickRule,
    num_videos: int,
) -> Ranked:
    """The rows that the rule takes, best first.

    Args:
        nearest: the best rows; fewer than asked for only when there are no more.
        places: the clips that rows belong to.
        num_videos: videos that rows can come from; ends the search when all have given what they may.
    """
    most = rule.top_k
    if rule.max_per_video is not None:
        most = min(most, num_videos * rule.max_per_video)
    if most == 0:
        return Ranked(np.zeros(0, np.float32), np.zeros(0, np.int64))
    asked = most if rule.is_plain else _FIRST_FACTOR * most
    while True:
        ranked = nearest(asked)
        is_all = len(ranked.rows) < asked
        if rule.min_score is not None:
            num_above = int(np.count_nonzero(ranked.scores >= rule.min_score))
            is_all = is_all or num_above < len(ranked.rows)
            ranked = Ranked(ranked.scores[:num_above], ranked.rows[:num_above])
        if rule.is_plain:
            return ranked
        kept = _kept(places(ranked.rows), rule, most)
        if len(kept) == most or is_all:
            return Ranked(ranked.scores[kept], ranked.rows[kept])
        asked *= _GROWTH


def _kept(clips: ClipColumns, rule: PickRule, most: int) -> NDArray[np.int64]:
    """Positions in the list of the rows that are taken, at most `most`."""
    kept: list[int] = []
    taken: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for position, (video, start_s, end_s) in enumerate(zip(clips.video_row, clips.start_s, clips.end_s, strict=True)):
        spans = taken[video]
        if rule.max_per_video is not None and len(spans) >= rule.max_per_video:
            continue
        if rule.is_distinct and any(start_s < other_end and other_start < end_s for other_start, other_end in spans):
            continue
        spans.append((start_s, end_s))
        kept.append(position)
        if len(kept) == most:
            break
    return np.array(kept, np.int64)


def grouped_order(video_rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions (n,) that bring the rows of a video together, videos in the order of their first row."""
    first: dict[int, int] = {}
    for position, video in enumerate(video_rows):
        first.setdefault(int(video), position)
    leaders = np.array([first[int(video)] for video in video_rows], np.int64)
    return np.argsort(leaders, kind="stable")
