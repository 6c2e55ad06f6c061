"""VSLNet: given features of a video and of a question, where the answer starts and where it ends.

An own implementation from the paper's description. Features come from an encoder that stays as it is, so nothing here
knows pixels or words.

B questions, L positions, Q text tokens, D width of the features, H hidden width.

Source: "Span-based Localizing Network for Natural Language Video Localization" (Zhang et al., ACL 2020); EgoNLQ's
baseline takes the variant whose ends are found by the shared kind of encoder instead of an LSTM.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from henasy.errors import ConfigError, InputError
from henasy.heads.vslnet_blocks import ConditionedEnds, ContextQueryAttention, FeatureEncoder, SentenceJoin


@dataclass(frozen=True, kw_only=True)
class VslNetConfig:
    """Sizes of the head; the defaults are those of EgoNLQ's baseline."""

    video_width: int
    """Width of the video features."""
    text_width: int
    """Width of the token features."""
    hidden: int = 128
    """H."""
    num_heads: int = 8
    """Attention heads; must divide `hidden`."""
    num_positions: int = 128
    """Positions of a video, at most: longer ones are averaged down to it."""
    num_tokens: int = 80
    """Tokens of a question, at most."""
    kernel: int = 7
    """Reach of the convolutions, odd."""
    depth: int = 4
    """Convolutions of an encoder."""
    dropout: float = 0.2
    """Share of values dropped in training."""

    def __post_init__(self) -> None:
        for name in ("video_width", "text_width", "hidden", "num_heads", "num_positions", "num_tokens", "depth"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be at least 1")
        if self.hidden % self.num_heads:
            raise ConfigError(f"hidden is {self.hidden!r}; it must be a multiple of num_heads={self.num_heads}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"kernel is {self.kernel!r}; it must be odd")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout!r}; it must be in [0, 1)")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored beside the weights."""
        return asdict(self)


class VslNetInput(NamedTuple):
    """A batch of questions, padded at the end."""

    video: Tensor
    """(B, L, D)"""
    is_video: Tensor
    """(B, L) which positions are no padding."""
    text: Tensor
    """(B, Q, text width)"""
    is_text: Tensor
    """(B, Q)"""


class VslNetOutput(NamedTuple):
    """What the head says of a batch; minus infinity, and 0 for highlights, at padding."""

    start: Tensor
    """(B, L) logits."""
    end: Tensor
    """(B, L) logits, given the start."""
    highlight: Tensor
    """(B, L) logits of whether a position belongs to the answer or lies close to it."""


class VslNet(nn.Module):
    """The network."""

    video_mean: Tensor
    video_scale: Tensor
    text_mean: Tensor
    text_scale: Tensor

    def __init__(self, config: VslNetConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        for kind, width in (("video", config.video_width), ("text", config.text_width)):
            self.register_buffer(f"{kind}_mean", torch.zeros(width))
            self.register_buffer(f"{kind}_scale", torch.ones(width))
        self.dropout = nn.Dropout(config.dropout)
        self.project_video = nn.Linear(config.video_width, hidden)
        self.project_text = nn.Linear(config.text_width, hidden)
        if config.video_width == config.text_width:
            # Features of one joint space start out as neighbours where they are neighbours in it.
            self.project_text.load_state_dict(self.project_video.state_dict())
        self.encoder = _encoder(config, max(config.num_positions, config.num_tokens))
        self.attend = ContextQueryAttention(hidden, config.dropout)
        self.join = SentenceJoin(hidden)
        self.highlight = nn.Linear(hidden, 1)
        self.ends = ConditionedEnds(hidden, _encoder(config, config.num_positions))

    @torch.no_grad()
    def set_statistics(self, video: tuple[Tensor, Tensor], text: tuple[Tensor, Tensor]) -> None:
        """Fixes the mean and the spread (D,) that are taken from features before anything else; spreads above 0."""
        for kind, (mean, scale) in (("video", video), ("text", text)):
            getattr(self, f"{kind}_mean").copy_(mean)
            getattr(self, f"{kind}_scale").copy_(scale)

    def forward(self, batch: VslNetInput) -> VslNetOutput:
        """Where each question's answer starts and ends.

        Raises:
            InputError: there are more positions or tokens than the head was built for.
        """
        self._check(batch)
        video = self.project_video(self.dropout((batch.video - self.video_mean) / self.video_scale))
        text = self.project_text(self.dropout((batch.text - self.text_mean) / self.text_scale))
        video = self.encoder(video, batch.is_video)
        text = self.encoder(text, batch.is_text)
        met = self.join(self.attend(video, text, batch.is_video, batch.is_text), text, batch.is_text)
        highlight = self.highlight(met).squeeze(-1)
        start, end = self.ends(met * highlight.sigmoid()[..., None], batch.is_video)
        return VslNetOutput(start, end, highlight.masked_fill(~batch.is_video, 0.0))

    def _check(self, batch: VslNetInput) -> None:
        limits = (("positions", batch.video, self.config.num_positions), ("tokens", batch.text, self.config.num_tokens))
        for name, sequence, limit in limits:
            if sequence.shape[1] > limit:
                raise InputError(name, f"there are {sequence.shape[1]}, the head takes {limit}")


def _encoder(config: VslNetConfig, num_positions: int) -> FeatureEncoder:
    return FeatureEncoder(
        config.hidden,
        config.num_heads,
        num_positions,
        kernel=config.kernel,
        depth=config.depth,
        dropout=config.dropout,
    )
