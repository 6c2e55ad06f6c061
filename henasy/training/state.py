"""What a training run stores so that it goes on exactly where it stopped."""

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from henasy.errors import CheckpointError, ConfigError
from henasy.training.config import TrainConfig

_PREFIX = "step-"


class SavedState(NamedTuple):
    """A training checkpoint as read back."""

    step: int
    """Optimiser steps done."""
    config: TrainConfig
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    num_processes: int
    """Processes that shared the batches."""


def save_state(
    folder: Path,
    *,
    step: int,
    config: TrainConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    num_processes: int = 1,
    num_kept: int = 2,
) -> Path:
    """Writes `folder/step-N` under a temporary name, syncs and renames it, then prunes old ones.

    Raises:
        CheckpointError: it cannot be written, e.g. to a full disk; earlier ones are whole.
    """
    final = folder / f"{_PREFIX}{step:08d}"
    temporary = folder / f".writing-{step:08d}"
    shutil.rmtree(temporary, ignore_errors=True)
    tensors = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
    }
    about = {"step": step, "num_processes": num_processes, "config": config.to_dict()}
    try:
        temporary.mkdir(parents=True)
        for name, content in tensors.items():
            torch.save(content, temporary / f"{name}.pt")
        (temporary / "train.json").write_text(json.dumps(about, indent=2))
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    except (OSError, RuntimeError) as error:  # torch.save says a full disk with the latter
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(f"{final}: cannot be written ({error}); the checkpoints before it are whole") from error
    # Old checkpoints may go only once the new one's name is sure to survive a power cut.
    _sync(folder)
    for old in _states(folder)[:-num_kept]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def require_same_settings(folder: Path, config: TrainConfig) -> None:
    """Refuses to go on in the folder of a run with other settings; one without a checkpoint is any run's.

    Raises:
        ConfigError: a setting that the weights depend on is another one; names all of them.
        CheckpointError: the newest checkpoint does not say its settings.
    """
    states = _states(folder)
    if states and (changed := config.changes(TrainConfig.from_dict(_about(states[-1])["config"]))):
        raise ConfigError(f"{folder} holds a run with other settings (stored, asked): {changed}")


def load_latest_state(folder: Path, *, device: torch.device) -> SavedState | None:
    """The newest complete checkpoint of a run, or None when there is none.

    Raises:
        CheckpointError: the newest checkpoint cannot be read.
    """
    states = _states(folder)
    if not states:
        return None
    newest = states[-1]
    about = _about(newest)
    try:
        parts = {
            name: torch.load(newest / f"{name}.pt", map_location=device, weights_only=True)
            for name in ("model", "optimizer", "scaler")
        }
        return SavedState(
            step=int(about["step"]),
            config=TrainConfig.from_dict(about["config"]),
            num_processes=int(about.get("num_processes", 1)),
            **parts,
        )
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{newest}: training checkpoint cannot be read ({error})") from error


def _about(state: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((state / "train.json").read_text())
        if not {"step", "config"} <= about.keys():
            raise ValueError(f"train.json holds {sorted(about)}, needed are step and config")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{state}: training checkpoint cannot be read ({error})") from error
    return about


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _states(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())
