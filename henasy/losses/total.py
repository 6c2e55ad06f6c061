"""The sum that training minimises, with its parts."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from henasy.errors import ConfigError
from henasy.losses.counted import CountedLoss
from henasy.losses.egonce import EgoNce


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the fine-grained losses beside EgoNCE, whose weight is 1."""

    noun_entity: float = 0.5
    """lambda_1"""
    verb_entities: float = 0.5
    """lambda_2"""
    projection: float = 1.0
    """lambda_3"""
    entity_choice: float = 0.0
    """Of the noun's choice among its clip's entities; the paper has no such term."""
    words: float = 0.0
    """Of the clip against bare nouns and against bare verbs; the paper has no such terms."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0.0 <= value < float("inf"):
                raise ConfigError(f"{name} is {value}; a loss weight is finite and at least 0")


class TotalLoss(NamedTuple):
    """The weighted sum and what it was made of, unweighted."""

    total: Tensor
    egonce: Tensor
    noun_entity: CountedLoss
    verb_entities: CountedLoss
    projection: CountedLoss
    entity_choice: CountedLoss


def total_loss(
    contrast: EgoNce,
    noun_entity: CountedLoss,
    verb_entities: CountedLoss,
    projection: CountedLoss,
    entity_choice: CountedLoss,
    weights: LossWeights,
) -> TotalLoss:
    """EgoNCE in both directions plus the weighted fine-grained losses (Eq. 10 where `entity_choice` weighs 0)."""
    total = (
        contrast.total
        + weights.noun_entity * noun_entity.value
        + weights.verb_entities * verb_entities.value
        + weights.projection * projection.value
        + weights.entity_choice * entity_choice.value
    )
    return TotalLoss(total, contrast.total, noun_entity, verb_entities, projection, entity_choice)
