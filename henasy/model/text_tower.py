"""The text tower's blocks: a causal transformer under CLIP's names.

Shapes: N texts, L tokens, D width.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from henasy.model.attention import QuickGelu, split_last
from henasy.model.config import TextConfig


class CausalAttention(nn.Module):
    """Multi-head self-attention in which a token sees itself and the tokens before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) to (N, L, D)."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = split_last(qkv, 3, self.heads).permute(2, 0, 3, 1, 4)
        gathered = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out_proj(gathered.transpose(1, 2).flatten(2))
        return out


class TextBlock(nn.Module):
    """Causal attention and MLP, each behind a norm and with a residual."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.attn = CausalAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, hidden),
                gelu=QuickGelu(),
                c_proj=nn.Linear(hidden, width),
            )
        )
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class TextTransformer(nn.Module):
    """The stack of text blocks."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(
            *(TextBlock(config.width, config.heads, config.mlp_ratio) for _ in range(config.layers))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) to (N, L, D)."""
        out: Tensor = self.resblocks(x)
        return out


def end_positions(tokens: Tensor) -> Tensor:
    """(N,) position of each text's end token, the largest id of its (N, L) row."""
    return tokens.argmax(dim=-1)
