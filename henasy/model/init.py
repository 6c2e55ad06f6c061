"""Random weights for training from nothing."""

import math

import torch
from torch import Tensor, nn

EMBEDDING_STD = 0.02
_RESIDUAL_OUTPUTS = ("proj", "fc2", "out_proj", "c_proj")


def init_linears_(module: nn.Module, *, num_residuals: int) -> None:
    """Draws every linear map of a transformer for unit-variance outputs; biases become zero.

    Maps that end a residual branch are made smaller, so that the sum of `num_residuals` branches keeps its
    scale. A small transformer trains far slower from the 0.02 that large ones start with.

    Source: openai/CLIP clip/model.py (the rule, there for the text tower).
    """
    for name, part in module.named_modules():
        is_residual_end = isinstance(part, nn.Linear) and name.rsplit(".", 1)[-1] in _RESIDUAL_OUTPUTS
        scale = num_residuals**-0.5 if is_residual_end else 1.0
        for key, weight in part.named_parameters(recurse=False):
            if isinstance(part, nn.LayerNorm | nn.BatchNorm2d):
                continue
            if key.endswith("bias"):
                nn.init.zeros_(weight)
            elif key in ("weight", "in_proj_weight"):
                fan_in = weight[0].numel()
                nn.init.normal_(weight, std=scale * fan_in**-0.5)


def positions(size: int, width: int, *, longest: float = 600.0) -> Tensor:
    """(size, width) a sine and a cosine of each place along an axis, in wavelengths from 6 to `longest` places.

    Drawn at random and small, positions are told apart only once training has made them grow; a small model that
    starts from these names things sooner.

    Source: Beyer et al., Better plain ViT baselines for ImageNet-1k (2022), there with wavelengths up to 60,000.
    """
    # Not by linspace: transformers replaces that one while it loads a model, and torch may then forget for good that it
    # makes tensors without memory where it is told to (checkpoint/weights.py).
    steps = torch.arange(width // 2)
    rates = (longest / 6) ** -(steps / max(1, len(steps) - 1))
    angles = torch.arange(size)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@torch.no_grad()
def init_positions_(pos_embed: Tensor, temporal_embed: Tensor) -> None:
    """Writes `positions` into (1, 1 + K, D) places of the video token and K patches, and (1, T, D) of frames.

    The video token's stays as it is. The first frame's is zero, so that training on single frames is the same without
    it. The longest of its waves makes a quarter turn from the first frame to the last: with the patches' wavelengths,
    and at a third of their size, four frames were so alike that after training a clip and its reversal had nearly the
    same embedding.
    """
    (num_patches, width), num_frames = (pos_embed.shape[1] - 1, pos_embed.shape[2]), temporal_embed.shape[1]
    size = math.isqrt(num_patches)
    along = positions(size, width // 2)
    down, across = along.repeat_interleave(size, dim=0), along.repeat(size, 1)
    places, times = torch.cat([down, across], dim=1), positions(num_frames, width, longest=max(6.0, 4.0 * num_frames))
    pos_embed[0, 1:, : places.shape[1]] = places
    temporal_embed[0, :, : times.shape[1]] = times - times[0]


def init_embeddings_(*parameters: Tensor, std: float = EMBEDDING_STD) -> None:
    """Draws learned tokens and position embeddings."""
    for parameter in parameters:
        nn.init.trunc_normal_(parameter, std=std)
