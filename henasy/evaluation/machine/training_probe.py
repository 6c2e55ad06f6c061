"""Training on made-up data: whether a machine can train at all, and what a step takes."""

from collections.abc import Callable
from pathlib import Path

import torch

from henasy.losses.total import LossWeights
from henasy.model.config import DualConfig
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.training.config import TrainConfig
from henasy.training.data import TrainBatch
from henasy.training.objectives import DualObjective, HenasyObjective, Words
from henasy.training.trainer import Trainer

_NUM_WORDS = 6
_MAX_BOXES = 4


class RandomBatches:
    """Frames of noise with random tokens, words and boxes; equal steps give equal batches."""

    def __init__(self, config: DualConfig, batch_size: int) -> None:
        """Batches of `batch_size` anchors and as many hard negatives, in the sizes of a dual encoder."""
        self._config, self._rows = config, 2 * batch_size

    def batch(self, step: int, part: int, device: torch.device) -> TrainBatch:
        """See `henasy.training.trainer.BatchSource`."""
        draw = torch.Generator().manual_seed(1000 * step + part)
        vision, rows = self._config.vision, self._rows
        frames = torch.randn(rows, vision.num_frames, 3, vision.image_px, vision.image_px, generator=draw)
        words = torch.randint(_NUM_WORDS, (rows,), generator=draw)
        corners = torch.rand(rows, vision.num_frames, _MAX_BOXES, 2, generator=draw) / 2
        batch = TrainBatch(
            frames=frames,
            tokens=random_tokens(rows, self._config.text.vocab_size, draw),
            nouns=torch.eye(_NUM_WORDS)[words],
            verbs=torch.eye(_NUM_WORDS)[words],
            noun_rows=words[:, None],
            verb_rows=words,
            phrase_tokens=random_tokens(rows, self._config.text.vocab_size, draw),
            phrase_ids=words,
            boxes=torch.cat([corners, corners + 0.4], dim=-1),
            box_nouns=torch.randint(_NUM_WORDS, (rows, vision.num_frames, _MAX_BOXES), generator=draw),
            rows=torch.arange(rows),
        )
        return TrainBatch(*(tensor.to(device) for tensor in batch))


def one_training_step(model: Henasy, device: torch.device, folder: Path, *, precision: str, batch_size: int) -> float:
    """The loss of one step of the paper's training, done in `folder`; forward, losses, backward and update all ran.

    Raises:
        TrainingError: the loss or the gradient is not finite.
    """
    model = model.to(device)
    objective = probe_objective(model, device)
    seen: list[float] = []

    def objective_with_record(batch: TrainBatch) -> dict[str, torch.Tensor]:
        values = objective(batch)
        seen.append(float(values["loss"].detach()))
        return values

    config = TrainConfig(
        num_steps=1, batch_size=batch_size, learning_rate=1e-4, num_warmup_steps=0, precision=precision
    )
    source = RandomBatches(model.config.dual, batch_size)
    Trainer[TrainBatch](
        config,
        model=model,
        objective=objective_with_record,
        source=source,
        folder=folder,
        device=device,
        report=lambda line: None,
    ).run()
    return seen[0]


def probe_objective(
    model: Henasy | DualEncoder, device: torch.device
) -> Callable[[TrainBatch], dict[str, torch.Tensor]]:
    """What the model's own stage of training minimises, over a dictionary of random words."""
    config = model.config.dual if isinstance(model, Henasy) else model.config
    draw = torch.Generator().manual_seed(7)
    words = Words(
        tokens=random_tokens(_NUM_WORDS, config.text.vocab_size, draw).to(device),
        is_narrated=torch.ones(_NUM_WORDS, dtype=torch.bool, device=device),
    )
    if isinstance(model, Henasy):
        return HenasyObjective(
            model,
            nouns=words,
            temperature=config.temperature,
            weights=LossWeights(),
            box_weight=2.0,
            synonym_cosine=None,
        )
    return DualObjective(
        model,
        nouns=words,
        verbs=words,
        temperature=config.temperature,
        word_weight=0.0,
        region_weight=0.0,
        keep_patches=1.0,
    )


def random_tokens(rows: int, vocab_size: int, draw: torch.Generator) -> torch.Tensor:
    """(rows, 10) token ids that end, as texts do, in the last row of the vocabulary."""
    tokens = torch.randint(1, vocab_size - 2, (rows, 10), generator=draw)
    tokens[:, -1] = vocab_size - 1
    return tokens
