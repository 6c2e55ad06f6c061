"""Agreement of an entity's saliency map with a box, seen from two sides of the frame.

B clips, T frames, M box slots, E entities, (gh, gw) patch grid, (H, W) box grid. Boxes are xyxy as shares of the frame.
A map enlarged bilinearly is U_y m U_x^T and a box is an outer product, so the overlap of every box with every enlarged
map is computed without enlarging any; only the matched maps are enlarged.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from henasy.losses.counted import CountedLoss, at_least_float32, mean_of
from henasy.losses.matching import ABSENT

DICE_EPS = 1e-5
IOU_EPS = 1e-6


def has_area(boxes: Tensor) -> Tensor:
    """(...) bool: which of the boxes (..., 4) lie at least in part inside the frame; all zeros is an absent one."""
    seen = boxes.clamp(0, 1)
    return (seen[..., 2] > seen[..., 0]) & (seen[..., 3] > seen[..., 1])


def box_profiles(boxes: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(..., H) and (..., W): 1 for rows and columns of the grid whose centres lie inside the box, else 0.

    A box too thin to hold a centre covers the one cell that its own centre lies in.
    """
    return _profile(boxes[..., 1], boxes[..., 3], grid[0]), _profile(boxes[..., 0], boxes[..., 2], grid[1])


def soft_overlap(saliency: Tensor, boxes: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, T, M, E) soft IoU of every box with every saliency map, both on the box grid.

    Args:
        saliency: (B, T, E, gh, gw) in (0, 1).
        boxes: (B, T, M, 4).
        grid: (H, W) of the box grid.
    """
    maps = at_least_float32(saliency)
    rows, columns = (p.to(maps.dtype) for p in box_profiles(boxes, grid))
    up_y, up_x = _enlarger(maps.shape[-2], grid[0], maps), _enlarger(maps.shape[-1], grid[1], maps)
    inside = torch.einsum("btmy,bteyx,btmx->btme", rows @ up_y, maps, columns @ up_x)
    of_map = torch.einsum("bteyx,y,x->bte", maps, up_y.sum(dim=0), up_x.sum(dim=0))
    of_box = rows.sum(dim=-1) * columns.sum(dim=-1)
    union = of_map[:, :, None, :] + of_box[..., None] - inside
    return inside / union.clamp(min=IOU_EPS)


def projection_loss(
    saliency: Tensor, boxes: Tensor, box_entity: Tensor, *, grid: tuple[int, int] = (56, 56)
) -> CountedLoss:
    """Sum of the two axes' dice losses, averaged over the matched boxes.

    Args:
        saliency: (B, T, E, gh, gw) soft maps in (0, 1); they sum to 1 over the entities.
        boxes: (B, T, M, 4).
        box_entity: (B, T, M) int64 from `matching`, -1 for a box that takes no part.
        grid: (H, W) to which boxes and maps are brought.

    Source: Eq. 9; AdelaiDet (BoxInst) condinst/dynamic_mask_head.py for the form of the dice.
    """
    clip, frame, slot = torch.nonzero(box_entity != ABSENT, as_tuple=True)
    maps = at_least_float32(saliency[clip, frame, box_entity[clip, frame, slot]])
    up_y, up_x = _enlarger(maps.shape[-2], grid[0], maps), _enlarger(maps.shape[-1], grid[1], maps)
    rows, columns = box_profiles(boxes[clip, frame, slot], grid)
    terms = projection_terms(up_y @ maps @ up_x.T, rows.to(maps.dtype), columns.to(maps.dtype))
    return mean_of(terms.sum(dim=-1), saliency)


def projection_terms(masks: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(P, 2) dice loss of each mask's highest value per row, and per column, with the box's.

    Args:
        masks: (P, H, W) in (0, 1).
        rows: (P, H), 1 where the box has the row.
        columns: (P, W), 1 where the box has the column.
    """
    return torch.stack([_dice(masks.amax(dim=2), rows), _dice(masks.amax(dim=1), columns)], dim=-1)


def _dice(profile: Tensor, target: Tensor) -> Tensor:
    product = (profile * target).sum(dim=-1)
    squares = profile.square().sum(dim=-1) + target.square().sum(dim=-1)
    return 1.0 - 2.0 * product / (squares + DICE_EPS)


def _profile(low: Tensor, high: Tensor, size: int) -> Tensor:
    low, high = low.clamp(0, 1), high.clamp(0, 1)
    centres = (torch.arange(size, device=low.device, dtype=low.dtype) + 0.5) / size
    inside = (centres >= low[..., None]) & (centres < high[..., None])
    middle = (((low + high) / 2 * size).long().clamp(0, size - 1))[..., None]
    is_middle = torch.arange(size, device=low.device) == middle
    return torch.where(inside.any(dim=-1, keepdim=True), inside, is_middle & (high > low)[..., None])


def _enlarger(small: int, large: int, like: Tensor) -> Tensor:
    """(large, small) matrix of bilinear enlargement along one axis."""
    unit = torch.eye(small, device=like.device, dtype=like.dtype)
    return F.interpolate(unit[None], size=large, mode="linear", align_corners=False)[0].T
