"""Training a proposal head on the features of annotated windows, repeatable to the bit on one machine.

B windows of a batch, L features, D their width. Time counts in features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from henasy.errors import InputError
from henasy.heads.fitting import fit_head, padded_sequences
from henasy.heads.proposal_loss import TrueSpans, proposal_loss
from henasy.heads.proposals import ProposalConfig, ProposalHead
from henasy.training.config import TrainConfig

_LEAST_KEPT = 0.5
"""Share of a span that must lie in a crop; what is left of a shorter rest teaches nothing about its ends."""


class LabelledFeatures(NamedTuple):
    """One annotated window."""

    features: NDArray[np.float32]
    """(L, D)"""
    spans: NDArray[np.float64]
    """(N, 2) start and end in features, start below end."""
    labels: NDArray[np.int64]
    """(N,)"""


@dataclass(frozen=True, kw_only=True)
class ProposalTraining:
    """How a proposal head is trained. The defaults are meant for Ego4D's training split and were not measured on it."""

    crop: int = 1024
    """Features of a training window, at most."""
    hidden: int = 256
    num_levels: int = 8
    dropout: float = 0.1
    noise: float = 0.5
    """See `ProposalConfig`."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=3_000,
            batch_size=16,
            learning_rate=1e-3,
            min_learning_rate_ratio=0.02,
            num_warmup_steps=200,
            weight_decay=0.05,
            beta2=0.99,
            log_every=100,
            evaluate_every=0,
            checkpoint_every=1_000,
        )
    )


class ProposalBatch(NamedTuple):
    """Crops of windows, padded to one length."""

    features: Tensor
    """(B, L, D)"""
    is_real: Tensor
    """(B, L)"""
    truth: list[TrueSpans]


class CropSource:
    """Random crops of random windows, the same ones whenever a step is asked for again."""

    def __init__(self, windows: Sequence[LabelledFeatures], *, crop: int, batch_size: int, seed: int) -> None:
        self.windows, self.crop, self.batch_size, self.seed = windows, crop, batch_size, seed
        lengths = np.array([len(window.features) for window in windows], np.float64)
        # by length, so that every second of footage is seen equally often
        self.shares = lengths / lengths.sum()

    def batch(self, step: int, part: int, device: torch.device) -> ProposalBatch:
        """The crops of one micro-batch."""
        rng = np.random.default_rng((self.seed, step, part))
        rows = rng.choice(len(self.windows), self.batch_size, p=self.shares)
        crops = [self._crop(self.windows[row], rng) for row in rows]
        features, is_real = padded_sequences([crop.features for crop in crops])
        truth = [
            TrueSpans(torch.from_numpy(crop.spans).float().to(device), torch.from_numpy(crop.labels).to(device))
            for crop in crops
        ]
        return ProposalBatch(features.to(device), is_real.to(device), truth)

    def _crop(self, window: LabelledFeatures, rng: np.random.Generator) -> LabelledFeatures:
        first = int(rng.integers(0, max(len(window.features) - self.crop, 0) + 1))
        last = min(first + self.crop, len(window.features))
        inside = np.clip(window.spans, first, last) - first
        full = window.spans[:, 1] - window.spans[:, 0]
        is_kept = (inside[:, 1] - inside[:, 0]) >= _LEAST_KEPT * full
        return LabelledFeatures(window.features[first:last], inside[is_kept], window.labels[is_kept])


class ProposalObjective:
    """The loss of a batch."""

    def __init__(self, head: ProposalHead) -> None:
        self.head = head

    def __call__(self, batch: ProposalBatch) -> Mapping[str, Tensor]:
        """Scalars: `loss` and its parts."""
        loss = proposal_loss(self.head(batch.features, batch.is_real), batch.truth)
        return {"loss": loss.total, "overlap": loss.overlap, "ends": loss.ends, "mean_iou": loss.mean_iou}


def train_proposals(
    windows: Sequence[LabelledFeatures],
    num_classes: int,
    settings: ProposalTraining,
    *,
    device: torch.device,
    report: Callable[[str], None],
) -> ProposalHead:
    """A head trained on these windows, in eval mode.

    Raises:
        InputError: there is not one span to learn from.
        TrainingError: the loss is not finite.
    """
    if not any(len(window.labels) for window in windows):
        raise InputError("annotations", "not one moment to learn from has features")
    torch.manual_seed(settings.train.seed)
    width = windows[0].features.shape[1]
    config = ProposalConfig(
        width=width,
        num_classes=num_classes,
        hidden=settings.hidden,
        num_levels=settings.num_levels,
        dropout=settings.dropout,
        noise=settings.noise,
    )
    head = ProposalHead(config).to(device)
    head.set_feature_statistics(*_statistics(windows, device))
    source = CropSource(
        windows,
        crop=settings.crop,
        batch_size=settings.train.batch_size // settings.train.num_micro_batches,
        seed=settings.train.seed,
    )
    return fit_head(
        head, settings.train, objective=ProposalObjective(head), source=source, device=device, report=report
    )


def _statistics(windows: Sequence[LabelledFeatures], device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean (D,) and spread (D,) of all features; a spread near 0 counts as 1."""
    count = sum(len(window.features) for window in windows)
    mean = sum((window.features.sum(axis=0, dtype=np.float64) for window in windows), np.float64(0)) / count
    squares = sum((np.square(window.features - mean).sum(axis=0) for window in windows), np.float64(0)) / count
    spread = np.sqrt(squares)
    spread = np.where(spread > 1e-6, spread, 1.0)
    return (
        torch.as_tensor(mean, dtype=torch.float32, device=device),
        torch.as_tensor(spread, dtype=torch.float32, device=device),
    )
