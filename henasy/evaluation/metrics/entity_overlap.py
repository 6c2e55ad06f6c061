"""How much of a true mask each entity of a clip covers, and which entity a text meets.

E entities, D width of the joint space, T frames of a clip, K patches, M masks of one thing, H x W their pixels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.metrics.masks import (
    Counts,
    covered_pixels,
    entity_ious,
    frame_ious,
    grid_ceiling,
    patch_of_pixel,
    patch_pixels,
)
from henasy.video.preprocess import PreprocessSpec


class ClipEntities(NamedTuple):
    """The entities of one clip."""

    embeddings: NDArray[np.float32]
    """(E, D), L2-normalised"""
    is_valid: NDArray[np.bool_]
    """(E,) whether an entity owns any patch"""
    assignment: NDArray[np.uint8]
    """(T, K) entity of each patch"""

    def chosen_by(self, text: NDArray[np.float32]) -> int:
        """The valid entity whose embedding is closest to a text's (D,); of equals the first."""
        closeness = np.where(self.is_valid, self.embeddings @ text, -np.inf)
        return int(closeness.argmax())


class ThingIous(NamedTuple):
    """Overlaps of every entity of a clip with one thing, in the frames that show something of it."""

    pooled: Counts
    """(E,) IoU over all masks at once"""
    pooled_ceiling: float
    """The best that any choice of patches could do at that"""
    by_frame: Counts
    """(F, E) IoU in each frame that shows the thing"""
    ceilings: Counts
    """(F,) the best that any choice of patches could do in each"""


class OverlapMeasure:
    """Overlaps under one preprocessing, patch grid and size of mask; what the crop cuts off counts nowhere."""

    def __init__(self, spec: PreprocessSpec, grid: tuple[int, int], size: tuple[int, int]) -> None:
        """Maps the pixels of (H, W) masks to patches."""
        self._num_patches = grid[0] * grid[1]
        self._cells = patch_of_pixel(spec.crop_to_frame(*size), grid)
        self._pixels = patch_pixels(self._cells, self._num_patches)

    def ious(self, clip: ClipEntities, masks: NDArray[np.bool_], frames: NDArray[np.int64]) -> ThingIous | None:
        """The overlaps with a thing; None if the crop shows nothing of it.

        Args:
            clip: the entities.
            masks: (M, H, W) the thing.
            frames: (M,) which frame of the clip each mask describes.

        Raises:
            InputError: if the masks are of another size.
        """
        covered = covered_pixels(masks, self._cells, self._num_patches)
        if covered.sum() == 0:
            return None
        assignment, num_entities = clip.assignment[frames], len(clip.is_valid)
        is_seen = covered.sum(axis=1) > 0
        return ThingIous(
            pooled=entity_ious(assignment, covered, self._pixels, num_entities),
            pooled_ceiling=grid_ceiling(covered, self._pixels),
            by_frame=frame_ious(assignment[is_seen], covered[is_seen], self._pixels, num_entities),
            ceilings=np.array([grid_ceiling(frame[None], self._pixels) for frame in covered[is_seen]]),
        )
