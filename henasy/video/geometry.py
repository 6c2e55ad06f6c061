"""Where pixels go between a displayed frame, the frame as decoded, and the square the model sees.

Torch-free, so that decoding processes and the service can use it alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

REDUCE_ABOVE_PX = 320
REDUCED_SHORT_PX = 288
"""Sources with a larger short side are reduced to this one while decoding, as the reference data was."""


class Size(NamedTuple):
    """Height and width in pixels."""

    height_px: int
    width_px: int


def decoded_size(height_px: int, width_px: int) -> Size:
    """The size at which frames of a displayed size are handed out: short side 288 if it is above 320, else as it is.

    The long side keeps the aspect ratio to the nearest even number.
    """
    short = min(height_px, width_px)
    if short <= REDUCE_ABOVE_PX:
        return Size(height_px, width_px)
    long_px = max(2, 2 * round(max(height_px, width_px) * REDUCED_SHORT_PX / short / 2))
    if height_px <= width_px:
        return Size(REDUCED_SHORT_PX, long_px)
    return Size(long_px, REDUCED_SHORT_PX)


class FrameCrop(NamedTuple):
    """The region of a displayed frame that the model sees, in pixels of that frame."""

    left_px: float
    top_px: float
    width_px: float
    height_px: float
    frame: Size

    def boxes_to_frame(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes (..., 4) as x0, y0, x1, y1 in pixels of the displayed frame.

        Args:
            boxes: (..., 4) x0, y0, x1, y1 as fractions of the model's square, 0 at its left or top edge.
        """
        scale = np.array([self.width_px, self.height_px, self.width_px, self.height_px])
        offset = np.array([self.left_px, self.top_px, self.left_px, self.top_px])
        pixels: NDArray[np.float64] = np.asarray(boxes, dtype=np.float64) * scale + offset
        return pixels

    def boxes_from_frame(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes (..., 4) as fractions of the model's square, outside [0, 1] where the crop cuts them off."""
        scale = np.array([self.width_px, self.height_px, self.width_px, self.height_px])
        offset = np.array([self.left_px, self.top_px, self.left_px, self.top_px])
        fractions: NDArray[np.float64] = (np.asarray(boxes, dtype=np.float64) - offset) / scale
        return fractions

    def masks_to_frame(
        self, masks: NDArray[np.generic], *, is_smooth: bool, outside: float = 0.0
    ) -> NDArray[np.float32]:
        """Patch-grid masks (..., gh, gw) at full resolution, (..., H, W) of the displayed frame.

        Args:
            masks: one value per patch of the model's square.
            is_smooth: bilinear between patch centres (soft maps) instead of one value per patch (hard ones).
            outside: value of pixels that the model did not see.
        """
        values = np.asarray(masks, dtype=np.float32)
        rows = _resampling(values.shape[-2], self.frame.height_px, self.top_px, self.height_px, is_smooth)
        columns = _resampling(values.shape[-1], self.frame.width_px, self.left_px, self.width_px, is_smooth)
        full = np.full((*values.shape[:-2], *self.frame), outside, dtype=np.float32)
        inside = rows.weights @ values @ columns.weights.T
        full[..., rows.first : rows.last, columns.first : columns.last] = inside
        return full


class _Resampling(NamedTuple):
    """Weights (n, grid) that make the pixels `[first, last)` of an axis from grid cells."""

    weights: NDArray[np.float32]
    first: int
    last: int


def _resampling(cells: int, length_px: int, start_px: float, extent_px: float, is_smooth: bool) -> _Resampling:
    position = (np.arange(length_px) + 0.5 - start_px) / extent_px * cells
    inside = np.flatnonzero((position >= 0) & (position < cells))
    first, last = int(inside[0]), int(inside[-1]) + 1
    position = position[first:last]
    weights = np.zeros((last - first, cells), dtype=np.float32)
    rows = np.arange(last - first)
    if not is_smooth:
        weights[rows, position.astype(np.int64)] = 1.0
        return _Resampling(weights, first, last)
    centred = np.clip(position - 0.5, 0, cells - 1)
    low = np.floor(centred).astype(np.int64)
    high = np.minimum(low + 1, cells - 1)
    fraction = (centred - low).astype(np.float32)
    np.add.at(weights, (rows, low), 1.0 - fraction)
    np.add.at(weights, (rows, high), fraction)
    return _Resampling(weights, first, last)


def resized_size(height_px: int, width_px: int, short_px: int) -> Size:
    """The size after the reference's resize of the short side; the long side is cut to a whole number."""
    if height_px < 1 or width_px < 1:
        raise InputError("frames", f"a frame needs at least 1x1 pixels, got {height_px}x{width_px}")
    if height_px <= width_px:
        return Size(short_px, int(short_px * width_px / height_px))
    return Size(int(short_px * height_px / width_px), short_px)


def centre_offset(length_px: int, crop_px: int) -> int:
    """Where a centre crop starts; half a pixel is rounded to even, as the reference does."""
    return round((length_px - crop_px) / 2)


def third_offset(length_px: int, crop_px: int, third: int) -> int:
    """Where the first, middle or last (0, 1, 2) of three evenly spread crops starts; half a pixel is rounded up.

    Source: facebookresearch/LaViLa lavila/data/video_transforms.py, `uniform_crop`.
    """
    return (0, -((crop_px - length_px) // 2), length_px - crop_px)[third]
