"""Masks in COCO's run-length code, checked before anything is drawn.

A code counts the pixels of alternating runs, the first of zeros, down each column and column after column.

Source: cocodataset/cocoapi common/maskApi.c (the characters of a compressed code).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_MOST_PIXELS = 2**28
_DIGIT_BITS = 5


def runs_of_code(segmentation: object) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """(height, width) and the lengths of the runs of `{"size": [h, w], "counts": [...] or "..."}`.

    Raises:
        ValueError: it is no such code; the message says what is wrong and what is allowed.
    """
    if not isinstance(segmentation, Mapping) or not {"size", "counts"} <= set(segmentation):
        raise ValueError(f"must be an object with size and counts, is {str(segmentation)[:60]!r}")
    size, counts = segmentation["size"], segmentation["counts"]
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        raise ValueError(f"size is {str(size)[:60]}, must be [height, width] in pixels")
    if size[0] * size[1] > _MOST_PIXELS:
        raise ValueError(f"size is {size}, must be of at most {_MOST_PIXELS} pixels")
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if not (isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)):
        raise ValueError(f"counts is {str(counts)[:60]}, must be a string or a list of whole numbers of at least 0")
    if sum(runs) != size[0] * size[1]:
        raise ValueError(f"counts add up to {sum(runs)} pixels, size {size} has {size[0] * size[1]}")
    return (size[0], size[1]), np.array(runs, np.int64)


def draw_runs(size: tuple[int, int], runs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(H, W) the mask of a checked code."""
    is_set = np.arange(len(runs)) % 2 == 1
    mask: NDArray[np.bool_] = np.repeat(is_set, runs).reshape(size[1], size[0]).T
    return mask


def _uncompressed(code: str) -> list[int]:
    """Run lengths of the character code: base-32 digits, low first; from the fourth on, differences to two before."""
    values: list[int] = []
    value = place = 0
    for character in code:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            raise ValueError(f"counts holds {character!r}, must be characters from '0' to 'o'")
        value |= (digit & 0x1F) << place
        place += _DIGIT_BITS
        if digit & 0x20:
            continue
        values.append(value - (1 << place) if digit & 0x10 else value)
        value = place = 0
    if place:
        raise ValueError("counts ends inside a number")
    return _summed(values)


def _summed(values: list[int]) -> list[int]:
    runs = values[:3]
    for value in values[3:]:
        runs.append(value + runs[-2])
    return runs
