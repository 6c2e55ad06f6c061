"""Which patch belongs to which entity.

Shapes: B batch, T frames, K patches per frame, G segments, E entities.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Ownership(NamedTuple):
    """Hard reading of a saliency map."""

    hard: Tensor
    """(B, T, K) int64 entity of each patch."""
    patch_share: Tensor
    """(B, E) share of the clip's patches that an entity owns; sums to 1."""
    is_valid: Tensor
    """(B, E) whether an entity owns any patch."""


def compose_saliency(entity_soft: Tensor, boot_soft: Tensor) -> Tensor:
    """(B, T, E, K) how much each patch belongs to each entity; sums to 1 over E.

    Args:
        entity_soft: (B, T, E, G) noise-free assignment of segments to entities.
        boot_soft: (B, T, G, K) noise-free assignment of patches to segments.

    Source: HENASY Eq. 13, with the order of factors that makes the shapes agree.
    """
    return entity_soft @ boot_soft


def own_patches(saliency: Tensor) -> Ownership:
    """The entity with the largest saliency at each patch, the lowest index where equal, from (B, T, E, K)."""
    hard = saliency.argmax(dim=2)
    entities = torch.arange(saliency.shape[2], device=saliency.device)
    owned = hard.flatten(1).unsqueeze(1) == entities.unsqueeze(1)  # (B, E, T*K)
    return Ownership(hard, owned.float().mean(dim=2), owned.any(dim=2))
