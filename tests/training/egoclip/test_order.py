"""The order of an epoch and the segments of hard negatives, against naive versions."""

import numpy as np
import pytest

from henasy.training.egoclip.order import segments, shuffled


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 255, 1000, 4097])
def test_shuffled_is_a_permutation(size: int) -> None:
    order = shuffled(np.arange(size), size, (1, 2))
    assert sorted(order.tolist()) == list(range(size))
    assert np.array_equal(order[: size // 2], shuffled(np.arange(size // 2), size, (1, 2)))


def test_shuffled_differs_by_key_and_mixes_well() -> None:
    size = 20_000
    order, other = shuffled(np.arange(size), size, (0, 0)), shuffled(np.arange(size), size, (0, 1))
    assert (order == other).mean() < 0.001
    assert abs(np.corrcoef(np.arange(size), order)[0, 1]) < 0.03
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.03
    counts = np.bincount(order[: size // 10] * 20 // size, minlength=20)
    assert ((counts - 100) ** 2 / 100).sum() < 60  # chi square of 19 degrees exceeds 60 once in a million


def test_segments_are_the_clips_of_one_video_and_stretch() -> None:
    rng = np.random.default_rng(0)
    video = np.sort(rng.integers(0, 4, 60)).astype(np.int32)
    times_s = np.concatenate([np.sort(rng.uniform(0, 200, (video == v).sum())) for v in range(4)])
    found = segments(video, times_s, 60.0)
    for row in range(60):
        is_same = (video == video[row]) & (times_s // 60.0 == times_s[row] // 60.0)
        assert np.arange(60)[is_same].tolist() == list(range(found.first[row], found.end[row]))


def test_other_is_any_other_clip_of_the_segment_or_the_clip_alone() -> None:
    found = segments(np.array([0, 0, 0, 1], np.int32), np.array([1.0, 2.0, 3.0, 4.0]), 60.0)
    draws = np.linspace(0, 1, 50, endpoint=False)
    assert set(found.other(np.full(50, 1), draws).tolist()) == {0, 2}
    assert set(found.other(np.full(50, 0), draws).tolist()) == {1, 2}
    assert set(found.other(np.full(50, 3), draws).tolist()) == {3}
