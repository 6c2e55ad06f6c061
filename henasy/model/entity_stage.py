"""Entity grouping stage: segments exchange information, are grouped into entities, and these exchange again.

Shapes: B batch, T frames, G segments per frame, E entities, D width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from henasy.model.attention import SpaceTimeBlock
from henasy.model.grouping import Grouped, TemporalAwareGrouping
from henasy.model.init import init_embeddings_


class Entities(NamedTuple):
    """Entity tokens of a clip and which segments they are made of."""

    tokens: Tensor
    """(B, E, D) entity tokens, averaged over the frames."""
    soft: Tensor
    """(B, T, E, G) noise-free assignment of segments, sums to 1 over E."""


class EntityStage(nn.Module):
    """S2 space-time blocks with the entity tokens as globals, a grouping, S3 blocks without globals.

    Source: HENASY section 4.2.
    """

    def __init__(
        self,
        segment_blocks: Sequence[SpaceTimeBlock],
        grouping: TemporalAwareGrouping,
        entity_blocks: Sequence[SpaceTimeBlock],
        *,
        num_entities: int,
        width: int,
        token_std: float,
    ) -> None:
        super().__init__()
        self.group_tokens = nn.Parameter(torch.zeros(num_entities, width))
        self.segment_blocks = nn.ModuleList(segment_blocks)
        self.grouping = grouping
        self.entity_blocks = nn.ModuleList(entity_blocks)
        init_embeddings_(self.group_tokens, std=token_std)

    def forward(self, segments: Tensor) -> Entities:
        """Entities of (B, T, G, D) segments."""
        groups = self.group_tokens.expand(segments.shape[0], -1, -1)
        for block in self.segment_blocks:
            groups, segments = block(groups, segments)
        grouped: Grouped = self.grouping(groups, segments)
        no_globals = groups[:, :0]
        tokens = grouped.tokens  # (B, T, E, D)
        for block in self.entity_blocks:
            _, tokens = block(no_globals, tokens)
        return Entities(tokens.mean(dim=1), grouped.soft)
