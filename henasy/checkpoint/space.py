"""The name of an embedding space: equal exactly when two checkpoints give equal vectors for equal input."""

import hashlib
import json

import torch

from henasy.checkpoint.folder import Checkpoint
from henasy.model.config import config_to_dict
from henasy.video.geometry import REDUCE_ABOVE_PX, REDUCED_SHORT_PX

_DIGITS = 16


def space_id(checkpoint: Checkpoint) -> str:
    """16 hex digits over weights, sizes, frames per clip, preprocessing with its crop and reduction, and tokenizer.

    Weights count by value: a checkpoint stored in half precision names the same space as the values it loads as.
    """
    tokenizer = checkpoint.tokenizer
    settings = {
        "config": config_to_dict(checkpoint.config),
        "preprocessing": checkpoint.spec.to_dict(),
        "reduction_px": [REDUCE_ABOVE_PX, REDUCED_SHORT_PX],
        "tokenizer": None if tokenizer is None else tokenizer.digest(),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, value in sorted(checkpoint.model.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().to("cpu", torch.float32).reshape(-1).numpy().data)
    return digest.hexdigest()[:_DIGITS]
