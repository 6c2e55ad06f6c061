"""Masks and boxes from patches, against the geometry module and pycocotools on full-size pixels."""

import numpy as np
import pytest
from pycocotools import mask as coco

from henasy.search.hits import Box
from henasy.search.regions import decode_mask, regions_of
from henasy.video.preprocess import PreprocessSpec


def spec(image_px: int, crop: str = "center") -> PreprocessSpec:
    return PreprocessSpec(image_px=image_px, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), crop=crop)


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (37, 53), (64, 64), (720, 1280), (9, 7), (3, 200)])
@pytest.mark.parametrize("grid", [(12, 12), (14, 14), (3, 4), (1, 1)])
@pytest.mark.parametrize("crop", ["center", "none"])
def test_mask_equals_the_drawn_one(size: tuple[int, int], grid: tuple[int, int], crop: str) -> None:
    rng = np.random.default_rng(sum(size) + grid[0])
    members = rng.random((4, *grid)) < np.array([0.1, 0.5, 0.95, 0.3])[:, None, None]
    frame_crop = spec(64, crop).crop_to_frame(*size)
    drawn = frame_crop.masks_to_frame(members, is_smooth=False) > 0.5
    regions = regions_of(members, np.arange(4.0), frame_crop)
    for region, pixels, time_s in zip(regions, drawn, range(4), strict=True):
        assert region.time_s == time_s
        if not pixels.any():
            assert region.mask is None
            assert region.box is None
            continue
        expected = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
        assert region.mask is not None
        assert (region.mask.height_px, region.mask.width_px) == size
        assert region.mask.counts == expected["counts"].decode()
        np.testing.assert_array_equal(decode_mask(region.mask), pixels)
        left, top, width, height = coco.toBbox(expected)
        assert region.box == Box(left, top, left + width, top + height)


def test_whole_frame_is_one_run() -> None:
    region = regions_of(np.ones((1, 2, 2), np.bool_), np.zeros(1), spec(8).crop_to_frame(8, 8))[0]
    assert region.box == Box(0, 0, 8, 8)
    assert region.mask is not None
    assert decode_mask(region.mask).all()


def test_wide_frame_keeps_what_the_model_did_not_see_empty() -> None:
    region = regions_of(np.ones((1, 3, 3), np.bool_), np.zeros(1), spec(64).crop_to_frame(64, 128))[0]
    assert region.box == Box(32, 0, 96, 64)
