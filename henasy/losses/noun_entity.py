"""Contrast between each matched entity and all nouns of a dictionary (NEC), and between a noun and its clip's entities.

B clips, N noun slots, E entities, V dictionary nouns, D width of the joint space.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from henasy.losses.counted import CountedLoss, at_least_float32, mean_of
from henasy.losses.matching import ABSENT

SYNONYM_COSINE = 0.6
_SYNONYM_LOGIT_COSINE = -1.0


def noun_cosines(entities: Tensor, dictionary: Tensor, noun_rows: Tensor) -> Tensor:
    """(B, N, E) cosine of each clip's nouns with its entities; arbitrary where the slot is empty.

    Args:
        entities: (B, E, D), of any length.
        dictionary: (V, D), of any length.
        noun_rows: (B, N) int64 rows of the dictionary, -1 for an empty slot.
    """
    nouns = F.normalize(at_least_float32(dictionary), dim=-1)[noun_rows.clamp(min=0)]
    return nouns @ F.normalize(at_least_float32(entities), dim=-1).transpose(1, 2)


def noun_entity_loss(
    entities: Tensor,
    dictionary: Tensor,
    noun_rows: Tensor,
    noun_entity: Tensor,
    *,
    temperature: float = 0.07,
    synonym_cosine: float | None = SYNONYM_COSINE,
) -> CountedLoss:
    """Cross-entropy of every matched entity's noun among the dictionary, averaged over the matched nouns.

    Args:
        entities: (B, E, D) in the joint space, of any length.
        dictionary: (V, D) embeddings of all nouns, of any length.
        noun_rows: (B, N) int64 rows of the dictionary, -1 for an empty slot.
        noun_entity: (B, N) int64 from `matching`, -1 for a noun without an entity.
        temperature: of the softmax.
        synonym_cosine: dictionary nouns nearer than this to the true one count as dissimilar (cosine -1) rather than
            as negatives to be told apart; None keeps them all.

    Source: Eq. 7; HelpingHands model/loss.py (synonyms).
    """
    clip, slot = torch.nonzero((noun_rows != ABSENT) & (noun_entity != ABSENT), as_tuple=True)
    truth = noun_rows[clip, slot]
    nouns = F.normalize(at_least_float32(dictionary), dim=-1)
    matched = F.normalize(at_least_float32(entities[clip, noun_entity[clip, slot]]), dim=-1)
    cosine = matched @ nouns.T
    if synonym_cosine is not None:
        is_synonym = nouns[truth] @ nouns.T > synonym_cosine
        is_synonym[torch.arange(len(truth), device=truth.device), truth] = False
        cosine = cosine.masked_fill(is_synonym, _SYNONYM_LOGIT_COSINE)
    return mean_of(F.cross_entropy(cosine / temperature, truth, reduction="none"), entities)


def entity_choice_loss(cosine: Tensor, noun_entity: Tensor, *, temperature: float = 0.07) -> CountedLoss:
    """Cross-entropy of every matched noun's entity among the entities of its clip, averaged over the matched nouns.

    NEC asks which noun an entity is; a search asks which entity a noun is, and nothing in NEC keeps another entity of
    the clip from being nearer to the noun than the matched one.

    Args:
        cosine: (B, N, E) from `noun_cosines`.
        noun_entity: (B, N) int64 from `matching`, -1 for a noun that takes no part.
        temperature: of the softmax.

    Source: ours; the other direction of Eq. 7.
    """
    clip, slot = torch.nonzero(noun_entity != ABSENT, as_tuple=True)
    logits = cosine[clip, slot] / temperature
    return mean_of(F.cross_entropy(logits, noun_entity[clip, slot], reduction="none"), cosine)
