"""Entities become one video feature: the entity-aware decoder, and the two that the paper holds it against (Table 4).

Shapes: B batch, E entities, N patch tokens of all frames, D decoder width.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from henasy.model.attention import CrossAttention, Mlp, SelfAttention


class HybridBlock(nn.Module):
    """Cross-attention to the patches, self-attention among the entities, MLP; each pre-norm with a residual.

    Source: HENASY Eq. 5.
    """

    def __init__(self, width: int, heads: int, key_width: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm_cross = nn.LayerNorm(width)
        self.norm_keys = nn.LayerNorm(key_width)
        self.cross = CrossAttention(width, heads, key_width)
        self.norm_self = nn.LayerNorm(width)
        self.self_attn = SelfAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio)

    def forward(self, entities: Tensor, patches: Tensor) -> Tensor:
        """(B, E, D) entities after a look at (B, N, key width) patches."""
        entities = entities + self.cross(self.norm_cross(entities), self.norm_keys(patches))
        entities = entities + self.self_attn(self.norm_self(entities))
        out: Tensor = entities + self.mlp(self.norm_mlp(entities))
        return out


class SelfBlock(nn.Module):
    """Self-attention and MLP, each pre-norm with a residual."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(width)
        self.self_attn = SelfAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, M, D) tokens after a look at one another."""
        tokens = tokens + self.self_attn(self.norm_self(tokens))
        out: Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return out


class VideoDecoder(nn.Module, ABC):
    """What makes one video feature of a clip's entities and patches."""

    num_residuals: int
    """Residual branches that an entity passes, for the scale of fresh weights; at least 1."""

    @abstractmethod
    def forward(self, entities: Tensor, patches: Tensor) -> Tensor:
        """(B, D) video feature of (B, E, entity width) entities and (B, N, key width) final patch tokens."""


class EntityDecoder(VideoDecoder):
    """A stack of hybrid blocks and the mean over entities (Eq. 6)."""

    def __init__(self, blocks: Sequence[HybridBlock], *, entity_width: int, width: int) -> None:
        super().__init__()
        self.num_residuals = 3 * len(blocks)
        self.widen = _between(entity_width, width)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, entities: Tensor, patches: Tensor) -> Tensor:
        """(B, D) video feature of (B, E, entity width) entities and (B, N, key width) final patch tokens."""
        entities = self.widen(entities)
        for block in self.blocks:
            entities = block(entities, patches)
        out: Tensor = self.norm(entities).mean(dim=1)
        return out


class SelfAttentionDecoder(VideoDecoder):
    """A stack of self-attention blocks over entities and patches together, and the mean over the entities.

    Source: HENASY section 5.4, "w/ SA dec.".
    """

    def __init__(self, blocks: Sequence[SelfBlock], *, entity_width: int, patch_width: int, width: int) -> None:
        super().__init__()
        self.num_residuals = 2 * len(blocks)
        self.widen = _between(entity_width, width)
        self.widen_patches = _between(patch_width, width)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, entities: Tensor, patches: Tensor) -> Tensor:
        """(B, D) video feature of (B, E, entity width) entities and (B, N, patch width) final patch tokens."""
        num_entities = entities.shape[1]
        tokens = torch.cat((self.widen(entities), self.widen_patches(patches)), dim=1)  # (B, E + N, D)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens[:, :num_entities]).mean(dim=1)
        return out


class MeanDecoder(VideoDecoder):
    """The mean over entities and nothing else.

    Source: HENASY section 5.4, "w/ avg. pool".
    """

    num_residuals = 1

    def forward(self, entities: Tensor, patches: Tensor) -> Tensor:
        """(B, D) mean of (B, E, D) entities; patches are not looked at."""
        return entities.mean(dim=1)


def _between(width: int, other: int) -> nn.Module:
    return nn.Identity() if width == other else nn.Linear(width, other)
