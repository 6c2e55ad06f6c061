"""What boxes hold: the mean of the patch tokens inside each.

B clips, T frames, M boxes, K patches per frame, K' of them computed, D width.
"""

from typing import NamedTuple

from torch import Tensor

from henasy.losses.projection import box_profiles


class BoxMeans(NamedTuple):
    """Boxes as tokens."""

    means: Tensor
    """(B, T, M, D) mean of the patch tokens inside each box; 0 where there is none."""
    has_patches: Tensor
    """(B, T, M) bool: whether any of the patches lies inside; never for a box without area."""


def box_means(patches: Tensor, boxes: Tensor, grid_size: int, *, keep: Tensor | None = None) -> BoxMeans:
    """The mean patch token of every box.

    Args:
        patches: (B, T, K', D).
        boxes: (B, T, M, 4) xyxy as shares of the frame; one without area is no box.
        grid_size: patches along a side of the frame.
        keep: (K',) which patches were computed; None is all of them.
    """
    rows, columns = box_profiles(boxes, (grid_size, grid_size))
    inside = (rows[..., :, None] & columns[..., None, :]).flatten(-2)
    if keep is not None:
        inside = inside.index_select(-1, keep)
    weights = inside.to(patches.dtype)
    counts = weights.sum(dim=-1, keepdim=True)
    return BoxMeans(weights @ patches / counts.clamp(min=1), counts[..., 0] > 0)
