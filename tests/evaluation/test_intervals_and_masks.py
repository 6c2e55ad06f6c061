"""Bootstrap intervals and mask overlaps against theory, brute force and small drawings."""

from itertools import combinations

import numpy as np
import pytest

from henasy.errors import InputError
from henasy.evaluation.intervals import paired_difference
from henasy.evaluation.masks import entity_ious, grid_ceiling, mask_iou


def test_paired_difference_agrees_with_the_normal_interval() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = (rng.random(4000) < 0.6).astype(float), (rng.random(4000) < 0.5).astype(float)
    result = paired_difference(ours, theirs)
    gain = ours - theirs
    half = 1.96 * gain.std() / np.sqrt(len(gain))
    assert result.mean == pytest.approx(gain.mean())
    assert result.low == pytest.approx(gain.mean() - half, abs=2e-3)
    assert result.high == pytest.approx(gain.mean() + half, abs=2e-3)
    assert result.is_above_zero
    assert paired_difference(ours, theirs) == result


def test_paired_difference_of_equals_is_zero() -> None:
    result = paired_difference(np.ones(50), np.ones(50))
    assert result == (0.0, 0.0, 0.0)
    assert not result.is_above_zero


def test_paired_difference_grouped_is_wider_when_groups_agree() -> None:
    gain = np.repeat(np.random.default_rng(2).random(30) < 0.5, 40).astype(float)
    groups = np.repeat(np.arange(30), 40)
    alone, grouped = (paired_difference(gain, np.full(1200, 0.3), groups=given) for given in (None, groups))
    assert grouped.high - grouped.low > 4 * (alone.high - alone.low)


def test_paired_difference_refuses() -> None:
    with pytest.raises(InputError, match="does not pair"):
        paired_difference(np.ones(3), np.ones(2))
    with pytest.raises(InputError, match="groups"):
        paired_difference(np.ones(3), np.ones(3), groups=np.ones(2, np.int64))


def test_mask_iou_small_drawing() -> None:
    left, top = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    left[:, :2], top[:2] = True, True
    assert mask_iou(left, top) == pytest.approx(4 / 12)
    assert mask_iou(left, np.zeros((4, 4), bool)) == 0
    with pytest.raises(InputError, match="shape"):
        mask_iou(left, np.zeros((4, 5), bool))


def test_entity_ious_equal_masks_painted_at_full_resolution() -> None:
    rng = np.random.default_rng(4)
    assignment = rng.integers(0, 3, 12)
    truth = rng.random((9, 16)) < 0.3
    painted = np.kron(assignment.reshape(3, 4), np.ones((3, 4), int))
    ious = entity_ious(assignment, truth, (3, 4), 5)
    assert ious.tolist() == pytest.approx([mask_iou(painted == entity, truth) for entity in range(5)])


def test_grid_ceiling_equals_brute_force() -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        truth = rng.random((6, 9)) < 0.35
        cells = np.kron(np.arange(6).reshape(2, 3), np.ones((3, 3), int))
        subsets = (subset for size in range(7) for subset in combinations(range(6), size))
        best = max(mask_iou(np.isin(cells, subset), truth) for subset in subsets)
        assert grid_ceiling(truth, (2, 3)) == pytest.approx(best)
    assert grid_ceiling(np.zeros((6, 9), bool), (2, 3)) == 0
