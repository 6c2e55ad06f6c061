"""A trained head on disk: a folder with its settings, what it was trained on, and its weights.

head.json           kind, settings, facts
head.safetensors    weights, float32
"""

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save_file
from torch import Tensor, nn

from henasy.checkpoint.weights import read_weights, require_fit
from henasy.errors import CheckpointError, NotFoundError

SETTINGS = "head.json"
WEIGHTS = "head.safetensors"


class StoredHead(NamedTuple):
    """What is stored of a head."""

    kind: str
    """Which network this is."""
    config: dict[str, Any]
    """What its sizes are."""
    facts: dict[str, Any]
    """What it was trained on: space, rate, hashes. Its reader decides what must agree."""
    weights: dict[str, Tensor]


def has_head(folder: Path) -> bool:
    """Whether a folder holds a head."""
    return (folder / SETTINGS).is_file()


def save_head(folder: Path, head: StoredHead) -> None:
    """Writes a head under a temporary name and renames it; an older head there is replaced.

    Raises:
        CheckpointError: the folder holds something else.
    """
    others = sorted({path.name for path in folder.iterdir()} - {SETTINGS, WEIGHTS}) if folder.is_dir() else []
    if others or (folder.exists() and not folder.is_dir()):
        raise CheckpointError(f"{folder} holds something else ({', '.join(others[:5]) or 'a file'}), not a head")
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    fresh.mkdir(parents=True)
    try:
        save_file({name: value.detach().cpu().contiguous() for name, value in head.weights.items()}, fresh / WEIGHTS)
        settings = {"kind": head.kind, "config": head.config, "facts": head.facts}
        (fresh / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        # the library makes its file readable for the owner alone
        shutil.copymode(fresh / SETTINGS, fresh / WEIGHTS)
        for path in (*fresh.iterdir(), fresh):
            _sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(fresh, folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def read_head(folder: Path, kind: str) -> StoredHead:
    """The head of a folder.

    Raises:
        NotFoundError: there is none.
        CheckpointError: it is of another kind, or damaged.
    """
    if not has_head(folder):
        raise NotFoundError(f"{folder}: no head here; a head's folder has {SETTINGS} and {WEIGHTS}")
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        stored, config, facts = settings["kind"], dict(settings["config"]), dict(settings["facts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / SETTINGS}: not the settings of a head: {error!r}") from error
    if stored != kind:
        raise CheckpointError(f"{folder}: a head of kind {stored!r}, must be {kind!r}")
    return StoredHead(kind, config, facts, read_weights(folder / WEIGHTS))


def fill_head(module: nn.Module, head: StoredHead, source: str) -> None:
    """Gives a module the stored weights and puts it in eval mode.

    Raises:
        CheckpointError: names, shapes or types differ, or a value is not finite.
    """
    require_fit({name: value.shape for name, value in module.state_dict().items()}, head.weights, source)
    module.load_state_dict(head.weights, strict=True)
    module.eval()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
