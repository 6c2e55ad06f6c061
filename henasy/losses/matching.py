"""Which entity stands for which noun and which box: Hungarian matchings per frame or per clip.

B clips, T frames, N noun slots, M box slots, E entities. A matching is an int64 tensor with the entity's number, or
-1 where the slot is empty or no entity was left. Entities that own no patch can be excluded (`is_valid`): they are
the same vector for every clip and would match everything. Nothing here carries a gradient.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

ABSENT = -1
_NOT_A_NUMBER_COST = 1e6


class JointMatch(NamedTuple):
    """Entities of a clip's nouns and boxes when both are matched at once."""

    noun_entity: Tensor
    """(B, N) int64"""
    box_entity: Tensor
    """(B, T, M) int64; the boxes of a noun have the noun's entity in every frame"""


def match_nouns(cosine: Tensor, noun_rows: Tensor, is_valid: Tensor | None = None) -> Tensor:
    """(B, N) entity of each noun, by cosine alone.

    Args:
        cosine: (B, N, E) of nouns and entities.
        noun_rows: (B, N) int64, dictionary rows, -1 for an empty slot.
        is_valid: (B, E) bool, entities that may be chosen; all of them by default.

    Source: Sec. 4.4 (NEC); HelpingHands model/loss.py.
    """
    return _assign(-cosine, noun_rows != ABSENT, _valid(is_valid, cosine))


def match_boxes(overlap: Tensor, has_box: Tensor, is_valid: Tensor | None = None) -> Tensor:
    """(B, T, M) entity of each box, by soft IoU, every frame by itself.

    Args:
        overlap: (B, T, M, E) soft IoU of boxes and saliency maps.
        has_box: (B, T, M) bool.
        is_valid: (B, E) or (B, T, E) bool.

    Source: Sec. 4.4 (projection loss).
    """
    batch, frames, slots, entities = overlap.shape
    flat = overlap.reshape(batch * frames, slots, entities)
    valid = _valid(is_valid, overlap)
    valid = valid[:, None].expand(batch, frames, entities) if valid.dim() == 2 else valid
    matched = _assign(-flat, has_box.flatten(0, 1), valid.reshape(-1, entities))
    return matched.reshape(batch, frames, slots)


def match_jointly(
    cosine: Tensor,
    overlap: Tensor,
    *,
    noun_rows: Tensor,
    box_nouns: Tensor,
    has_box: Tensor,
    box_weight: float,
    is_valid: Tensor | None = None,
) -> JointMatch:
    """One matching per clip in which a noun meets the entity that also covers the noun's boxes.

    The cost of a noun and an entity is -cosine, plus `box_weight` * (1 - soft IoU, averaged over the frames that have a
    box of the noun) for nouns with boxes. Hands take part as the nouns that label their boxes. Boxes whose noun is not
    among the clip's, or that have none, are then matched frame by frame to the entities that no noun's boxes have; the
    entity of a noun without boxes is among these, for such a box may well be that noun's.

    Args:
        cosine: (B, N, E) of nouns and entities.
        overlap: (B, T, M, E) soft IoU of boxes and saliency maps.
        noun_rows: (B, N) int64, dictionary rows, -1 for an empty slot.
        box_nouns: (B, T, M) int64, dictionary row that labels the box, or -1.
        has_box: (B, T, M) bool.
        box_weight: weight of the boxes against the cosine.
        is_valid: (B, E) bool, entities that may be chosen.

    Source: neither paper ties the two matchings; without it "hand" can meet the background while another entity masks
    the hand.
    """
    cosine, overlap = cosine.detach().float(), overlap.detach().float()
    valid = _valid(is_valid, cosine)
    if 0 in (noun_rows.shape[1], box_nouns.shape[2]):
        return JointMatch(match_nouns(cosine, noun_rows, valid), match_boxes(overlap, has_box, valid))
    is_of = _boxes_of_nouns(noun_rows, box_nouns, has_box)
    share, has_any = _overlap_of_nouns(overlap, is_of)
    cost = -cosine + box_weight * torch.where(has_any[..., None], 1.0 - share, 0.0)
    noun_entity = _assign(cost, noun_rows != ABSENT, valid)
    tied = torch.where(is_of, noun_entity[:, None, :, None], ABSENT).amax(dim=2)
    free = _without(valid, torch.where(has_any, noun_entity, ABSENT))
    loose = match_boxes(overlap, has_box & ~is_of.any(dim=2), free)
    return JointMatch(noun_entity, torch.maximum(tied, loose))


