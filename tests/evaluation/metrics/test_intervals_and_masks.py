"""Bootstrap intervals and mask overlaps against theory, brute force and small drawings."""

from itertools import combinations

import numpy as np
import pytest

from henasy.errors import InputError
from henasy.evaluation.metrics.intervals import paired_difference
from henasy.evaluation.metrics.masks import covered_pixels, entity_ious, grid_ceiling, patch_of_pixel, patch_pixels
from henasy.video.geometry import FrameCrop, Size
from henasy.video.preprocess import PreprocessSpec


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


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_patch_of_pixel_agrees_with_masks_drawn_in_the_frame() -> None:
    spec = PreprocessSpec(image_px=96, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    for size in ((90, 160), (121, 77)):
        crop = spec.crop_to_frame(*size)
        cells = patch_of_pixel(crop, (4, 4))
        drawn = crop.masks_to_frame(np.arange(16).reshape(4, 4), is_smooth=False, outside=-1)
        np.testing.assert_array_equal(cells, drawn)


def test_entity_ious_equal_masks_painted_at_full_resolution() -> None:
    rng = np.random.default_rng(4)
    crop = FrameCrop(2.0, 0.0, 12.0, 9.0, Size(9, 16))
    assignment, truth = rng.integers(0, 3, (2, 12)), rng.random((2, 9, 16)) < 0.3
    cells = patch_of_pixel(crop, (3, 4))
    pixels, covered = patch_pixels(cells, 12), covered_pixels(truth, cells, 12)
    ious = entity_ious(assignment, covered, pixels, 5)
    painted = np.kron(assignment.reshape(2, 3, 4), np.ones((1, 3, 3), int))
    seen = truth[:, :, 2:14]
    assert ious[:3].tolist() == pytest.approx([iou(painted == entity, seen) for entity in range(3)])
    assert ious[3:].tolist() == [0, 0]
    with pytest.raises(InputError, match="truth"):
        covered_pixels(truth[:, :8], cells, 12)


def test_grid_ceiling_equals_brute_force() -> None:
    rng = np.random.default_rng(5)
    cells = patch_of_pixel(FrameCrop(0.0, 0.0, 9.0, 6.0, Size(6, 9)), (2, 3))
    for _ in range(5):
        truth = rng.random((1, 6, 9)) < 0.35
        subsets = (subset for size in range(1, 7) for subset in combinations(range(6), size))
        best = max(iou(np.isin(cells, subset), truth[0]) for subset in subsets)
        ceiling = grid_ceiling(covered_pixels(truth, cells, 6), patch_pixels(cells, 6))
        assert ceiling == pytest.approx(best)
    assert grid_ceiling(np.zeros((1, 6)), patch_pixels(cells, 6)) == 0
