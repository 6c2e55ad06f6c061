"""In which order clips are seen, and which clips are each other's hard negatives: no list of them is ever made.

The order of an epoch is a permutation that is computed entry by entry: a Feistel network over the next even number of
bits, walked until it lands inside. N clips.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Segments(NamedTuple):
    """For each of N clips the neighbours of its video and stretch of time: rows `[first, end)`, itself among them."""

    first: NDArray[np.int32]
    """(N,)"""
    end: NDArray[np.int32]
    """(N,)"""

    def other(self, rows: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """(n,) another clip of each row's segment; the row itself where it is alone there.

        Args:
            rows: (n,) clips.
            draws: (n,) in [0, 1), which of the others.
        """
        first = self.first[rows].astype(np.int64)
        count = self.end[rows] - first
        picked = first + (draws * np.maximum(count - 1, 1)).astype(np.int64)
        return np.where(count > 1, np.where(picked >= rows, picked + 1, picked), rows)


def segments(video: NDArray[np.int32], narration_s: NDArray[np.float64], segment_s: float) -> Segments:
    """The segments of clips that are sorted by video, then by narration time: `narration_s // segment_s` is one.

    Args:
        video: (N,) which video.
        narration_s: (N,) time of the narration.
        segment_s: length of a segment.

    Source: EgoVLP data_loader/EgoClip_EgoMCQ_dataset.py (`neg_param`).
    """
    stretch = np.floor_divide(narration_s, segment_s)
    is_first = np.ones(len(video), dtype=bool)
    is_first[1:] = (video[1:] != video[:-1]) | (stretch[1:] != stretch[:-1])
    bounds = np.append(np.flatnonzero(is_first), len(video)).astype(np.int32)
    number = np.cumsum(is_first) - 1
    return Segments(bounds[number], bounds[number + 1])


def shuffled(positions: NDArray[np.int64], size: int, key: tuple[int, ...]) -> NDArray[np.int64]:
    """(n,) entries of a permutation of 0..size-1 at some positions; equal keys give equal permutations.

    Args:
        positions: (n,) in 0..size-1.
        size: N.
        key: names the permutation, e.g. seed and epoch.
    """
    assert len(positions) == 0 or 0 <= positions.min() <= positions.max() < size
    half_bits = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    keys = np.random.default_rng((*key, 0xFE15)).integers(0, 2**64, size=_ROUNDS, dtype=np.uint64)
    found = _feistel(positions.astype(np.uint64), half_bits, keys)
    while (is_outside := found >= size).any():
        found[is_outside] = _feistel(found[is_outside], half_bits, keys)
    return found.astype(np.int64)


def _feistel(values: NDArray[np.uint64], half_bits: np.uint64, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A permutation of 0..4**half_bits-1."""
    mask = (np.uint64(1) << half_bits) - np.uint64(1)
    left, right = values >> half_bits, values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return (left << half_bits) | right


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each number hashed to 64 bits (splitmix64's finaliser)."""
    with np.errstate(over="ignore"):
        values = values + _GOLDEN
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
