"""Clips of a video, by hand-worked tables and by the properties every plan must have."""

import numpy as np
import pytest

from henasy.errors import ConfigError, InputError
from henasy.video import ClipPlan, frame_times


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (0.04, [[0, 0.04]]),  # one frame
        (1.3, [[0, 1.3]]),  # shorter than a clip
        (2.0, [[0, 2]]),
        (2.0005, [[0, 2]]),  # rounding of the clock
        (2.5, [[0, 2], [1, 2.5]]),  # three quarters of a clip are left at the next start
        (4.0, [[0, 2], [1, 3], [2, 4]]),
        (4.2, [[0, 2], [1, 3], [2, 4], [3, 4.2]]),
    ],
)
def test_spans_of_the_default_plan(duration_s: float, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(ClipPlan().spans(duration_s), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (6.0, [[0, 2], [2, 4], [4, 6]]),
        (6.4, [[0, 2], [2, 4], [4, 6], [4.4, 6.4]]),  # less than half a clip is left: the last two seconds
        (7.5, [[0, 2], [2, 4], [4, 6], [6, 7.5]]),
    ],
)
def test_spans_without_overlap_leave_nothing_out(duration_s: float, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(ClipPlan(stride_s=2.0).spans(duration_s), expected)


def test_spans_of_a_plan_with_gaps_keep_the_gaps() -> None:
    np.testing.assert_allclose(ClipPlan(clip_s=1.0, stride_s=3.0).spans(8.5), [[0, 1], [3, 4], [6, 7]])


@pytest.mark.parametrize("stride_s", [0.3, 0.5, 1.0, 1.7])
def test_spans_cover_any_video_from_start_to_end(stride_s: float) -> None:
    plan = ClipPlan(clip_s=1.7, stride_s=stride_s)
    for duration_s in np.random.default_rng(0).uniform(0.05, 40, 200):
        spans = plan.spans(duration_s)
        assert spans[0, 0] == 0
        assert spans[-1, 1] >= duration_s - 2e-3
        assert spans[:, 1].max() <= duration_s
        assert (np.diff(spans[:, 0]) > 0).all()
        assert (spans[1:, 0] <= spans[:-1, 1] + 1e-9).all()


def test_frame_times_are_midpoints_of_equal_parts() -> None:
    np.testing.assert_allclose(frame_times([[0, 2], [1, 1.4]], 4), [[0.25, 0.75, 1.25, 1.75], [1.05, 1.15, 1.25, 1.35]])
    np.testing.assert_allclose(frame_times([[3, 5]], 1), [[4]])


def test_plan_id_depends_on_every_setting_and_not_on_the_kind_of_number() -> None:
    plans = [ClipPlan(), ClipPlan(clip_s=3), ClipPlan(stride_s=2), ClipPlan(num_frames=8)]
    assert len({plan.plan_id for plan in plans}) == 4
    assert ClipPlan(clip_s=2, stride_s=1).plan_id == ClipPlan().plan_id


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_s": 0.0}, "clip_s must be in 0.1..600.0 seconds, got 0.0"),
        ({"clip_s": float("nan")}, "clip_s"),
        ({"stride_s": -1.0}, "stride_s must be"),
        ({"num_frames": 0}, "num_frames must be an integer in 1..256, got 0"),
        ({"num_frames": 2.5}, "num_frames"),
    ],
)
def test_plan_refuses_bad_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClipPlan(**settings)


@pytest.mark.parametrize("duration_s", [0.0, -3.0, float("inf"), float("nan")])
def test_spans_refuse_a_duration_that_is_none(duration_s: float) -> None:
    with pytest.raises(InputError, match="duration_s"):
        ClipPlan().spans(duration_s)
