"""Contrast between verb phrases and the entities that take part in them (VEC).

B clips, E entities, P verb phrases in the batch, D width of the joint space.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from henasy.losses.counted import CountedLoss, at_least_float32, mean_of


def as_given(*rows: Tensor) -> tuple[Tensor, ...]:
    """The rows of one process that is alone."""
    return rows


def verb_entities_loss(
    entities: Tensor,
    phrases: Tensor,
    *,
    phrase_clips: Tensor,
    phrase_ids: Tensor,
    is_valid: Tensor | None = None,
    temperature: float = 0.07,
    gather: Callable[..., tuple[Tensor, ...]] = as_given,
) -> CountedLoss:
    """Cross-entropy of each phrase among all of the batch, given its clip's entities, averaged over phrases.

    A clip's entities enter as their average, weighted by how near each is to the phrase. Other phrases of the batch
    are negatives unless they are the same phrase.

    Args:
        entities: (B, E, D) in the joint space, of any length.
        phrases: (P, D) verb phrase embeddings, of any length.
        phrase_clips: (P,) int64, the clip that each phrase narrates.
        phrase_ids: (P,) int64, equal for phrases that mean the same.
        is_valid: (B, E) bool, entities that take part; a clip without any drops its phrases.
        temperature: of both softmaxes.
        gather: brings together the rows of all processes that share the batch; the loss is then that of all phrases.

    Source: Eq. 8, with the softmax its text asks for in the weights (the printed ratio is undefined for negative sums).
    """
    verbs = F.normalize(at_least_float32(phrases), dim=-1)
    units = F.normalize(at_least_float32(entities), dim=-1)
    if is_valid is not None:
        has_entity = is_valid.any(dim=1)[phrase_clips]
        verbs, phrase_clips, phrase_ids = verbs[has_entity], phrase_clips[has_entity], phrase_ids[has_entity]
    averages = _averages(units, verbs, phrase_clips, is_valid, temperature)
    averages, verbs, phrase_ids = gather(averages, verbs, phrase_ids)
    is_negative = phrase_ids[:, None] != phrase_ids[None, :]
    is_used = is_negative | torch.eye(len(verbs), dtype=torch.bool, device=verbs.device)
    logits = (averages @ verbs.T / temperature).masked_fill(~is_used, -torch.inf)
    truth = torch.arange(len(verbs), device=verbs.device)
    return mean_of(F.cross_entropy(logits, truth, reduction="none"), entities)


def _averages(
    units: Tensor, verbs: Tensor, phrase_clips: Tensor, is_valid: Tensor | None, temperature: float
) -> Tensor:
    """(P, D) average of each phrase's entities by softmax of their cosine to it."""
    of_phrase = units[phrase_clips]  # P E D
    logits = torch.einsum("ped,pd->pe", of_phrase, verbs) / temperature
    if is_valid is not None:
        logits = logits.masked_fill(~is_valid[phrase_clips], -torch.inf)
    return torch.einsum("pe,ped->pd", logits.softmax(dim=-1), of_phrase)
