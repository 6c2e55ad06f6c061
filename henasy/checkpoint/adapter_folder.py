"""Adapters on disk, apart from the model they were trained around.

adapters.json            format, settings, the space of the checkpoint they belong to
adapters.safetensors     every factor, float32

They are small (EgoNCE++ of the paper's size: some MB beside 700), but mean something only around the very weights
that they were trained on, so another checkpoint is refused.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from henasy.checkpoint.folder import Checkpoint
from henasy.checkpoint.space import space_id
from henasy.errors import CheckpointError, ConfigError, NotFoundError
from henasy.model.adapters import AdapterConfig, Adapters

ABOUT = "adapters.json"
FACTORS = "adapters.safetensors"
FORMAT = 1


def save_adapters(folder: Path, adapters: Adapters, base_space_id: str) -> None:
    """Writes adapters under a temporary name and renames them; adapters that are there already are replaced.

    Args:
        folder: where; new, empty, or adapters.
        adapters: what.
        base_space_id: of the checkpoint that they were put around, before anything was merged.

    Raises:
        CheckpointError: the folder holds something else.
    """
    if folder.exists():
        others = sorted({path.name for path in folder.iterdir()} - {ABOUT, FACTORS})
        if others:
            raise CheckpointError(f"{folder} holds files of something else ({', '.join(others[:5])})")
    about = {"format": FORMAT, "base_space_id": base_space_id, "config": adapters.config.to_dict()}
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        factors = {name: value.float().cpu().contiguous() for name, value in adapters.tensors().items()}
        save_file(factors, fresh / FACTORS, metadata={"format": "pt"})
        (fresh / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        for path in (*fresh.iterdir(), fresh):
            _sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(fresh, folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def apply_adapters(folder: Path, checkpoint: Checkpoint) -> Adapters:
    """The adapters of a folder around the model of the checkpoint that they were trained on.

    The model is adapted in place; `merge` of what is returned makes a plain one of it.

    Raises:
        NotFoundError: there are no adapters.
        CheckpointError: they are damaged, or of another checkpoint.
        ConfigError: peft is not installed.
    """
    about = _about(folder / ABOUT)
    given = space_id(checkpoint)
    if about["base_space_id"] != given:
        raise CheckpointError(f"{folder}: adapters for the checkpoint of space {about['base_space_id']}, not {given}")
    try:
        config = AdapterConfig.from_dict(about["config"])
        factors = load_file(folder / FACTORS)
    except FileNotFoundError:
        raise NotFoundError(f"{folder} has no {FACTORS}") from None
    except (ConfigError, SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder}: the adapters cannot be read: {error}") from error
    adapters = Adapters(checkpoint.model, config)
    try:
        adapters.fill(factors)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    return adapters


def _about(path: Path) -> dict[str, Any]:
    try:
        about: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"{path.parent} has no {path.name}; it holds no adapters") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    is_known = isinstance(about, dict) and about.get("format") == FORMAT
    if not is_known or not {"base_space_id", "config"} <= about.keys() or not isinstance(about["config"], dict):
        raise CheckpointError(f"{path}: not adapters of format {FORMAT}")
    return dict(about)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
