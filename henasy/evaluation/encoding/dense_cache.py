"""Dense features on disk: a folder per window of a video, there as a whole or not at all."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_FACTS = "facts.json"
_ENTITY_ARRAYS = ("entities", "is_valid", "assignment")
_ARRAYS = ("spans", "clip", "is_encoded", *_ENTITY_ARRAYS)


class StoredDense(NamedTuple):
    """The features of one window as read back."""

    arrays: dict[str, NDArray[Any]]
    """By name; memory maps."""
    duration_s: float
    fault: str
    """Why some spans have no feature; empty if all have."""


class DenseCache:
    """The features of one encoder and one rule. Any number of processes may write: what they write is the same."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str, *, has_entities: bool) -> StoredDense | None:
        """What is stored under a name, or None if that is nothing, damaged, or lacks the entities asked for."""
        for folder in self._candidates(name, has_entities):
            try:
                facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
                arrays = {key: np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False) for key in _ARRAYS}
                stored = StoredDense(arrays, float(facts["duration_s"]), str(facts["fault"]))
            except (OSError, ValueError, KeyError, TypeError, EOFError):
                continue
            return stored if has_entities else _without_entities(stored)
        return None

    def write(
        self, name: str, arrays: Mapping[str, NDArray[Any]], *, has_entities: bool, duration_s: float, fault: str
    ) -> None:
        """Stores features; what was there under that name is replaced."""
        final = self._folder(name, has_entities)
        temporary = self.root / f".{final.name}.{secrets.token_hex(4)}"
        temporary.mkdir(parents=True)
        try:
            for key in _ARRAYS:
                np.save(temporary / f"{key}.npy", arrays[key])
            facts = json.dumps({"duration_s": duration_s, "fault": fault})
            (temporary / _FACTS).write_text(facts, encoding="utf-8")
            _publish(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _candidates(self, name: str, has_entities: bool) -> list[Path]:
        with_entities = self._folder(name, True)
        return [with_entities] if has_entities else [self._folder(name, False), with_entities]

    def _folder(self, name: str, has_entities: bool) -> Path:
        return self.root / (f"{name}-entities" if has_entities else name)


def _without_entities(stored: StoredDense) -> StoredDense:
    cut = {name: stored.arrays[name][:, :0] for name in _ENTITY_ARRAYS}
    cut["assignment"] = cut["assignment"][:, :, :0]
    return stored._replace(arrays={**stored.arrays, **cut})


def _publish(temporary: Path, final: Path) -> None:
    """Gives a finished folder its name, in the place of one that could not be read."""
    for path in (*temporary.iterdir(), temporary):
        _sync(path)
    shutil.rmtree(final, ignore_errors=True)
    try:
        os.replace(temporary, final)
    except OSError:
        # Another process stored the same features in this moment.
        if not (final / _FACTS).is_file():
            raise
    _sync(final.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
