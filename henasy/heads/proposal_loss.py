"""What the guesses of a proposal head should have been, and how far off they are.

B windows, P positions, C classes, N true spans of a window. Time counts in features.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from henasy.heads.proposals import Positions, ProposalOutput

_RADIUS = 1.5
"""How far from a span's middle a position may be to answer for it, in strides."""
_SHORTEST, _LONGEST = 2.0, 6.0
"""Lengths a level answers for, in strides; neighbours overlap, so that most spans have two levels."""


class TrueSpans(NamedTuple):
    """The true spans of one window."""

    spans: Tensor
    """(N, 2) start and end in features."""
    labels: Tensor
    """(N,) int64."""


class ProposalLoss(NamedTuple):
    """Scalars of a batch."""

    total: Tensor
    overlap: Tensor
    """Classes: how far expected overlaps are from the real ones."""
    ends: Tensor
    """Spans: how far the answering guesses are from theirs."""
    mean_iou: Tensor
    """Of the answering guesses; 0 if there are none."""


def proposal_loss(output: ProposalOutput, truth: list[TrueSpans]) -> ProposalLoss:
    """The loss of a batch, each part divided by the number of positions that answer for a span (at least 1)."""
    target = torch.zeros_like(output.logits)
    ious, distances = [], []
    for row, (spans, labels) in enumerate(truth):
        answers = answering(output.positions, spans) & output.is_real[row, :, None]
        guess = output.spans[row]
        overlap = span_iou(guess[:, None], spans[None])
        target[row] = class_targets(overlap.detach() * answers, labels, output.logits.shape[-1])
        own = nearest_length(answers, spans)
        chosen = own >= 0
        meant = spans[own[chosen]]
        ious.append(span_iou(guess[chosen], meant))
        distances.append(middle_distance(guess[chosen], meant))
    iou = torch.cat(ious)
    count = max(len(iou), 1)
    overlap_loss = (quality_focal(output.logits, target) * output.is_real[..., None]).sum() / count
    ends_loss = (1 - iou + torch.cat(distances)).sum() / count
    return ProposalLoss(overlap_loss + ends_loss, overlap_loss, ends_loss, iou.detach().sum() / count)


def answering(positions: Positions, spans: Tensor) -> Tensor:
    """(P, N) whether a position answers for a span: near its middle, inside it, at a level for its length.

    A span shorter than a position lies inside none; the position that holds its middle answers for it.
    """
    middle, length = spans.mean(dim=1), spans[:, 1] - spans[:, 0]
    stride = positions.stride[:, None]
    away = (positions.centre[:, None] - middle).abs()
    is_near = (away <= _RADIUS * stride) & (away <= torch.maximum(length / 2, stride / 2))
    is_long_enough = (length >= _SHORTEST * stride) | (positions.level[:, None] == 0)
    is_short_enough = (length < _LONGEST * stride) | (positions.level[:, None] == positions.level.max())
    return is_near & is_long_enough & is_short_enough


def nearest_length(answers: Tensor, spans: Tensor) -> Tensor:
    """(P,) the shortest span that each position answers for, -1 if none; of equal ones the first."""
    if spans.shape[0] == 0:
        return torch.full((answers.shape[0],), -1, dtype=torch.int64, device=answers.device)
    length = (spans[:, 1] - spans[:, 0]).expand(answers.shape).masked_fill(~answers, torch.inf)
    return torch.where(answers.any(dim=1), length.argmin(dim=1), -1)


def class_targets(overlap: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """(P, C) the largest of the overlaps (P, N) with spans of each class, 0 where there are none."""
    target = overlap.new_zeros(overlap.shape[0], num_classes)
    return target.scatter_reduce(1, labels.expand(overlap.shape), overlap, "amax")


def quality_focal(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with a soft target, weighted by the squared distance from it; elementwise.

    Source: the quality focal loss of "Generalized Focal Loss" (Li et al., 2020), Eq. 3, with beta 2.
    """
    distance = (logits.sigmoid() - target).square()
    return distance * F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def span_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of spans (..., 2), broadcast; ends never stand before starts."""
    shared = torch.minimum(first[..., 1], second[..., 1]) - torch.maximum(first[..., 0], second[..., 0])
    shared = shared.clamp(min=0)
    union = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0]) - shared
    return shared / union.clamp(min=1e-6)


def middle_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared distance of the middles as a share of the hull's length: pulls where spans do not even touch."""
    hull = torch.maximum(first[..., 1], second[..., 1]) - torch.minimum(first[..., 0], second[..., 0])
    return ((first.mean(dim=-1) - second.mean(dim=-1)) / hull.clamp(min=1e-6)).square()
