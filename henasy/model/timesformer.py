"""The global encoder: TimeSformer with one video token, as LaViLa trains it.

Shapes: B batch, T frames, K patches per frame, D width, S image side, P patch side, L number of levels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from henasy.errors import InputError
from henasy.model.attention import LAVILA_BLOCK_EPS, SpaceTimeBlock
from henasy.model.config import VisionConfig
from henasy.model.conv_stem import ConvStem


class VisionTokens(NamedTuple):
    """What the global encoder makes of a batch of clips."""

    cls: Tensor
    """(B, D) video token after the final norm."""
    patches: Tensor
    """(B, T, K, D) patch tokens after the final norm."""
    levels: tuple[Tensor, ...]
    """(B, T, K, D) patch tokens z^0 (entering block 0), z^1 (leaving block 0), ... as many as asked for."""


class PatchEmbed(nn.Module):
    """Linear map of every patch; holds its weight in the shape of a convolution."""

    def __init__(self, patch_px: int, width: int, *, has_bias: bool) -> None:
        super().__init__()
        self.patch_px = patch_px
        self.proj = nn.Conv2d(3, width, kernel_size=patch_px, stride=patch_px, bias=has_bias)

    def forward(self, frames: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, T, K, D) from (B, T, 3, S, S); with (K',) `keep` only those positions, (B, T, K', D)."""
        size, (batch, num_frames) = self.patch_px, frames.shape[:2]
        grid = frames.shape[-1] // size
        patches = frames.reshape(batch, num_frames, 3, grid, size, grid, size)
        patches = patches.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(2, 3)  # (B, T, K, 3*P*P)
        if keep is not None:
            patches = patches.index_select(2, keep)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class Timesformer(nn.Module):
    """Divided space-time transformer over the patches of a clip."""

    def __init__(
        self,
        config: VisionConfig,
        *,
        patch_embed: PatchEmbed | ConvStem,
        ln_pre: nn.Module,
        blocks: Sequence[SpaceTimeBlock],
    ) -> None:
        super().__init__()
        width = config.width
        self.image_px = config.image_px
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.num_patches, width))
        self.temporal_embed = nn.Parameter(torch.zeros(1, config.num_frames, width))
        self.patch_embed = patch_embed
        self.ln_pre = ln_pre
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=LAVILA_BLOCK_EPS)

    def forward(self, frames: Tensor, *, keep: Tensor | None = None, num_levels: int = 0) -> VisionTokens:
        """The video token, the patch tokens and the first `num_levels` levels of patch tokens.

        Args:
            frames: (B, T, 3, S, S) normalised, T at most the `num_frames` of the config.
            keep: (K',) int64 patch positions to compute, the same in every frame; None is all of them.
            num_levels: how many of z^0, z^1, ... to return; at most depth + 1.

        Raises:
            InputError: frames of another shape, or more of them than the temporal embedding holds.
        """
        cls, patches = self.embed(frames, keep)
        levels = [patches]
        for block in self.blocks:
            cls, patches = block(cls, patches)
            levels.append(patches)
        return VisionTokens(self.norm(cls)[:, 0], self.norm(patches), tuple(levels[:num_levels]))

    def encode_cls(self, frames: Tensor, *, keep: Tensor | None = None) -> Tensor:
        """(B, D) video token of `forward`; the last block skips what only patch tokens need."""
        cls, patches = self.embed(frames, keep)
        for block in self.blocks[:-1]:
            cls, patches = block(cls, patches)
        last = self.blocks[-1]
        assert isinstance(last, SpaceTimeBlock)
        out: Tensor = self.norm(last.globals_only(cls, patches))[:, 0]
        return out

    def embed(self, frames: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, 1, D) video token and (B, T, K, D) patch tokens that enter block 0."""
        self._check(frames)
        position = self.pos_embed[:, 1:]
        if keep is not None:
            position = position.index_select(1, keep)
        time = self.temporal_embed[:, : frames.shape[1]]
        patches = self.patch_embed(frames, keep) + position.unsqueeze(1) + time.unsqueeze(2)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(frames.shape[0], -1, -1)
        return self.ln_pre(cls), self.ln_pre(patches)

    def _check(self, frames: Tensor) -> None:
        side = self.image_px
        if frames.ndim != 5 or frames.shape[2:] != (3, side, side):
            raise InputError("frames", f"shape {tuple(frames.shape)}; allowed: (clips, frames, 3, {side}, {side})")
        most = self.temporal_embed.shape[1]
        if not 1 <= frames.shape[1] <= most:
            raise InputError("frames", f"{frames.shape[1]} frames per clip; allowed: 1 to {most}")


def inflate_temporal_embed(temporal_embed: Tensor, num_frames: int) -> Tensor:
    """(1, num_frames, D) temporal embedding: interpolated for more frames, cut for fewer.

    Source: lavila/models/utils.py (bilinear, ends not aligned; fewer frames keep the first rows).
    """
    if num_frames <= temporal_embed.shape[1]:
        return temporal_embed[:, :num_frames].clone()
    size = (num_frames, temporal_embed.shape[2])
    return F.interpolate(temporal_embed[None], size, mode="bilinear")[0]
