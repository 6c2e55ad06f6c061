"""How well entities' patches cover a true mask, and how well any choice of patches could.

T frames, H x W pixels of a displayed frame, K patches of the grid row by row, E entities. Counts are pooled over the
frames of a clip, since an entity is one thing throughout it. Pixels that the model's crop cuts off count nowhere.
"""

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.video.geometry import FrameCrop

Mask = NDArray[np.bool_]
Counts = NDArray[np.float64]


def patch_of_pixel(crop: FrameCrop, grid: tuple[int, int]) -> NDArray[np.int64]:
    """(H, W) the patch that holds the centre of each pixel of the displayed frame, -1 outside the crop."""
    row = _cell(crop.frame.height_px, crop.top_px, crop.height_px, grid[0])
    column = _cell(crop.frame.width_px, crop.left_px, crop.width_px, grid[1])
    is_outside = (row < 0)[:, None] | (column < 0)[None]
    return np.where(is_outside, -1, row[:, None] * grid[1] + column[None])


def patch_pixels(cells: NDArray[np.int64], num_patches: int) -> Counts:
    """(K,) pixels of each patch."""
    return np.bincount(cells[cells >= 0], minlength=num_patches).astype(np.float64)


def covered_pixels(truth: Mask, cells: NDArray[np.int64], num_patches: int) -> Counts:
    """(T, K) pixels of each patch that lie inside the true masks (T, H, W).

    Raises:
        InputError: if the masks are not of the frame's size.
    """
    if truth.ndim != 3 or truth.shape[1:] != cells.shape:
        raise InputError("truth", f"shape {truth.shape}, must be (T, {cells.shape[0]}, {cells.shape[1]})")
    inside = cells >= 0
    return np.stack([np.bincount(cells[mask & inside], minlength=num_patches).astype(np.float64) for mask in truth])


def entity_ious(assignment: NDArray[np.integer], covered: Counts, pixels: Counts, num_entities: int) -> Counts:
    """(E,) intersection over union of each entity's patches with the true mask; 0 for one without patches.

    Args:
        assignment: (T, K) hard entity of each patch.
        covered: (T, K) true pixels in each patch.
        pixels: (K,) all pixels of each patch.
        num_entities: E.
    """
    owner = assignment.ravel().astype(np.int64)
    inside = np.bincount(owner, weights=covered.ravel(), minlength=num_entities)
    size = np.bincount(owner, weights=np.broadcast_to(pixels, covered.shape).ravel(), minlength=num_entities)
    union = size + covered.sum() - inside
    ious: Counts = np.divide(inside, union, out=np.zeros(num_entities), where=union > 0)
    return ious


def frame_ious(assignment: NDArray[np.integer], covered: Counts, pixels: Counts, num_entities: int) -> Counts:
    """(T, E) what `entity_ious` gives for each frame by itself."""
    frames = zip(assignment, covered, strict=True)
    return np.stack([entity_ious(owner[None], inside[None], pixels, num_entities) for owner, inside in frames])


def grid_ceiling(covered: Counts, pixels: Counts) -> float:
    """The best IoU that any choice of patches can have with the true mask; 0 for an empty one.

    The best choice takes patches in the order of their covered share, so only those prefixes are tried.
    """
    total = covered.sum()
    if total == 0:
        return 0.0
    all_pixels = np.broadcast_to(pixels, covered.shape).ravel()
    order = np.argsort(-covered.ravel() / np.maximum(all_pixels, 1), kind="stable")
    inside, size = np.cumsum(covered.ravel()[order]), np.cumsum(all_pixels[order])
    return float((inside / (size + total - inside)).max())


def _cell(length_px: int, start_px: float, extent_px: float, cells: int) -> NDArray[np.int64]:
    position = np.floor((np.arange(length_px) + 0.5 - start_px) / extent_px * cells).astype(np.int64)
    return np.where((position >= 0) & (position < cells), position, -1)