def clip_nouns(narrated: Tensor, box_nouns: Tensor) -> Tensor:
    """(B, N) rows of all nouns that a clip's narration or boxes name, each once, -1 filled; N = the most any clip has.

    Args:
        narrated: (B, n) int64, -1 for an empty slot.
        box_nouns: (B, T, M) int64, -1 for none.
    """
    named = torch.cat([narrated, box_nouns.flatten(1)], dim=1).cpu().numpy()
    rows = [dict.fromkeys(clip[clip != ABSENT].tolist()) for clip in named]
    width = max((len(row) for row in rows), default=0)
    filled = np.full((len(rows), width), ABSENT, dtype=np.int64)
    for clip, row in enumerate(rows):
        filled[clip, : len(row)] = list(row)
    return torch.from_numpy(filled).to(narrated.device)


def _valid(is_valid: Tensor | None, like: Tensor) -> Tensor:
    if is_valid is not None:
        return is_valid
    return torch.ones(like.shape[0], like.shape[-1], dtype=torch.bool, device=like.device)


def _boxes_of_nouns(noun_rows: Tensor, box_nouns: Tensor, has_box: Tensor) -> Tensor:
    """(B, T, N, M) bool: this box is labelled with this noun."""
    is_same = noun_rows[:, None, :, None] == box_nouns[:, :, None, :]
    return is_same & (noun_rows != ABSENT)[:, None, :, None] & has_box[:, :, None, :]


def _overlap_of_nouns(overlap: Tensor, is_of: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N, E) mean over the frames with a box of the noun of its best box's soft IoU; (B, N) whether there is any."""
    best = torch.where(is_of[..., None], overlap[:, :, None], 0.0).amax(dim=3)  # B T N E
    num_frames = is_of.any(dim=3).sum(dim=1)  # B N
    return best.sum(dim=1) / num_frames.clamp(min=1)[..., None], num_frames > 0


def _without(valid: Tensor, taken: Tensor) -> Tensor:
    """`valid` (B, E) less the entities that `taken` (B, N) names."""
    is_taken = torch.zeros(valid.shape[0], valid.shape[1] + 1, dtype=torch.bool, device=valid.device)
    # the extra last column swallows the slots that are -1
    is_taken.scatter_(1, taken.where(taken != ABSENT, valid.shape[1]), True)
    return valid & ~is_taken[:, :-1]


def _assign(cost: Tensor, has_row: Tensor, has_column: Tensor) -> Tensor:
    """(P, R) column of each present row in P independent least-cost assignments of a (P, R, C) cost."""
    # a non-finite cost must not stop here: the loss it leads to is what the trainer reports
    costs = np.nan_to_num(cost.detach().double().cpu().numpy(), nan=_NOT_A_NUMBER_COST)
    rows, columns = has_row.cpu().numpy(), has_column.cpu().numpy()
    chosen = np.full(rows.shape, ABSENT, dtype=np.int64)
    for problem in np.flatnonzero(rows.any(axis=1) & columns.any(axis=1)):
        row, column = np.flatnonzero(rows[problem]), np.flatnonzero(columns[problem])
        left, right = linear_sum_assignment(costs[problem][np.ix_(row, column)])
        chosen[problem, row[left]] = column[right]
    return torch.from_numpy(chosen).to(cost.device)
