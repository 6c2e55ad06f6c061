"""Patch tokens from convolutions, for an encoder that has few pictures to learn from.

A linear map of patches must learn from pictures what a convolution has built in, that a shape is the same wherever it
lies. Here it took a convolutional stem a few minutes to name things that patches alone did not name in an hour.

Shapes: N frames, B clips, T frames, S image side, g tokens along a side, K = g * g, C stem width, D token width.

Source: Xiao et al., Early Convolutions Help Transformers See Better (2021); residual blocks of He et al. (2016).
"""

from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with norms, and a way around them."""

    def __init__(self, num_in: int, num_out: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(num_out)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(num_out)
        self.around: nn.Module = nn.Identity()
        if stride > 1 or num_in != num_out:
            self.around = nn.Sequential(nn.Conv2d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm2d(num_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_out, S / stride, S / stride) from (N, num_in, S, S)."""
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(inner)) + self.around(x))


class ConvStem(nn.Module):
    """Halves the frame until a cell is a patch, then maps each cell to a token.

    Its batch norms use stored statistics, in training too, unless `learns_norms` is set: what a clip is mapped to must
    not depend on the other clips of its batch.
    """

    def __init__(self, patch_px: int, stem_width: int, width: int) -> None:
        """`stem_width` channels leave the last halving; each halving before has half as many."""
        super().__init__()
        num_halvings = patch_px.bit_length() - 1
        channels = [stem_width >> back for back in reversed(range(num_halvings))]
        self.first = nn.Conv2d(3, channels[0], 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels[0])
        halving = [ResidualBlock(a, b, stride=2) for a, b in pairwise(channels)]
        self.blocks = nn.Sequential(*halving, ResidualBlock(stem_width, stem_width, stride=1))
        self.widen = nn.Linear(stem_width, width)
        self.learns_norms = False
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switches all but the norms, unless these learn."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.train(mode and self.learns_norms)
        return self

    def features(self, frames: Tensor) -> Tensor:
        """(N, C, g, g) from (N, 3, S, S) normalised frames."""
        x = frames.contiguous(memory_format=torch.channels_last)
        out: Tensor = self.blocks(F.relu(self.norm(self.first(x))))
        return out

    def forward(self, frames: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, T, K, D) from (B, T, 3, S, S); with (K',) `keep` only those positions, (B, T, K', D)."""
        cells = self.features(frames.flatten(0, 1)).flatten(2)  # (N, C, K)
        if keep is not None:
            cells = cells.index_select(2, keep)
        tokens: Tensor = self.widen(cells.transpose(1, 2))
        return tokens.reshape(*frames.shape[:2], *tokens.shape[1:])
