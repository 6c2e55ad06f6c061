"""Several models trained at once on one frozen dual encoder and one sequence of batches.

A step's batch and what the frozen encoder sees of it are made once for all of them. Nothing else is shared: a model
ends with the weights, to the bit, that it has when it is trained alone with the same settings.
"""

import threading
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from henasy.model.henasy import Henasy, HenasyOutput, Sight
from henasy.training.data import TrainBatch
from henasy.training.objectives import HenasyObjective
from henasy.training.trainer import BatchSource, Trainer


class SharedBatches:
    """A source that gives all who ask for a step the same batch object, as long as they stay close to each other."""

    def __init__(self, source: BatchSource[TrainBatch], *, num_kept: int = 4) -> None:
        """Keeps the batches of the last `num_kept` steps."""
        self._source, self._num_kept = source, num_kept
        self._kept: dict[tuple[int, int], TrainBatch] = {}
        self._lock = threading.Lock()

    def batch(self, step: int, part: int, device: torch.device) -> TrainBatch:
        """See `henasy.training.trainer.BatchSource`."""
        with self._lock:
            batch = self._kept.get((step, part))
            if batch is None:
                batch = self._kept[step, part] = self._source.batch(step, part, device)
                newest = max(kept for kept, _ in self._kept)
                self._kept = {key: kept for key, kept in self._kept.items() if key[0] > newest - self._num_kept}
            return batch


class SharedSight:
    """What the frozen encoder sees of the latest frames, computed by the model that asks first."""

    def __init__(self) -> None:
        self._frames: Tensor | None = None
        self._sight: Sight | None = None

    def see(self, model: Henasy, frames: Tensor) -> Sight:
        """What `model.see` gives; all models that ask must stand on one dual encoder and look at one level."""
        if self._sight is None or self._frames is not frames:
            self._sight, self._frames = model.see(frames), frames
        return self._sight


class SharedSightObjective:
    """The objective of a model that looks together with others."""

    def __init__(self, objective: HenasyObjective, sight: SharedSight) -> None:
        self._objective, self._sight = objective, sight

    def __call__(self, batch: TrainBatch) -> dict[str, Tensor]:
        """What the objective gives."""
        model = self._objective.model
        output = model.compose(self._sight.see(model, batch.frames))
        exact = HenasyOutput(*(part.float() if part.is_floating_point() else part for part in output))
        return self._objective.losses(exact, [batch])


def train_together(trainers: Sequence[Trainer[TrainBatch]]) -> Iterator[int]:
    """Runs all trainers to their end, always the one that is furthest behind; the steps that all have done, after each.

    Runs that were interrupted at different steps are evened out first, so that all look at the same batch again.
    """
    turns = [trainer.steps() for trainer in trainers]
    done = [0] * len(turns)
    ends = [trainer.config.num_steps for trainer in trainers]
    while any(own < end for own, end in zip(done, ends, strict=True)):
        behind = min(range(len(turns)), key=lambda place: done[place])
        done[behind] = next(turns[behind], ends[behind])
        yield min(done)
    for turn in turns:
        # what follows the last step: closing the log
        next(turn, None)
