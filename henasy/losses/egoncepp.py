"""EgoNCE++: clips against captions with a swapped word, and captions against clips that share a noun.

N clips with their captions, K captions with a swapped word per clip, D width of the joint space. The two directions
are not alike: a clip must tell its caption from the batch's other captions and from its own swapped ones, while a
caption takes every clip that shows one of its nouns for right.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from henasy.errors import InputError
from henasy.losses.counted import at_least_float32
from henasy.losses.egonce import NORM_EPS, cosines

TEMPERATURE = 0.05


class EgoNcePlusPlus(NamedTuple):
    """Both directions of the contrast, each a mean over the N rows."""

    text_to_video: Tensor
    video_to_text: Tensor

    @property
    def total(self) -> Tensor:
        """Sum of the two directions, not halved."""
        return self.text_to_video + self.video_to_text


def shared_nouns(noun_vec: Tensor) -> Tensor:
    """(N, N) bool: rows that share a noun, and every row with itself.

    Args:
        noun_vec: (N, num_nouns) multi-hot; a row may be empty.
    """
    nouns = noun_vec.float()
    return (nouns @ nouns.T > 0) | torch.eye(len(nouns), dtype=torch.bool, device=nouns.device)


def egoncepp(
    video: Tensor,
    text: Tensor,
    swapped: Tensor,
    positives: Tensor,
    *,
    has_swap: Tensor | None = None,
    is_same_action: Tensor | None = None,
    temperature: float = TEMPERATURE,
) -> EgoNcePlusPlus:
    """EgoNCE++ of N clips, their captions and each clip's own swapped captions.

    Args:
        video: (N, D) clip embeddings, of any length; cosines are taken.
        text: (N, D) caption embeddings, row i belongs to clip i.
        swapped: (N, K, D) swapped captions of each clip; K may be 0, which leaves InfoNCE in this direction.
        positives: (N, N) bool, from `shared_nouns`.
        has_swap: (N, K) bool, which of them are there; all of them by default. What is masked may be any finite vector.
        is_same_action: (N, N) bool, rows that say the same, from `positive_pairs`: the caption of one is none of those
            that the clip of the other is told from. The reference has no such mask: only a clip's own is true there.
        temperature: of both softmaxes.

    Raises:
        InputError: the shapes do not belong together, or the diagonal of `positives` is not true.

    Source: EgoNCE++ (README listing; xuboshen/EgoNCEpp EgoVLP/model/loss.py), whose swapped captions lie in one
    (N * K, D) matrix grouped by clip.
    """
    has_swap = _checked(video, text, swapped, positives, has_swap)
    if is_same_action is not None and is_same_action.shape != positives.shape:
        allowed = tuple(positives.shape)
        raise InputError("is_same_action", f"shape {tuple(is_same_action.shape)}; allowed: {allowed}")
    logits = cosines(text, video) / temperature
    own = _own_cosines(video, swapped) / temperature
    hard = own.masked_fill(~has_swap, -torch.inf)
    others = logits.T if is_same_action is None else logits.T.masked_fill(_besides_own(is_same_action), -torch.inf)
    all_texts = torch.cat([others, hard], dim=1)  # N clips by N + K captions
    return EgoNcePlusPlus(
        text_to_video=(logits.logsumexp(dim=1) - logits.masked_fill(~positives, -torch.inf).logsumexp(dim=1)).mean(),
        video_to_text=(all_texts.logsumexp(dim=1) - logits.diagonal()).mean(),
    )


def _besides_own(is_same_action: Tensor) -> Tensor:
    return is_same_action & ~torch.eye(len(is_same_action), dtype=torch.bool, device=is_same_action.device)


def _own_cosines(video: Tensor, swapped: Tensor) -> Tensor:
    """(N, K) cosine of every clip with its own swapped captions."""
    clips = F.normalize(at_least_float32(video), dim=-1, eps=NORM_EPS)
    texts = F.normalize(at_least_float32(swapped), dim=-1, eps=NORM_EPS)
    return torch.einsum("nd,nkd->nk", clips, texts)


def _checked(video: Tensor, text: Tensor, swapped: Tensor, positives: Tensor, has_swap: Tensor | None) -> Tensor:
    """The mask of swapped captions, once everything fits together."""
    num_clips = len(video)
    if video.ndim != 2 or num_clips == 0 or text.shape != video.shape:
        raise InputError(
            "text", f"shape {tuple(text.shape)} for clips {tuple(video.shape)}; allowed: (N, D) both, N > 0"
        )
    if swapped.ndim != 3 or swapped.shape[0] != num_clips or swapped.shape[2] != video.shape[1]:
        allowed = (num_clips, "K", video.shape[1])
        raise InputError("swapped", f"shape {tuple(swapped.shape)}; allowed: {allowed}, grouped by clip")
    if positives.shape != (num_clips, num_clips) or not bool(positives.diagonal().all()):
        raise InputError(
            "positives", f"shape {tuple(positives.shape)}; allowed: ({num_clips}, {num_clips}), itself true"
        )
    if has_swap is None:
        return torch.ones(swapped.shape[:2], dtype=torch.bool, device=video.device)
    if has_swap.shape != swapped.shape[:2]:
        raise InputError("has_swap", f"shape {tuple(has_swap.shape)}; allowed: {tuple(swapped.shape[:2])}")
    return has_swap
