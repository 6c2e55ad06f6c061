"""Contrast of clips or boxes with single words.

P things that have a word, W words, D joint space.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from henasy.losses.counted import CountedLoss, mean_of
from henasy.losses.egonce import cosines


class WordLoss(NamedTuple):
    """How well things meet their words."""

    loss: CountedLoss
    """Cross-entropy of the true word among all that are allowed."""
    top1: CountedLoss
    """Share of things whose true word ranks first."""


def word_loss(
    embeddings: Tensor, words: Tensor, truth: Tensor, *, temperature: float, is_allowed: Tensor | None = None
) -> WordLoss:
    """Of (P, D) things and (W, D) words, the true ones in rows (P,).

    Words that (W,) `is_allowed` leaves out take no part.
    """
    logits = cosines(embeddings, words) / temperature
    if is_allowed is not None:
        logits = logits.masked_fill(~is_allowed, -torch.inf)
    losses = F.cross_entropy(logits, truth, reduction="none")
    return WordLoss(mean_of(losses, logits), mean_of((logits.argmax(dim=-1) == truth).float(), logits.detach()))
