"""Preprocessing against the reference's numbers, and the way back from its square to the displayed frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from henasy.errors import ConfigError, InputError
from henasy.video.geometry import decoded_size
from henasy.video.preprocess import PreprocessSpec, lavila_spec, preprocess

PLAIN = PreprocessSpec(image_px=48, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("tag", ["landscape", "portrait", "square"])
@pytest.mark.parametrize("is_antialiased", [False, True])
def test_preprocess_equals_the_reference(golden_dir: Path, tag: str, is_antialiased: bool) -> None:
    golden = np.load(golden_dir / "preprocess_small.npz")
    spec = replace(lavila_spec(48), is_antialiased=is_antialiased)
    got = preprocess(golden[f"{tag}_frames_THWC_uint8"], spec)
    expected = golden[f"{tag}_out_antialias{int(is_antialiased)}"].transpose(1, 0, 2, 3)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_preprocess_without_crop_keeps_the_whole_frame() -> None:
    frames = np.zeros((1, 48, 96, 3), np.uint8)
    frames[:, :, 95] = 200  # the outermost column, which a centre crop would cut off
    assert preprocess(frames, replace(PLAIN, crop="none"))[0, 0, :, -1].min() > 90
    assert preprocess(frames, PLAIN).max() == 0


def test_preprocess_of_no_frames_is_empty_and_bad_arrays_are_refused() -> None:
    assert preprocess(np.zeros((0, 9, 9, 3), np.uint8), PLAIN).shape == (0, 3, 48, 48)
    with pytest.raises(InputError, match=r"\(F, H, W, 3\) uint8, got \(1, 3, 9, 9\) uint8"):
        preprocess(np.zeros((1, 3, 9, 9), np.uint8), PLAIN)
    with pytest.raises(InputError, match="float32"):
        preprocess(np.zeros((1, 9, 9, 3), np.float32), PLAIN)  # type: ignore[arg-type]


def test_spec_survives_its_dict_and_refuses_strangers() -> None:
    spec = replace(lavila_spec(96), crop="none", is_antialiased=True)
    assert PreprocessSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(ConfigError, match=r"unknown keys \['resize'\]"):
        PreprocessSpec.from_dict(spec.to_dict() | {"resize": 1})
    with pytest.raises(ConfigError, match=r"missing keys \['mean'\]"):
        PreprocessSpec.from_dict({key: value for key, value in spec.to_dict().items() if key != "mean"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_px": 0}, "image_px must be an integer in 1..4096, got 0"),
        ({"std": [1.0, 0.0, 1.0]}, "std must be above 0"),
        ({"mean": [1.0, 2.0]}, "mean must be three finite numbers"),
        ({"crop": "left"}, "crop must be 'center' or 'none', got 'left'"),
        ({"is_antialiased": "yes"}, "is_antialiased"),
    ],
)
def test_spec_refuses_bad_values(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PreprocessSpec.from_dict(PLAIN.to_dict() | settings)


@pytest.mark.parametrize("size", [(288, 512), (360, 202), (100, 100), (97, 341)])
@pytest.mark.parametrize("crop", ["center", "none"])
def test_crop_to_frame_finds_a_thing_where_it_is(size: tuple[int, int], crop: str) -> None:
    """A bright block is painted into a frame, preprocessed, located in the square, and mapped back."""
    height, width = size
    top, left = height * 2 // 5, width * 2 // 5
    bottom, right = top + height // 6, left + width // 6
    frames = np.zeros((1, height, width, 3), np.uint8)
    frames[:, top:bottom, left:right] = 255
    spec = replace(PLAIN, image_px=224, crop=crop)
    rows, columns = np.nonzero(preprocess(frames, spec)[0, 0].numpy() > 127)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 224
    mapping = spec.crop_to_frame(height, width)
    box = mapping.boxes_to_frame(found)
    # Half a pixel of the square, which is this many of the frame, on each side.
    tolerance = max(mapping.width_px, mapping.height_px) / 224
    np.testing.assert_allclose(box, [left, top, right, bottom], atol=tolerance)
    np.testing.assert_allclose(mapping.boxes_from_frame(box), found, atol=1e-12)


def test_hard_masks_are_mapped_patch_by_patch() -> None:
    mapping = PLAIN.crop_to_frame(48, 96)  # the square is columns 24..71, patches are 12 px
    full = mapping.masks_to_frame(np.arange(16).reshape(1, 4, 4), is_smooth=False, outside=-1)
    assert full.shape == (1, 48, 96)
    expected = np.full((48, 96), -1)
    for row in range(4):
        for column in range(4):
            expected[row * 12 : row * 12 + 12, 24 + column * 12 : 36 + column * 12] = row * 4 + column
    np.testing.assert_array_equal(full[0], expected)


def test_soft_masks_are_interpolated_like_images() -> None:
    masks = np.random.default_rng(0).random((3, 6, 6), dtype=np.float32)
    full = replace(PLAIN, crop="none").crop_to_frame(60, 90).masks_to_frame(masks, is_smooth=True)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(masks)[None], size=(60, 90), mode="bilinear", align_corners=False
    )[0]
    np.testing.assert_allclose(full, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 456), (256, 456)),
        ((320, 568), (320, 568)),
        ((1080, 1920), (288, 512)),
        ((1920, 1080), (512, 288)),
        ((1440, 1920), (288, 384)),
        ((481, 641), (288, 384)),
    ],
)
def test_sources_above_320_are_reduced_to_288(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert decoded_size(*size) == expected
