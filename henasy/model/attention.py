"""Attention pieces that several parts share.

Shapes: B batch, N tokens, T frames, K tokens per frame, P global tokens, D width, H heads, C = D / H.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAVILA_BLOCK_EPS = 1e-6
_FEW_KEYS = 16
"""With 5 and 12 keys the written-out attention trains faster in float32, from 32 on the fused one does."""


class QuickGelu(nn.Module):
    """CLIP's approximation of GELU, x * sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Mlp(nn.Module):
    """Linear, activation (QuickGELU unless another is given), linear, back to the same width."""

    def __init__(self, width: int, ratio: float, activation: nn.Module | None = None) -> None:
        super().__init__()
        hidden = int(width * ratio)
        self.fc1 = nn.Linear(width, hidden)
        self.act = QuickGelu() if activation is None else activation
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of (B, N, H, C) queries over (B, M, H, C) keys, as (B, N, H, C)."""
    q, k, v = (one.transpose(1, 2) for one in (q, k, v))
    is_faster_written_out = k.dtype != torch.float32 or (k.shape[-2] <= _FEW_KEYS and torch.is_grad_enabled())
    if k.device.type == "cpu" and is_faster_written_out:
        return written_out_attention(q, k, v).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def written_out_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of (B, H, N, C) queries over (B, H, M, C) keys as two products.

    torch's fused attention is made for long sequences. On a CPU a step of training with it takes 1.3 to 7 times as long
    for every shape of henasy-tiny in bfloat16, and in float32 where there are few keys, as over time
    (benchmarks/speed/attention.py; docs/performance.md). In float32 without gradients `attend` keeps to it all the
    same: its last bits do not depend on a clip's place in the batch, and those of the products do. In bfloat16 the
    logits are rounded too, as they are not in the fused one.
    """
    scaled: Tensor = q * q.shape[-1] ** -0.5
    return (scaled @ k.transpose(-2, -1)).softmax(dim=-1) @ v


