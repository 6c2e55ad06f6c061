"""The local entity encoder: patch tokens to entities by way of segments, or (Table 4) without; and where they are."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from henasy.model.bootstrap import BootstrapStage
from henasy.model.entity_stage import EntityStage
from henasy.model.grouping import Grouped
from henasy.model.saliency import compose_saliency


class LocalTokens(NamedTuple):
    """Entities of a clip and where they are."""

    entities: Tensor
    """(B, E, D) entity tokens before the decoder."""
    saliency: Tensor
    """(B, T, E, K) how much each patch belongs to each entity, sums to 1 over E."""


class LocalEncoder(nn.Module):
    """Patch tokens of the global encoder's early levels to entities."""

    def __init__(self, bootstrap: BootstrapStage, entity_stage: EntityStage) -> None:
        super().__init__()
        self.bootstrap = bootstrap
        self.entity_stage = entity_stage

    def forward(self, levels: Sequence[Tensor]) -> LocalTokens:
        """Entities from z^0 ... z^S1, each (B, T, K, vision width)."""
        segments: Grouped = self.bootstrap(levels)
        entities = self.entity_stage(segments.tokens)
        return LocalTokens(entities.tokens, compose_saliency(entities.soft, segments.soft))


class DirectLocalEncoder(nn.Module):
    """Patch tokens of one level of the global encoder to entities, with no segments between.

    Source: HENASY section 5.4, "w/o bootstrap"; PROTOCOLS section 5.2.
    """

    def __init__(self, entity_stage: EntityStage, *, vision_width: int, width: int) -> None:
        super().__init__()
        self.widen = nn.Identity() if vision_width == width else nn.Linear(vision_width, width)
        self.entity_stage = entity_stage

    def forward(self, levels: Sequence[Tensor]) -> LocalTokens:
        """Entities from z^0 ... z^S1, each (B, T, K, vision width), of which only the last is looked at."""
        entities = self.entity_stage(self.widen(levels[-1]))
        return LocalTokens(entities.tokens, entities.soft)
