"""The head for the ends of moments on disk: a folder inside that of the checkpoint whose entities it reads.

moment_ends/head.json           sizes, the clips it is for, the space of the checkpoint, what it was trained on
moment_ends/head.safetensors    weights, float32
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from henasy.checkpoint.encoder import Encoder
from henasy.checkpoint.folder import MOMENT_ENDS
from henasy.checkpoint.locate import locate_checkpoint
from henasy.checkpoint.weights import require_fit
from henasy.errors import CheckpointError, ConfigError
from henasy.heads.files import SETTINGS, WEIGHTS, StoredHead, has_head, read_head, save_head
from henasy.heads.moment_ends import EndsConfig, EndsHead
from henasy.video.plan import ClipPlan

KIND = "moment_ends-1"
"""The number is raised when features or layers change."""
SPACE = "space_id"
_REMEDY = "train it again with `henasy-train moments`, or remove the folder"


def read_ends_head(model: str | Path, encoder: Encoder, plan: ClipPlan) -> EndsHead | None:
    """The head in the folder of a checkpoint; None if there is none, or it is for other clips than these.

    Args:
        model: what the encoder was loaded from, see `locate_checkpoint`.
        encoder: of that checkpoint.
        plan: how the clips are cut whose moments are looked for.

    Raises:
        NotFoundError: no such checkpoint.
        CheckpointError: the head is damaged, of another version, or was trained on other weights than the folder's;
            it says what to do.
    """
    folder = locate_checkpoint(model) / MOMENT_ENDS
    try:
        return _read(folder, encoder, plan)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {_REMEDY}") from error


def _read(folder: Path, encoder: Encoder, plan: ClipPlan) -> EndsHead | None:
    if not has_head(folder):
        if (folder / WEIGHTS).exists():
            raise CheckpointError(f"{folder}: has {WEIGHTS} and no {SETTINGS}")
        return None
    stored = read_head(folder, KIND)
    config = _config(stored.config, folder)
    if (config.num_frames, config.clip_s, config.stride_s) != (plan.num_frames, plan.clip_s, plan.stride_s):
        return None
    if stored.facts.get(SPACE) != encoder.space_id:
        raise CheckpointError(
            f"{folder}: was trained in space {stored.facts.get(SPACE)}, the checkpoint makes space {encoder.space_id}"
        )
    if (config.num_entities, config.grid) != (encoder.num_entities, encoder.grid):
        raise CheckpointError(
            f"{folder}: is for {config.num_entities} entities over a grid of {config.grid}, the checkpoint has "
            f"{encoder.num_entities} over {encoder.grid}"
        )
    shapes = {name: torch.Size(shape) for name, shape in config.shapes().items()}
    require_fit(shapes, stored.weights, str(folder))
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:16]
    return EndsHead(config, {name: value.float().numpy() for name, value in stored.weights.items()}, digest)


def require_place(checkpoint: Path) -> None:
    """Passes when `save_ends_head` can write into the folder of a checkpoint.

    Raises:
        CheckpointError: something else lies there, or it may not be written.
    """
    folder = checkpoint / MOMENT_ENDS
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder; a head would be written there")
    others = sorted({path.name for path in folder.iterdir()} - {SETTINGS, WEIGHTS}) if folder.is_dir() else []
    if others:
        raise CheckpointError(f"{folder} holds something else ({', '.join(others[:5])}), not a head")
    for place in (checkpoint, *([folder] if folder.is_dir() else [])):
        if not os.access(place, os.W_OK | os.X_OK):
            raise CheckpointError(f"{place}: may not be written, and a head would be")


def save_ends_head(
    checkpoint: Path, config: EndsConfig, weights: Mapping[str, torch.Tensor], facts: Mapping[str, Any]
) -> Path:
    """Writes a head into the folder of its checkpoint, in place of an older one; the folder it lies in.

    Args:
        checkpoint: a checkpoint folder.
        config: sizes.
        weights: by name.
        facts: what it was trained on; `SPACE` among it.

    Raises:
        CheckpointError: something else lies there.
    """
    folder = checkpoint / MOMENT_ENDS
    save_head(folder, StoredHead(KIND, asdict(config), dict(facts), dict(weights)))
    return folder


def _config(values: dict[str, Any], folder: Path) -> EndsConfig:
    try:
        return EndsConfig(**{**values, "grid": tuple(values["grid"])})
    except (ConfigError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: not the sizes of a head: {error}") from error
