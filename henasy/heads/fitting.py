"""What the trainings of all heads share: sequences as one batch, and a run of the trainer that leaves nothing behind.

B sequences, L the longest, D their width.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from henasy.training.config import TrainConfig
from henasy.training.trainer import Trainer

_Head = TypeVar("_Head", bound=nn.Module)


class BatchSource(Protocol):
    """Batches, the same ones whenever a step is asked for again."""

    def batch(self, step: int, part: int, device: torch.device) -> Any:
        """Those of one micro-batch."""


def fit_head(
    head: _Head,
    settings: TrainConfig,
    *,
    objective: Callable[[Any], Mapping[str, Tensor]],
    source: BatchSource,
    device: torch.device,
    report: Callable[[str], None],
) -> _Head:
    """The head after training, in eval mode, without gradients.

    Raises:
        TrainingError: the loss is not finite.
    """
    with TemporaryDirectory() as folder:
        trainer = Trainer(
            settings, model=head, objective=objective, source=source, folder=Path(folder), device=device, report=report
        )
        trainer.run()
    return head.eval().requires_grad_(False)


def padded_sequences(sequences: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """(B, L, D) with zeros after the end of each, and (B, L) which are real."""
    longest = max(len(sequence) for sequence in sequences)
    values = np.zeros((len(sequences), longest, sequences[0].shape[1]), np.float32)
    is_real = np.zeros((len(sequences), longest), np.bool_)
    for row, sequence in enumerate(sequences):
        values[row, : len(sequence)] = sequence
        is_real[row, : len(sequence)] = True
    return torch.from_numpy(values), torch.from_numpy(is_real)
