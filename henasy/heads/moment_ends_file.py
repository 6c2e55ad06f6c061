"""The head for the ends of moments on disk: a folder inside that of the checkpoint whose entities it reads.

moment_ends/head.json           sizes, the clips it is for, the space of the checkpoint, what it was trained on
moment_ends/head.safetensors    weights, float32
"""

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
from henasy.heads.files import StoredHead, has_head, read_head, save_head
from henasy.heads.moment_ends import EndsConfig, EndsHead
from henasy.video.plan import ClipPlan

KIND = "moment_ends-1"
"""The number is raised when features or layers change."""
SPACE = "space_id"


def read_ends_head(model: str | Path, encoder: Encoder, plan: ClipPlan) -> EndsHead | None:
    """The head in the folder of a checkpoint; None if there is none, or it is for other clips than these.

    Args:
        model: what the encoder was loaded from, see `locate_checkpoint`.
        encoder: of that checkpoint.
        plan: how the clips are cut whose moments are looked for.

    Raises:
        NotFoundError: no such checkpoint.
        CheckpointError: the head is damaged, of another version, or was trained on other weights than the folder's.
    """
    folder = locate_checkpoint(model) / MOMENT_ENDS
    if not has_head(folder):
        return None
    stored = read_head(folder, KIND)
    config = _config(stored.config, folder)
    if (config.num_frames, config.clip_s, config.stride_s) != (plan.num_frames, plan.clip_s, plan.stride_s):
        return None
    if stored.facts.get(SPACE) != encoder.space_id:
        raise CheckpointError(
            f"{folder}: was trained in space {stored.facts.get(SPACE)}, the checkpoint makes space {encoder.space_id}; "
            "train it again with `henasy-train moments`, or remove the folder"
        )
    if (config.num_entities, config.grid) != (encoder.num_entities, encoder.grid):
        raise CheckpointError(
            f"{folder}: is for {config.num_entities} entities over a grid of {config.grid}, the checkpoint has "
            f"{encoder.num_entities} over {encoder.grid}"
        )
    shapes = {name: torch.Size(shape) for name, shape in config.shapes().items()}
    require_fit(shapes, stored.weights, str(folder))
    return EndsHead(config, {name: value.float().numpy() for name, value in stored.weights.items()})


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