def split_last(x: Tensor, *counts: int) -> Tensor:
    """`x` with its last axis split into axes of `counts` and one of what remains."""
    return x.reshape(*x.shape[:-1], *counts, x.shape[-1] // math.prod(counts))


class CrossAttention(nn.Module):
    """Multi-head attention of queries over keys that may have another width."""

    def __init__(self, width: int, heads: int, key_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(key_width, width)
        self.v_proj = nn.Linear(key_width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, N, D) queries that have gathered from (B, M, key width) keys."""
        q = split_last(self.q_proj(queries), self.heads)
        k = split_last(self.k_proj(keys), self.heads)
        v = split_last(self.v_proj(keys), self.heads)
        out: Tensor = self.proj(attend(q, k, v).flatten(2))
        return out


class SelfAttention(nn.Module):
    """Multi-head attention among the tokens of one sequence."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        q, k, v = split_last(self.qkv(x), 3, self.heads).unbind(2)
        out: Tensor = self.proj(attend(q, k, v).flatten(2))
        return out


class GroupedAttention(nn.Module):
    """Attention within groups of tokens, with global tokens that see everything and are seen by every group.

    Source: the VarAttention of TimeSformer as LaViLa uses it (lavila/models/timesformer.py).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def over_time(self, globals_: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Each (B, T, K, D) token sees its own position in all frames; (B, P, D) globals see everything."""
        return self._attend(globals_, tokens, is_over_time=True)

    def over_space(self, globals_: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Each (B, T, K, D) token sees all positions of its own frame; (B, P, D) globals see everything."""
        return self._attend(globals_, tokens, is_over_time=False)

    def globals_only(self, globals_: Tensor, tokens: Tensor) -> Tensor:
        """What either grouping gives the (B, P, D) globals, without computing the tokens' own outputs."""
        gq, gk, gv = self._split(globals_)
        k, v = self._keys_and_values(tokens.flatten(1, 2))  # (B, T*K, H, C)
        return self._globals(gq, gk, gv, k, v)

    def _keys_and_values(self, x: Tensor) -> tuple[Tensor, ...]:
        if type(self.qkv) is not nn.Linear:  # an adapter around the map: its weight is not all there is to it
            return self._split(x)[1:]
        width = self.proj.in_features
        kv = F.linear(x, self.qkv.weight[width:], self.qkv.bias[width:])
        return split_last(kv, 2, self.heads).unbind(-3)

    def _attend(self, globals_: Tensor, tokens: Tensor, *, is_over_time: bool) -> tuple[Tensor, Tensor]:
        q, k, v = self._split(tokens)  # (B, T, K, H, C)
        gq, gk, gv = self._split(globals_)  # (B, P, H, C)
        if is_over_time:
            out = _attend_over_time(q, _beside_frames(gk, k), _beside_frames(gv, v))
        else:
            out = _attend_over_space(q, _beside_positions(gk, k), _beside_positions(gv, v))
        tokens_out: Tensor = self.proj(out)
        if globals_.shape[1] == 0:
            return globals_, tokens_out
        return self._globals(gq, gk, gv, k.flatten(1, 2), v.flatten(1, 2)), tokens_out

    def _globals(self, gq: Tensor, gk: Tensor, gv: Tensor, k: Tensor, v: Tensor) -> Tensor:
        gathered = attend(gq, torch.cat((gk, k), dim=1), torch.cat((gv, v), dim=1))
        out: Tensor = self.proj(gathered.flatten(2))
        return out

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        return split_last(self.qkv(x), 3, self.heads).unbind(-3)


def _beside_frames(global_: Tensor, tokens: Tensor) -> Tensor:
    """(B, P + T, K, H, C): the globals stand before the frames at every position."""
    every_position = global_.unsqueeze(2).expand(-1, -1, tokens.shape[2], -1, -1)
    return torch.cat((every_position, tokens), dim=1)


def _beside_positions(global_: Tensor, tokens: Tensor) -> Tensor:
    """(B, T, P + K, H, C): the globals stand before the positions in every frame."""
    every_frame = global_.unsqueeze(1).expand(-1, tokens.shape[1], -1, -1, -1)
    return torch.cat((every_frame, tokens), dim=2)


def _attend_over_time(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, T, K, D) from (B, T, K, H, C) queries: a position's heads become one axis, so keys stay in place."""
    out = attend(q.flatten(2, 3), k.flatten(2, 3), v.flatten(2, 3))  # (B, T, K*H, C)
    return out.reshape(*q.shape[:3], -1)


def _attend_over_space(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, T, K, D) from (B, T, K, H, C) queries, frames merged into the batch."""
    out = attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))  # (B*T, K, H, C)
    return out.reshape(*q.shape[:3], -1)


class SpaceTimeBlock(nn.Module):
    """Divided space-time block: attention over time, attention over space, MLP.

    The residual around space attention starts from the block's input, not from the output of time attention
    ("frozen in time"), and the names are LaViLa's, so that its weights load strictly.

    Source: HENASY appendix A; lavila/models/timesformer.py.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAVILA_BLOCK_EPS)
        self.attn = GroupedAttention(width, heads)
        self.timeattn = GroupedAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=LAVILA_BLOCK_EPS)
        self.mlp = Mlp(width, mlp_ratio, activation)
        self.norm3 = nn.LayerNorm(width, eps=LAVILA_BLOCK_EPS)

    def forward(self, globals_: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, D) globals and (B, T, K, D) tokens, both of the same shape again; P may be 0."""
        global_time, token_time = self.timeattn.over_time(self.norm3(globals_), self.norm3(tokens))
        global_space, token_space = self.attn.over_space(
            self.norm1(globals_ + global_time), self.norm1(tokens + token_time)
        )
        return self._add_mlp(globals_ + global_space), self._add_mlp(tokens + token_space)

    def globals_only(self, globals_: Tensor, tokens: Tensor) -> Tensor:
        """The globals that `forward` returns, at about a third of its cost."""
        global_time, token_time = self.timeattn.over_time(self.norm3(globals_), self.norm3(tokens))
        global_space = self.attn.globals_only(self.norm1(globals_ + global_time), self.norm1(tokens + token_time))
        return self._add_mlp(globals_ + global_space)

    def _add_mlp(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.mlp(self.norm2(x))
        return out
