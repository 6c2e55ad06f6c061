"""Masks and boxes of entities in displayed frames, from the patches that belong to them.

A mask is constant over each patch, so its run-length code follows from the grid without drawing any pixel: the pixel
columns over one column of patches are alike, and one strip of H pixels stands for all of them.

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
    num_frames, num_rows, num_columns = is_member.shape
    rows = _cells(num_rows, crop.frame.height_px, crop.top_px, crop.height_px)
    columns = _cells(num_columns, crop.frame.width_px, crop.left_px, crop.width_px)
    # A row and a column of no entity stand at the end of the grid for pixels outside it.
    padded = np.zeros((num_frames, num_rows + 1, num_columns + 1), np.bool_)
    padded[:, :-1, :-1] = is_member
    strips = padded[:, rows].transpose(0, 2, 1)
    boxes, masks = _boxes(strips, columns), _masks(strips, columns)
    return tuple(
        Region(time_s=float(time_s), box=box if mask else None, mask=mask)
        for time_s, box, mask in zip(times_s, boxes, masks, strict=True)
    )


@functools.lru_cache(maxsize=256)
def _cells(num_cells: int, length_px: int, start_px: float, extent_px: float) -> NDArray[np.int64]:
    """(length_px,) the cell under the middle of each pixel of an axis; `num_cells` outside the grid."""
    position = (np.arange(length_px) + 0.5 - start_px) / extent_px * num_cells
    is_inside = (position >= 0) & (position < num_cells)
    cells = np.where(is_inside, position, num_cells).astype(np.int64)
    # Shared by all frames of this size.
    cells.setflags(write=False)
    return cells


def _boxes(strips: NDArray[np.bool_], columns: NDArray[np.int64]) -> list[Box]:
    """Tight boxes of the frames whose pixel column x is `strips[:, columns[x]]`; of no meaning for empty frames."""
    # A frame narrower than the grid shows not every column of patches.
    top, bottom = _extents(np.any(strips[:, np.unique(columns)], axis=1))
    left, right = _extents(np.any(strips, axis=2)[:, columns])
    sides = np.stack([left, top, right, bottom], axis=1).astype(np.float64)
    return [Box(*box) for box in sides.tolist()]


def _extents(is_set: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one past the last set place of each row."""
    return is_set.argmax(axis=1), is_set.shape[1] - is_set[:, ::-1].argmax(axis=1)


def _masks(strips: NDArray[np.bool_], columns: NDArray[np.int64]) -> list[Mask | None]:
    """The run-length codes, column by column, of the frames whose pixel column x is `strips[:, columns[x]]`."""
    num_frames, num_strips, height_px = strips.shape
    width_px = len(columns)
    frame_px = height_px * width_px
    firsts, lasts, num_runs = _runs(strips.reshape(-1, height_px))
    # Each pixel column repeats the runs of its strip: `run` lists them, column after column, frame after frame.
    strip_of = (num_strips * np.arange(num_frames)[:, None] + columns).ravel()
    repeats = num_runs[strip_of]
    before = np.cumsum(repeats) - repeats
    run = np.arange(repeats.sum()) + np.repeat((np.cumsum(num_runs) - num_runs)[strip_of] - before, repeats)
    column_start = np.repeat(height_px * np.arange(len(strip_of)), repeats)
    starts, ends = firsts[run] + column_start, lasts[run] + column_start
    # A run that reaches the foot of a column and one that starts at the head of the next are one run.
    is_apart = (starts[1:] != ends[:-1]) | (starts[1:] % frame_px == 0)
    is_first, is_last = np.ones(len(run), np.bool_), np.ones(len(run), np.bool_)
    is_first[1:], is_last[:-1] = is_apart, is_apart
    marks = np.stack([starts[is_first], ends[is_last]], axis=1)
    frames = np.searchsorted(marks[:, 0], frame_px * np.arange(num_frames + 1))
    return [
        _code((marks[frames[at] : frames[at + 1]] - frame_px * at).ravel(), height_px, width_px)
        for at in range(num_frames)
    ]


def _runs(strips: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """First and one past the last pixel of all runs, strip after strip, and how many runs each strip has."""
    edges = np.diff(strips.view(np.int8), axis=1, prepend=0, append=0)
    strip, firsts = np.nonzero(edges == 1)
    lasts = np.nonzero(edges == -1)[1]
    return firsts, lasts, np.bincount(strip, minlength=len(strips))


def _code(marks: NDArray[np.int64], height_px: int, width_px: int) -> Mask | None:
    """The mask that changes at `marks`; None when it is empty."""
    if not len(marks):
        return None
    counts = np.diff(marks, prepend=0, append=height_px * width_px)
    counts = counts if counts[-1] else counts[:-1]
    code = coco.frPyObjects({"size": [height_px, width_px], "counts": counts.tolist()}, height_px, width_px)
    return Mask(height_px, width_px, code["counts"].decode("ascii"))


def decode_mask(mask: Mask) -> NDArray[np.bool_]:
    """(H, W) the mask's pixels."""
    pixels = coco.decode({"size": [mask.height_px, mask.width_px], "counts": mask.counts.encode("ascii")})
    return np.asarray(pixels, dtype=np.bool_)
