"""The parts that a VSLNet is put together from.

B questions, L positions of a sequence, Q text tokens, H width. Masks are True where a sequence is real, False where it
is padding; what a real position yields never depends on padding.

Source: "Span-based Localizing Network for Natural Language Video Localization" (Zhang et al., ACL 2020), sections 3.2
to 3.4, whose encoder is that of QANet (Yu et al., ICLR 2018).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_EPS = 1e-6


class SeparableConv(nn.Module):
    """A norm, a convolution per channel, a mixing of channels; with a residual."""

    def __init__(self, hidden: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden, eps=_EPS)
        self.along_time = nn.Conv1d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False)
        self.across = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, is_real: Tensor) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        real = self.norm(x) * is_real[..., None]
        mixed = self.along_time(real.transpose(1, 2)).transpose(1, 2)
        out: Tensor = x + self.dropout(F.relu(self.across(mixed)))
        return out


class SelfAttention(nn.Module):
    """Multi-head self-attention and a linear map, each behind a norm and with a residual.

    Attention weights themselves are not dropped, as the reference drops them: that alone would take half of a training
    step on a CPU.
    """

    def __init__(self, hidden: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(hidden, eps=_EPS)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out_norm = nn.LayerNorm(hidden, eps=_EPS)
        self.out = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, is_real: Tensor) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        batch, length, hidden = x.shape
        qkv = self.qkv(self.norm(x))
        q, k, v = qkv.view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=is_real[:, None, None, :])
        x = x + self.dropout(seen.transpose(1, 2).reshape(batch, length, hidden))
        out: Tensor = x + self.dropout(self.out(self.out_norm(x)))
        return out


class FeatureEncoder(nn.Module):
    """Positions, convolutions, self-attention: what video and text pass through alike."""

    def __init__(self, hidden: int, num_heads: int, num_positions: int, *, kernel: int, depth: int, dropout: float):
        super().__init__()
        self.position_embedding = nn.Embedding(num_positions, hidden)
        nn.init.normal_(self.position_embedding.weight, std=0.1)
        self.convs = nn.ModuleList(SeparableConv(hidden, kernel, dropout) for _ in range(depth))
        self.attention = SelfAttention(hidden, num_heads, dropout)

    def forward(self, x: Tensor, is_real: Tensor) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        x = x + self.position_embedding.weight[: x.shape[1]]
        for conv in self.convs:
            x = conv(x, is_real)
        out: Tensor = self.attention(x, is_real)
        return out


class ContextQueryAttention(nn.Module):
    """What of the text each position meets, and what of the video those words meet."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.of_video = nn.Linear(hidden, 1, bias=False)
        self.of_text = nn.Linear(hidden, 1, bias=False)
        self.of_both = nn.Parameter(torch.full((hidden,), hidden**-0.5))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(4 * hidden, hidden)

    def forward(self, video: Tensor, text: Tensor, is_video: Tensor, is_text: Tensor) -> Tensor:
        """(B, L, H) and (B, Q, H) to (B, L, H)."""
        scores = self._scores(self.dropout(video), self.dropout(text))
        over_text = scores.masked_fill(~is_text[:, None, :], -torch.inf).softmax(dim=2)
        over_video = scores.masked_fill(~is_video[:, :, None], -torch.inf).softmax(dim=1)
        text_seen = over_text @ text
        video_seen = over_text @ (over_video.transpose(1, 2) @ video)
        joined = torch.cat([video, text_seen, video * text_seen, video * video_seen], dim=-1)
        out: Tensor = self.out(joined)
        return out

    def _scores(self, video: Tensor, text: Tensor) -> Tensor:
        """(B, L, Q) how well each position meets each token."""
        both = (video * self.of_both) @ text.transpose(1, 2)
        scores: Tensor = both + self.of_video(video) + self.of_text(text).transpose(1, 2)
        return scores


class SentenceJoin(nn.Module):
    """Puts a weighted mean of the tokens beside every position."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(hidden, 1, bias=False)
        self.out = nn.Linear(2 * hidden, hidden)

    def forward(self, video: Tensor, text: Tensor, is_text: Tensor) -> Tensor:
        """(B, L, H) and (B, Q, H) to (B, L, H)."""
        weights = self.weigh(text).masked_fill(~is_text[..., None], -torch.inf).softmax(dim=1)
        sentence = (weights * text).sum(dim=1, keepdim=True).expand_as(video)
        out: Tensor = self.out(torch.cat([video, sentence], dim=-1))
        return out


class ConditionedEnds(nn.Module):
    """Logits of where a span starts and ends; what is known of the start goes into the end."""

    def __init__(self, hidden: int, encoder: FeatureEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.norms = nn.ModuleList(nn.LayerNorm(hidden, eps=_EPS) for _ in range(2))
        self.judges = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)) for _ in range(2)
        )

    def forward(self, x: Tensor, is_real: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, H) to twice (B, L), minus infinity at padding."""
        start = self.encoder(x, is_real)
        end = self.encoder(start, is_real)
        first, second = (
            judge(torch.cat([norm(part), x], dim=-1)).squeeze(-1).masked_fill(~is_real, -torch.inf)
            for part, norm, judge in zip((start, end), self.norms, self.judges, strict=True)
        )
        return first, second
