"""Spans of known classes from a row of features: a pyramid of temporal convolutions, one guess at every position.

Each level sees half as many, twice as wide positions as the one below. At a position the head says how far the span
around it reaches to either side, and for each class how much that span is expected to overlap a true one (0 where it
shows none), so that a sure guess with loose ends ranks below one with tight ends.

B windows, L features of a window, D their width, H hidden width, C classes, P positions of all levels together.
Time counts in features: feature i covers [i, i + 1).
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from henasy.errors import ConfigError

_PRIOR = 0.01
"""Expected overlap everywhere before training: nearly all positions show nothing."""


@dataclass(frozen=True, kw_only=True)
class ProposalConfig:
    """Sizes of a proposal head."""

    width: int
    """D, that of the features."""
    num_classes: int
    hidden: int = 128
    """H."""
    num_levels: int = 7
    """Levels of the pyramid; the widest position covers 2 ** (num_levels - 1) features."""
    kernel: int = 5
    """Reach of the depthwise convolution of a block, odd."""
    dropout: float = 0.1
    """Share of values dropped in training, of the features too."""
    noise: float = 0.5
    """Spread of what is added to features in training, in their own spreads; few moments are easily learnt by heart."""

    def __post_init__(self) -> None:
        for name in ("width", "num_classes", "hidden", "num_levels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be at least 1")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"kernel is {self.kernel!r}; it must be odd")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout!r}; it must be in [0, 1)")
        if not 0 <= self.noise < 100:
            raise ConfigError(f"noise is {self.noise!r}; it must be in [0, 100)")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored beside the weights."""
        return asdict(self)


class Positions(NamedTuple):
    """Where the guesses are made; the same for all windows of one length."""

    centre: Tensor
    """(P,) in features."""
    stride: Tensor
    """(P,) how many features a position covers."""
    level: Tensor
    """(P,) int64."""


class ProposalOutput(NamedTuple):
    """What the head says of a batch."""

    logits: Tensor
    """(B, P, C) whose sigmoid is the expected overlap."""
    spans: Tensor
    """(B, P, 2) start and end in features; may reach past the window."""
    is_real: Tensor
    """(B, P) whether a position covers any feature that is not padding."""
    positions: Positions


class ProposalHead(nn.Module):
    """The network; it takes windows of any length."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: ProposalConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.register_buffer("mean", torch.zeros(config.width))
        self.register_buffer("scale", torch.ones(config.width))
        self.project = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(config.width, hidden), nn.LayerNorm(hidden), nn.GELU()
        )
        self.stem = nn.ModuleList(ConvBlock(config, stride=1) for _ in range(2))
        self.pyramid = nn.ModuleList(ConvBlock(config, stride=2) for _ in range(config.num_levels - 1))
        self.classify = _tower(hidden, config.num_classes)
        self.reach = _tower(hidden, 2)
        self.level_scale = nn.Parameter(torch.zeros(config.num_levels))
        with torch.no_grad():
            last = self.classify[-1]
            assert isinstance(last, nn.Conv1d)
            assert last.bias is not None
            last.bias.fill_(torch.logit(torch.tensor(_PRIOR)).item())

    def set_feature_statistics(self, mean: Tensor, scale: Tensor) -> None:
        """Fixes what is taken from the features before anything else: their mean (D,) and spread (D,), above 0."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, features: Tensor, is_real: Tensor) -> ProposalOutput:
        """Guesses at every position.

        Args:
            features: (B, L, D), padded at the end.
            is_real: (B, L) which are no padding.
        """
        features, is_real = self._padded(features, is_real)
        hidden = self.project(self._standardised(features)).transpose(1, 2) * is_real[:, None]
        for block in self.stem:
            hidden = block(hidden, is_real)
        logits, spans, real, parts = [], [], [], []
        for level in range(self.config.num_levels):
            if level:
                is_real = F.max_pool1d(is_real.float()[:, None], 2)[:, 0].bool()
                hidden = self.pyramid[level - 1](hidden, is_real)
            parts.append(_positions(hidden.shape[-1], level, features.device))
            logits.append(self.classify(hidden).transpose(1, 2))
            spans.append(self._spans(hidden, parts[-1]))
            real.append(is_real)
        positions = Positions(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
        return ProposalOutput(torch.cat(logits, 1), torch.cat(spans, 1), torch.cat(real, 1), positions)

    def _standardised(self, features: Tensor) -> Tensor:
        standard = (features - self.mean) / self.scale
        return standard + self.config.noise * torch.randn_like(standard) if self.training else standard

    def _spans(self, hidden: Tensor, at: Positions) -> Tensor:
        """(B, n, 2) of one level."""
        level = int(at.level[0])
        reach = F.softplus(self.reach(hidden).transpose(1, 2)) * self.level_scale[level].exp() * at.stride[:, None]
        return torch.stack([at.centre - reach[..., 0], at.centre + reach[..., 1]], dim=-1)

    def _padded(self, features: Tensor, is_real: Tensor) -> tuple[Tensor, Tensor]:
        """The same, filled up to a length that every level halves without a rest."""
        missing = -features.shape[1] % 2 ** (self.config.num_levels - 1)
        return F.pad(features, (0, 0, 0, missing)), F.pad(is_real, (0, missing))


class ConvBlock(nn.Module):
    """Mixes neighbours, then channels; with stride 2 it halves the positions."""

    def __init__(self, config: ProposalConfig, *, stride: int) -> None:
        super().__init__()
        hidden = config.hidden
        self.stride = stride
        self.mix = nn.Conv1d(hidden, hidden, config.kernel, stride, config.kernel // 2, groups=hidden)
        self.norm = nn.LayerNorm(hidden)
        self.mlp = nn.Sequential(
            nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(2 * hidden, hidden)
        )

    def forward(self, hidden: Tensor, is_real: Tensor) -> Tensor:
        """(B, H, n) to (B, H, n / stride), zero where padding is; `is_real` (B, n / stride)."""
        mixed = self.mlp(self.norm(self.mix(hidden).transpose(1, 2))).transpose(1, 2)
        kept = hidden if self.stride == 1 else F.avg_pool1d(hidden, self.stride)
        result: Tensor = (kept + mixed) * is_real[:, None]
        return result


class _ChannelNorm(nn.Module):
    """LayerNorm over the channels of (B, H, n)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)

    def forward(self, hidden: Tensor) -> Tensor:
        """The same shape."""
        result: Tensor = self.norm(hidden.transpose(1, 2)).transpose(1, 2)
        return result


def _tower(hidden: int, outputs: int) -> nn.Sequential:
    """Two convolutions that all levels share, and a third to the outputs."""
    blocks = [
        layer for _ in range(2) for layer in (nn.Conv1d(hidden, hidden, 3, 1, 1), _ChannelNorm(hidden), nn.GELU())
    ]
    return nn.Sequential(*blocks, nn.Conv1d(hidden, outputs, 3, 1, 1))


def _positions(count: int, level: int, device: torch.device) -> Positions:
    stride = float(2**level)
    centre = (torch.arange(count, device=device) + 0.5) * stride
    return Positions(centre, torch.full_like(centre, stride), torch.full((count,), level, device=device))
