"""Bootstrapping stage: group tokens gather from the early levels of the global encoder, then group its patches.

Shapes: B batch, T frames, K patches per frame, G group tokens, D local width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from henasy.model.attention import CrossAttention, Mlp
from henasy.model.grouping import Grouped, TemporalAwareGrouping
from henasy.model.init import init_embeddings_


class CrossLayer(nn.Module):
    """Cross-attention behind norms, with a residual, and an optional MLP."""

    def __init__(self, width: int, heads: int, key_width: int, *, mlp_ratio: float, has_mlp: bool) -> None:
        super().__init__()
        self.norm_queries = nn.LayerNorm(width)
        self.norm_keys = nn.LayerNorm(key_width)
        self.attn = CrossAttention(width, heads, key_width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), Mlp(width, mlp_ratio)) if has_mlp else None

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, N, D) queries after gathering from (B, M, key width) keys."""
        out: Tensor = queries + self.attn(self.norm_queries(queries), self.norm_keys(keys))
        if self.mlp is not None:
            out = out + self.mlp(out)
        return out


class BootstrapStage(nn.Module):
    """S1 cross-attention layers, one per level of the global encoder, then a grouping of the patches.

    Source: HENASY Eq. 2 and 3.
    """

    def __init__(
        self,
        layers: Sequence[CrossLayer],
        grouping: TemporalAwareGrouping,
        *,
        num_group_tokens: int,
        width: int,
        token_std: float,
    ) -> None:
        super().__init__()
        self.group_tokens = nn.Parameter(torch.zeros(num_group_tokens, width))
        self.layers = nn.ModuleList(layers)
        self.grouping = grouping
        init_embeddings_(self.group_tokens, std=token_std)

    def forward(self, levels: Sequence[Tensor]) -> Grouped:
        """Segment tokens from z^0 ... z^S1, each (B, T, K, vision width)."""
        assert len(levels) == len(self.layers) + 1
        groups = self.group_tokens.expand(levels[0].shape[0], -1, -1)
        for layer, level in zip(self.layers, levels, strict=False):
            groups = layer(groups, level.flatten(1, 2))
        grouped: Grouped = self.grouping(groups, levels[-1])
        return grouped
