"""Continued training of a checkpoint with EgoNCE++: adapters around its towers, merged at the end.

RUN/run.json            settings, the space of the checkpoint that was given, digests of the data; another run does not
                        go on here
RUN/log.jsonl, step-*   as every training
RUN/checkpoints/step-*  merged, each loads wherever a checkpoint is asked for
RUN/adapters            the adapters alone
RUN/checkpoint          the checkpoint with the adapters merged into its weights
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from henasy.checkpoint.adapter_folder import save_adapters
from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.space import space_id
from henasy.errors import ConfigError
from henasy.losses.egoncepp import TEMPERATURE
from henasy.model.adapters import AdapterConfig, Adapters
from henasy.scenes.files import write_text
from henasy.training.blocks import recompute_blocks
from henasy.training.checkpoints import FOLDER, Checkpoints, FolderScores
from henasy.training.config import FREE, TrainConfig
from henasy.training.continued_sources import Clips
from henasy.training.distributed import ALONE, Peers
from henasy.training.egoncepp import EgoNcePlusPlusObjective, SwapBatch, SwapBatches, SwapConfig
from henasy.training.trainer import Trainer

ADAPTERS, CHECKPOINT, RUN_FILE = "adapters", "checkpoint", "run.json"
_RULES = 2
"""Raised when the same settings train other weights; runs of before are refused."""


@dataclass(frozen=True, kw_only=True)
class ContinuedRecipe:
    """Settings of continued training; stored in its folder, and a resumed run must have the same."""

    train: TrainConfig
    """Steps, batch and learning rate."""
    adapters: AdapterConfig = field(default_factory=AdapterConfig)
    """What is trained."""
    swaps: SwapConfig = field(default_factory=SwapConfig)
    """What clips are told apart from."""
    temperature: float = TEMPERATURE
    """Of the contrast."""
    spares_same_action: bool = False
    """Whether other clips' captions of the same verb and noun are no negatives of a clip; in EgoNCE++ they are. A verb
    that is true as well (a shake is a lift too) still is one."""

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise ConfigError(f"temperature is {self.temperature}; allowed: a number above 0")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored in the run's folder."""
        return asdict(self)


def continue_training(
    folder: Path,
    run: Path,
    recipe: ContinuedRecipe,
    clips: Clips,
    *,
    device: torch.device,
    peers: Peers = ALONE,
    evaluate: FolderScores | None = None,
    report: Callable[[str], None] = print,
) -> Path:
    """Trains adapters around a checkpoint, going on where an earlier call stopped; the folder of the merged checkpoint.

    Args:
        folder: the checkpoint.
        run: where everything is written.
        recipe: settings.
        clips: what it is trained on; a run goes on with the same alone.
        device: where it computes.
        peers: the processes that share each batch.
        evaluate: scores a merged checkpoint folder, each time an evaluation is due.
        report: is given a line now and then by the main process.

    Raises:
        ConfigError: the checkpoint cannot read text, peft is missing, or the run was begun with other settings or data.
        TrainingError: a loss or a gradient is not finite; nothing of that step was applied.
    """
    base = read_checkpoint(folder)
    if base.tokenizer is None:
        raise ConfigError(f"{folder} has no tokenizer, so it cannot read captions")
    base_space = space_id(base)
    peers.on_main(lambda: claim_run(run, recipe, base_space, clips.digests))
    adapters = Adapters(base.model.to(device), recipe.adapters, seed=recipe.train.seed)
    if recipe.train.is_recomputing:
        recompute_blocks(adapters.model)
    batches = SwapBatches(
        clips.source, clips.captions, clips.swaps, base.tokenizer, recipe.swaps, seed=recipe.train.seed
    )

    def write(path: Path) -> None:
        save_checkpoint(path, merged_checkpoint(folder, adapters, recipe, clips.trained_on))

    Trainer[SwapBatch](
        replace(recipe.train, is_recomputing=False),  # the module that is trained has factors and no blocks
        model=adapters,
        objective=EgoNcePlusPlusObjective(
            adapters.model, temperature=recipe.temperature, spares_same_action=recipe.spares_same_action, peers=peers
        ),
        source=batches,
        folder=run,
        device=device,
        checkpoints=Checkpoints(run / FOLDER, write, evaluate=evaluate),
        peers=peers,
        report=report,
    ).run()
    peers.on_main(lambda: save_adapters(run / ADAPTERS, adapters, base_space))
    peers.on_main(lambda: write(run / CHECKPOINT))
    return run / CHECKPOINT


def merged_checkpoint(folder: Path, adapters: Adapters, recipe: ContinuedRecipe, trained_on: str) -> Checkpoint:
    """The checkpoint of a folder with adapters merged into it; they may go on being trained.

    Args:
        folder: the checkpoint that the adapters were put around.
        adapters: as they are now.
        recipe: what they were trained with, for the training note.
        trained_on: on what, for the training note.
    """
    base = read_checkpoint(folder)
    details = {**base.training.details, "egoncepp": {"base space": space_id(base), **recipe.to_dict()}}
    note = replace(
        base.training,
        summary=f"{base.training.summary.rstrip('.')}. Then trained with EgoNCE++ on {trained_on}.",
        details=details,
    )
    fresh = Adapters(base.model, adapters.config)
    fresh.fill({name: value.cpu() for name, value in adapters.tensors().items()})
    return replace(base, model=fresh.merge(), training=note)


def claim_run(run: Path, recipe: ContinuedRecipe, base_space: str, digests: Mapping[str, str | None]) -> None:
    """Writes what a run is, or passes when it is just that already.

    Raises:
        ConfigError: it was begun with other settings, another checkpoint or other data.
    """
    about: dict[str, Any] = {"rules": _RULES, "base_space_id": base_space, "data": dict(digests)}
    about |= _fixed(recipe.to_dict())
    path = run / RUN_FILE
    if path.exists():
        stored = _fixed(json.loads(path.read_text(encoding="utf-8")))
        changed = {name: (stored.get(name), about[name]) for name in about if stored.get(name) != about[name]}
        if changed:
            raise ConfigError(f"{run} holds a run with other settings (stored, asked): {changed}")
        return
    run.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(about, indent=2))


def _fixed(about: dict[str, Any]) -> dict[str, Any]:
    """What a run cannot change on the way; settings that came after it was begun have their defaults in it."""
    whole = TrainConfig.from_dict(about["train"]).to_dict()
    return {**about, "train": {name: value for name, value in whole.items() if name not in FREE}}
