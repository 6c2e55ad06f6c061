"""Contrast between clips and narrations in which narrations of the same action are positives.

N rows of the batch. With hard negatives N = 2B and the rows are [anchors; hard negatives], a hard negative being
another clip of the same video and the same stretch of time; the loss treats all rows alike.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from henasy.losses.counted import at_least_float32

NORM_EPS = 1e-8


class EgoNce(NamedTuple):
    """Both directions of the contrast, each a mean over the N rows."""

    text_to_video: Tensor
    video_to_text: Tensor

    @property
    def total(self) -> Tensor:
        """Sum of the two directions, not halved, as Eq. 10 adds them."""
        return self.text_to_video + self.video_to_text


def positive_pairs(noun_vec: Tensor, verb_vec: Tensor) -> Tensor:
    """(N, N) bool: rows that share a noun and share a verb, and every row with itself.

    Args:
        noun_vec: (N, num_nouns) multi-hot; a row may be empty.
        verb_vec: (N, num_verbs) multi-hot.

    Source: EgoVLP model/loss.py: both similarities positive, or the diagonal.
    """
    nouns, verbs = noun_vec.float(), verb_vec.float()
    is_same = (nouns @ nouns.T > 0) & (verbs @ verbs.T > 0)
    return is_same | torch.eye(len(nouns), dtype=torch.bool, device=nouns.device)


def egonce(video: Tensor, text: Tensor, positives: Tensor, *, temperature: float) -> EgoNce:
    """EgoNCE of N clips and their narrations.

    Args:
        video: (N, D) clip embeddings, of any length; cosines are taken.
        text: (N, D) narration embeddings, row i belongs to clip i.
        positives: (N, N) bool, symmetric, with a true diagonal.
        temperature: 0.05 in EgoVLP, 0.07 for HENASY on LaViLa's encoders.

    Source: Eq. 1 with a minus sign; EgoVLP model/loss.py (log of the summed probabilities of all positives).
    """
    logits = cosines(text, video) / temperature
    return EgoNce(
        text_to_video=_negative_log_mass(logits, positives),
        video_to_text=_negative_log_mass(logits.T, positives.T),
    )


def infonce(video: Tensor, text: Tensor, *, temperature: float) -> EgoNce:
    """The same contrast with the diagonal as the only positives."""
    return egonce(video, text, torch.eye(len(video), dtype=torch.bool, device=video.device), temperature=temperature)


def cosines(rows: Tensor, columns: Tensor) -> Tensor:
    """(N, M) cosine of every row (N, D) with every column (M, D); a zero vector has cosine 0."""
    rows, columns = at_least_float32(rows), at_least_float32(columns)
    return F.normalize(rows, dim=-1, eps=NORM_EPS) @ F.normalize(columns, dim=-1, eps=NORM_EPS).T


def _negative_log_mass(logits: Tensor, positives: Tensor) -> Tensor:
    hidden = logits.masked_fill(~positives, -torch.inf)
    return (logits.logsumexp(dim=-1) - hidden.logsumexp(dim=-1)).mean()
