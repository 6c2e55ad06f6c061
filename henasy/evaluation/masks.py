"""How well a mask made of grid patches covers a true mask, and how well any could."""

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

Mask = NDArray[np.bool_]


def mask_iou(predicted: Mask, truth: Mask) -> float:
    """Intersection over union of two masks of one shape; 0 where both are empty."""
    if predicted.shape != truth.shape:
        raise InputError("predicted", f"shape {predicted.shape}, must be {truth.shape} as the truth")
    union = np.count_nonzero(predicted | truth)
    return float(np.count_nonzero(predicted & truth) / union) if union else 0.0


def patch_coverage(truth: Mask, grid: tuple[int, int]) -> NDArray[np.float64]:
    """(gh * gw,) true pixels inside each patch of a grid laid over the mask, as a number of pixels.

    Pixels belong to the patch that holds their centre, so any mask size fits any grid.
    """
    cell = patch_of_pixel(truth.shape, grid)
    return np.bincount(cell[truth], minlength=grid[0] * grid[1]).astype(np.float64)


def patch_of_pixel(shape: tuple[int, ...], grid: tuple[int, int]) -> NDArray[np.int64]:
    """(H, W) the number of the patch, row by row, that holds each pixel's centre."""
    rows = ((np.arange(shape[0]) + 0.5) * grid[0] / shape[0]).astype(np.int64)
    columns = ((np.arange(shape[1]) + 0.5) * grid[1] / shape[1]).astype(np.int64)
    return rows[:, None] * grid[1] + columns[None]


def entity_ious(
    assignment: NDArray[np.integer], truth: Mask, grid: tuple[int, int], num_entities: int
) -> NDArray[np.float64]:
    """(E,) IoU of each entity's patches with the true mask.

    Args:
        assignment: (gh * gw,) hard entity of each patch of one frame.
        truth: (H, W) mask in the coordinates that the grid covers.
        grid: (gh, gw).
        num_entities: E.
    """
    covered = patch_coverage(truth, grid)
    pixels = np.bincount(patch_of_pixel(truth.shape, grid).ravel(), minlength=grid[0] * grid[1])
    inside = np.bincount(assignment, weights=covered, minlength=num_entities)
    size = np.bincount(assignment, weights=pixels, minlength=num_entities)
    union = size + covered.sum() - inside
    ious: NDArray[np.float64] = np.divide(inside, union, out=np.zeros(num_entities), where=union > 0)
    return ious


def grid_ceiling(truth: Mask, grid: tuple[int, int]) -> float:
    """The best IoU that any choice of patches can have with the mask; 0 for an empty mask.

    The best choice takes patches in the order of their covered share, so only those prefixes are tried.
    """
    covered = patch_coverage(truth, grid)
    pixels = np.bincount(patch_of_pixel(truth.shape, grid).ravel(), minlength=len(covered))
    order = np.argsort(-covered / np.maximum(pixels, 1), kind="stable")
    inside, size = np.cumsum(covered[order]), np.cumsum(pixels[order])
    total = covered.sum()
    return float((inside / (size + total - inside)).max()) if total else 0.0
