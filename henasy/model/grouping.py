"""Temporal-aware grouping (TAG): merges the tokens of each frame into groups that are the same for the video.

Shapes: B batch, T frames, I input tokens per frame, Q groups, D width.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from henasy.model.attention import Mlp


class Assigned(NamedTuple):
    """Group sums and who belongs to whom."""

    merged: Tensor
    """(..., Q, D) projected mean of each group's tokens; without bias alone where a group is empty."""
    soft: Tensor
    """(..., Q, I) noise-free assignment, sums to 1 over Q."""
    hard: Tensor
    """(..., Q, I) one-hot over Q; its gradient is that of the soft assignment it was taken from."""


class Grouped(NamedTuple):
    """Group tokens of every frame and who belongs to whom."""

    tokens: Tensor
    """(B, T, Q, D) one token per frame and group."""
    soft: Tensor
    """(B, T, Q, I) noise-free assignment, sums to 1 over Q."""
    hard: Tensor
    """(B, T, Q, I) one-hot over Q, of the noisy assignment in training."""


def gumbel_noise(like: Tensor) -> Tensor:
    """Gumbel(0, 1) samples of the shape of `like`."""
    return torch.empty_like(like).exponential_().log().neg()


def straight_through(soft: Tensor) -> Tensor:
    """One-hot of the largest entry over dim -2, with the gradient of `soft` (Eq. 12)."""
    hard = torch.zeros_like(soft).scatter_(-2, soft.argmax(dim=-2, keepdim=True), 1.0)
    return hard + (soft - soft.detach())  # the bracket is exactly 0, so the values stay 0 and 1


class AssignAttention(nn.Module):
    """Assigns each key to one query and returns the mean of every query's keys.

    Source: HENASY Eq. 4, 11 and 12; scale, denominator and projections as PROTOCOLS section 5.2 settles them.
    """

    def __init__(self, width: int, key_width: int, *, eps: float, tau: float) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.eps = eps
        self.tau = tau
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(key_width, width)
        self.v_proj = nn.Linear(key_width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, noise: Tensor | None = None) -> Assigned:
        """Groups (..., I, key width) keys under (..., Q, D) queries; leading axes broadcast.

        Args:
            queries: group tokens.
            keys: tokens to be grouped.
            noise: (..., Q, I) Gumbel noise to use; None draws it in training and uses none otherwise.
        """
        logits = self._logits(queries, keys)
        soft = logits.softmax(dim=-2)
        if noise is None and self.training:
            noise = gumbel_noise(logits)
        taken = soft if noise is None else ((logits + noise) / self.tau).softmax(dim=-2)
        hard = straight_through(taken)
        return Assigned(self._merge(hard, keys), soft, hard)

    def _logits(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(..., Q, I) similarities; the key map is folded into the few queries, which is the same product."""
        q = self.q_proj(queries)
        folded = q @ self.k_proj.weight
        logits: Tensor = folded @ keys.transpose(-1, -2) + (q @ self.k_proj.bias).unsqueeze(-1)
        logits = logits * self.scale
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits

    def _merge(self, hard: Tensor, keys: Tensor) -> Tensor:
        """(..., Q, D): the mean is taken before the value map, which is linear and so costs Q rows, not I."""
        weights = hard / (hard.sum(dim=-1, keepdim=True) + self.eps)
        mean = weights @ keys.to(weights.dtype)
        value = mean @ self.v_proj.weight.T + weights.sum(dim=-1, keepdim=True) * self.v_proj.bias
        out: Tensor = self.proj(value)
        return out


class TemporalAwareGrouping(nn.Module):
    """Groups each frame's tokens under video-level group tokens, with a residual and an optional MLP."""

    def __init__(self, width: int, key_width: int, *, eps: float, tau: float, mlp_ratio: float, has_mlp: bool) -> None:
        super().__init__()
        self.norm_groups = nn.LayerNorm(width)
        self.norm_tokens = nn.LayerNorm(key_width)
        self.assign = AssignAttention(width, key_width, eps=eps, tau=tau)
        self.mlp = nn.Sequential(nn.LayerNorm(width), Mlp(width, mlp_ratio)) if has_mlp else None

    def forward(self, groups: Tensor, tokens: Tensor, noise: Tensor | None = None) -> Grouped:
        """Merges (B, T, I, key width) tokens under (B, Q, D) groups; `noise` as in `AssignAttention`."""
        query = self.norm_groups(groups).unsqueeze(1)  # (B, 1, Q, D)
        assigned = self.assign(query, self.norm_tokens(tokens), noise)
        merged = groups.unsqueeze(1) + assigned.merged  # (B, T, Q, D)
        if self.mlp is not None:
            merged = merged + self.mlp(merged)
        return Grouped(merged, assigned.soft, assigned.hard)
