"""The entity-aware decoder: entities look at the patches again and become one video feature.

Shapes: B batch, E entities, N patch tokens of all frames, D decoder width.
"""

from collections.abc import Sequence

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


class EntityDecoder(nn.Module):
    """A stack of hybrid blocks and the mean over entities (Eq. 6)."""

    def __init__(self, blocks: Sequence[HybridBlock], *, entity_width: int, width: int) -> None:
        super().__init__()
        self.widen = nn.Identity() if entity_width == width else nn.Linear(entity_width, width)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, entities: Tensor, patches: Tensor) -> Tensor:
        """(B, D) video feature of (B, E, entity width) entities and (B, N, key width) final patch tokens."""
        entities = self.widen(entities)
        for block in self.blocks:
            entities = block(entities, patches)
        out: Tensor = self.norm(entities).mean(dim=1)
        return out
