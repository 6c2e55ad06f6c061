"""Masks and boxes of entities in displayed frames, from the patches that belong to them.

A mask is constant over each patch, so its run-length code follows from the grid without drawing any pixel.
T frames, gh x gw patches per frame, H x W pixels of a displayed frame.
"""

import functools

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from henasy.search.hits import Box, Mask, Region
from henasy.video.geometry import FrameCrop


def regions_of(is_member: NDArray[np.bool_], times_s: NDArray[np.float64], crop: FrameCrop) -> tuple[Region, ...]:
    """Where an entity is in each frame of its clip.

    Args:
        is_member: (T, gh, gw) the patches of the entity.
        times_s: (T,) instants of the frames.
        crop: the part of a displayed frame that the patches cover.
    """
    rows = _cells(is_member.shape[1], crop.frame.height_px, crop.top_px, crop.height_px)
    columns = _cells(is_member.shape[2], crop.frame.width_px, crop.left_px, crop.width_px)
    return tuple(_region(frame, float(time_s), rows, columns) for frame, time_s in zip(is_member, times_s, strict=True))


@functools.lru_cache(maxsize=256)
def _cells(num_cells: int, length_px: int, start_px: float, extent_px: float) -> NDArray[np.int64]:
    """(length_px,) the cell under the middle of each pixel of an axis, -1 outside the grid."""
    position = (np.arange(length_px) + 0.5 - start_px) / extent_px * num_cells
    is_inside = (position >= 0) & (position < num_cells)
    cells = np.where(is_inside, position, -1).astype(np.int64)
    # Shared by all frames of this size.
    cells.setflags(write=False)
    return cells


def _region(is_member: NDArray[np.bool_], time_s: float, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Region:
    # One column of pixels per column of patches, and an empty one at -1 for pixels outside the grid.
    strips = np.zeros((is_member.shape[1] + 1, len(rows)), np.bool_)
    strips[:-1] = np.where(rows >= 0, is_member[rows].T, False)
    # A frame narrower than the grid shows not every column of patches.
    is_row = np.any(strips[np.unique(columns)], axis=0)
    is_column = np.take(np.any(strips, axis=1), columns)
    if not is_row.any() or not is_column.any():
        return Region(time_s=time_s, box=None, mask=None)
    (top, bottom), (left, right) = _extent(is_row), _extent(is_column)
    mask = _encode(strips, columns)
    return Region(time_s=time_s, box=Box(left, top, right, bottom), mask=mask)


def _extent(is_set: NDArray[np.bool_]) -> tuple[float, float]:
    at = np.flatnonzero(is_set)
    return float(at[0]), float(at[-1] + 1)


def _encode(strips: NDArray[np.bool_], columns: NDArray[np.int64]) -> Mask:
    """The run-length code, column by column, of the frame whose pixel column x is `strips[columns[x]]`."""
    height_px, width_px = strips.shape[1], len(columns)
    edges = np.diff(strips.view(np.int8), axis=1, prepend=0, append=0)
    strip, first = np.nonzero(edges == 1)
    last = np.nonzero(edges == -1)[1]
    num_runs = np.bincount(strip, minlength=len(strips))
    # Each pixel column repeats the runs of its strip: `run` lists them, column after column.
    repeats = num_runs[columns]
    before = np.cumsum(repeats) - repeats
    run = np.arange(repeats.sum()) + np.repeat((np.cumsum(num_runs) - num_runs)[columns] - before, repeats)
    column_start = np.repeat(height_px * np.arange(width_px), repeats)
    starts, ends = first[run] + column_start, last[run] + column_start
    # A run that reaches the foot of a column and one that starts at the head of the next are one run.
    is_apart = starts[1:] != ends[:-1]
    starts, ends = starts[np.append(True, is_apart)], ends[np.append(is_apart, True)]
    marks = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(marks, prepend=0, append=height_px * width_px)
    counts = counts if counts[-1] else counts[:-1]
    code = coco.frPyObjects({"size": [height_px, width_px], "counts": counts.tolist()}, height_px, width_px)
    return Mask(height_px, width_px, code["counts"].decode("ascii"))


def decode_mask(mask: Mask) -> NDArray[np.bool_]:
    """(H, W) the mask's pixels."""
    pixels = coco.decode({"size": [mask.height_px, mask.width_px], "counts": mask.counts.encode("ascii")})
    return np.asarray(pixels, dtype=np.bool_)
