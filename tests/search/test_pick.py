"""Picking from growing lists, against picking from the whole list."""

import numpy as np
import pytest
from numpy.typing import NDArray

from henasy.index.reader import ClipColumns
from henasy.search.pick import PickRule, Ranked, grouped_order, pick

NUM_VIDEOS = 6


def world(seed: int) -> tuple[Ranked, ClipColumns]:
    rng = np.random.default_rng(seed)
    video_row = np.sort(rng.integers(0, NUM_VIDEOS, 300))
    start_s = np.concatenate([np.arange(count) for count in np.bincount(video_row)]).astype(np.float64)
    scores = rng.random(300).round(2).astype(np.float32)
    rows = np.lexsort((np.arange(300), -scores))
    return Ranked(scores[rows], rows), ClipColumns(video_row.astype(str), start_s, start_s + 2, video_row)


def naive(ranked: Ranked, clips: ClipColumns, rule: PickRule) -> list[int]:
    taken: list[int] = []
    for score, row in zip(ranked.scores, ranked.rows, strict=True):
        same = [other for other in taken if clips.video_row[other] == clips.video_row[row]]
        is_low = rule.min_score is not None and score < rule.min_score
        is_full = rule.max_per_video is not None and len(same) >= rule.max_per_video
        is_near = rule.is_distinct and any(abs(clips.start_s[other] - clips.start_s[row]) < 2 for other in same)
        if not (is_low or is_full or is_near):
            taken.append(int(row))
    return taken[: rule.top_k]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("top_k", [1, 7, 250, 1000])
@pytest.mark.parametrize("min_score", [None, 0.9, 2.0])
@pytest.mark.parametrize("max_per_video", [None, 1, 4])
@pytest.mark.parametrize("is_distinct", [False, True])
def test_pick_equals_picking_from_everything(
    seed: int, top_k: int, min_score: float | None, max_per_video: int | None, is_distinct: bool
) -> None:
    ranked, clips = world(seed)
    rule = PickRule(top_k=top_k, min_score=min_score, max_per_video=max_per_video, is_distinct=is_distinct)

    def places(rows: NDArray[np.int64]) -> ClipColumns:
        return ClipColumns(*(column[rows] for column in clips))

    picked = pick(lambda k: Ranked(ranked.scores[:k], ranked.rows[:k]), places, rule, NUM_VIDEOS)
    assert picked.rows.tolist() == naive(ranked, clips, rule)
    np.testing.assert_array_equal(
        picked.scores, [dict(zip(ranked.rows, ranked.scores, strict=True))[r] for r in picked.rows]
    )


def test_pick_stops_when_every_video_gave_what_it_may() -> None:
    ranked, clips = world(0)
    asked = []

    def nearest(k: int) -> Ranked:
        asked.append(k)
        return Ranked(ranked.scores[:k], ranked.rows[:k])

    rule = PickRule(top_k=1000, max_per_video=1)
    pick(nearest, lambda rows: ClipColumns(*(column[rows] for column in clips)), rule, NUM_VIDEOS)
    assert max(asked) < 300


def test_grouped_order_keeps_rank_within_and_between_videos() -> None:
    order = grouped_order(np.array([5, 2, 5, 9, 2, 5]))
    assert order.tolist() == [0, 2, 5, 1, 4, 3]
