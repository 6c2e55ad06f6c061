"""Embeddings kept in the user's cache folder, so that a benchmark's second run takes seconds.

An entry is one file, named by a hash of everything that fixes its arrays. It appears whole or not at all, is checked
when it is read, and one that is damaged counts as missing: a wrong array never comes back.
"""

import hashlib
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from henasy.evaluation.encoding.cache_folder import cache_folder

Arrays = dict[str, NDArray[Any]]
Key = Mapping[str, object]
"""What fixes an entry, as JSON values."""

_KEY_ARRAY = "key"
_SUFFIX = ".npz"
_UNFINISHED = ".unfinished"
_ABANDONED_S = 86_400
"""Age at which an unfinished file can only be what a killed run left."""


def entry_path(key: Key) -> Path:
    """Where an entry lies, or would lie."""
    return cache_folder() / "embeddings" / (hashlib.sha256(_text(key)).hexdigest()[:32] + _SUFFIX)


def load_entry(key: Key) -> Arrays | None:
    """The arrays stored under exactly this key; None, with a message if the file is damaged, when there are none."""
    path = entry_path(key)
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
        if damaged is not None:
            raise ValueError(f"checksum of {damaged} is wrong")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if arrays.pop(_KEY_ARRAY).tobytes() != _text(key):
            raise ValueError("it is of other embeddings")
    except FileNotFoundError:
        return None
    # What a damaged archive makes of the readers of zip and npy is not limited to their own errors.
    except Exception as error:
        _say(f"{path} is damaged ({error}): computing it again")
        return None
    return arrays


def store_entry(key: Key, arrays: Arrays) -> None:
    """Keeps arrays under a key; a disk that refuses costs a message, not the result."""
    path = entry_path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_abandoned(path.parent)
        _write(path, {**arrays, _KEY_ARRAY: np.frombuffer(_text(key), np.uint8)})
    except OSError as error:
        _say(f"embeddings are not kept for the next run: {error}")


def _write(path: Path, arrays: Arrays) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=_UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            _write_arrays(file, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write_arrays(file: BinaryIO, arrays: Arrays) -> None:
    """The layout of `numpy.savez`, in which a zip keeps a checksum of every array."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _drop_abandoned(folder: Path) -> None:
    for path in folder.glob(f"*{_UNFINISHED}"):
        try:
            is_abandoned = time.time() - path.stat().st_mtime > _ABANDONED_S
        except FileNotFoundError:
            continue
        if is_abandoned:
            path.unlink(missing_ok=True)


def _text(key: Key) -> bytes:
    return json.dumps(key, sort_keys=True).encode()


def _say(message: str) -> None:
    Console(stderr=True).print(message, highlight=False, markup=False, soft_wrap=True)
