"""Plain finders of moments on scores whose answers are worked out by hand."""

import numpy as np
import pytest

from henasy.errors import ConfigError
from henasy.evaluation.moments.baselines import (
    DenseClips,
    Level,
    best_clips,
    candidate_levels,
    clip_runs,
    level_crossings,
)

HALF = Level(kind="absolute", value=0.5)


def _clips(num: int) -> DenseClips:
    starts = np.arange(num, dtype=np.float64)
    return DenseClips(starts, starts + 2.0, np.zeros((num, 1), np.float32))


SCORES = np.array([0.0, 0.2, 0.6, 1.0, 0.4, 0.0, 0.0, 0.7, 0.7])


def test_best_clips_are_ranked_and_do_not_overlap() -> None:
    found = best_clips(_clips(9), SCORES)
    assert found.spans.tolist() == [[3, 5], [7, 9], [1, 3], [5, 7]]
    assert found.scores.tolist() == [1.0, 0.7, 0.2, 0.0]


def test_of_equal_clips_the_earlier_is_first() -> None:
    assert best_clips(_clips(4), np.full(4, 0.3)).spans.tolist() == [[0, 2], [2, 4]]


def test_runs_end_midway_between_the_last_high_clip_and_the_next() -> None:
    found = clip_runs(_clips(9), SCORES, HALF)
    assert found.spans.tolist() == [[2.5, 4.5], [7.5, 10.0]]
    assert found.scores.tolist() == [1.0, 0.7]


def test_crossings_lie_on_the_line_between_middles() -> None:
    found = level_crossings(_clips(9), SCORES, HALF)
    # 0.2 at 2 s and 0.6 at 3 s meet 0.5 at 2.75 s; 1.0 at 4 s and 0.4 at 5 s at 4 + 5/6 s; 0 at 7 s and 0.7 at 8 s.
    np.testing.assert_allclose(found.spans, np.array([[2.75, 4 + 5 / 6], [7 + 5 / 7, 10.0]]), rtol=1e-12)


def test_crossings_of_a_trapezium_are_the_ends_of_its_action() -> None:
    """The score of a clip is the share of it that an action fills: it is a half where the clip's middle is an end."""
    clips = _clips(60)
    start_s, end_s = 20.3, 41.8
    overlap = np.minimum(clips.ends_s, end_s) - np.maximum(clips.starts_s, start_s)
    found = level_crossings(clips, np.maximum(overlap, 0) / 2, HALF)
    np.testing.assert_allclose(found.spans, np.array([[start_s, end_s]]), atol=1e-9)


def test_a_level_that_nothing_reaches_gives_the_best_clip() -> None:
    high = Level(kind="absolute", value=5.0)
    assert clip_runs(_clips(9), SCORES, high).spans.tolist() == [[3.5, 4.5]]
    assert level_crossings(_clips(9), SCORES, high).spans.tolist() == [[4.0, 4.0]]


def test_one_clip_is_a_whole_video() -> None:
    one = np.array([0.1])
    for find in (clip_runs, level_crossings):
        assert find(_clips(1), one, HALF).spans.tolist() == [[0, 2]]
    assert best_clips(_clips(1), one).spans.tolist() == [[0, 2]]


def test_relative_levels_lie_between_median_and_best() -> None:
    scores = np.array([0.0, 1.0, 2.0, 3.0, 10.0])
    assert Level(kind="relative", value=0.5).of(scores) == 6.0
    assert Level(kind="absolute", value=4.0).of(scores) == 4.0
    levels = candidate_levels([scores, 2 * scores])
    assert {level.kind for level in levels} == {"absolute", "relative"}
    assert all(2.0 <= level.value <= 20.0 for level in levels if level.kind == "absolute")


@pytest.mark.parametrize(("kind", "value"), [("share", 0.5), ("absolute", float("nan"))])
def test_levels_that_are_none_are_refused(kind: str, value: float) -> None:
    with pytest.raises(ConfigError, match=kind):
        Level(kind=kind, value=value)  # type: ignore[arg-type]
