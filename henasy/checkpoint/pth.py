"""PyTorch checkpoints of others, read without running any code that they may hold."""

import argparse
import pickle
import pickletools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from henasy.errors import CheckpointError, NotFoundError

_STATE = "state_dict"
_PARALLEL_PREFIX = "module."


class Unread:
    """Stands for an object of a class that is known and not wanted: its state is thrown away."""

    def __init__(self, *_: object) -> None:
        """Takes whatever the pickle gives."""

    def __setstate__(self, state: object) -> None:
        """Forgets it."""


def read_pth(path: Path, *, unread: Mapping[str, type[Unread]] | None = None) -> Mapping[str, Any]:
    """The content of a .pth file.

    Args:
        path: the file.
        unread: classes, by module and name, whose objects are passed over.

    Raises:
        NotFoundError: there is no such file.
        CheckpointError: it is no checkpoint, or holds an object of a class that is not allowed; the class is named.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    try:
        allowed: list[type | tuple[type, str]] = [
            argparse.Namespace,
            *((stand_in, name) for name, stand_in in (unread or {}).items()),
        ]
        with torch.serialization.safe_globals(allowed):  # type: ignore[arg-type]  # its list is invariant
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise nearly anything: EOFError, KeyError, RuntimeError, UnpicklingError
        raise CheckpointError(f"{path}: {_reason(error, path)}") from error
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; a checkpoint holds entries by name")
    return content


def state_of(content: Mapping[str, Any], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors by name, without the prefix of data-parallel training, and the names of what else the file holds.

    Raises:
        CheckpointError: the file holds no state, or one with entries that are no tensors.
    """
    is_bare = bool(content) and all(isinstance(value, Tensor) for value in content.values())
    state = content if is_bare else content.get(_STATE)
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path}: no {_STATE} among its entries {sorted(content)}")
    others = sorted(str(name) for name, value in state.items() if not isinstance(value, Tensor))
    if others:
        raise CheckpointError(f"{path}: {_STATE} holds entries that are no tensors: {', '.join(others[:8])}")
    weights = {str(name).removeprefix(_PARALLEL_PREFIX): value for name, value in state.items()}
    if len(weights) != len(state):
        raise CheckpointError(f"{path}: {_STATE} holds the same tensor with and without {_PARALLEL_PREFIX!r}")
    return weights, [] if is_bare else sorted(name for name in content if name != _STATE)


def _reason(error: Exception, path: Path) -> str:
    message = str(error)
    refused = re.search(r"GLOBAL ([\w.]+)", message) or re.search(r"Unsupported (?:global|class) ([\w.]+)", message)
    name = refused.group(1) if refused else _class_in_plain_pickle(path)
    if name:
        return f"holds an object of {name}; allowed: tensors, plain values and argparse.Namespace"
    # torch's own text recommends loading without protection
    detail = "" if isinstance(error, pickle.UnpicklingError) else (message.strip().splitlines() or [""])[0][:120]
    return f"is not a PyTorch checkpoint, or is damaged ({type(error).__name__}{': ' * bool(detail)}{detail})"


def _class_in_plain_pickle(path: Path) -> str | None:
    """The first class that a bare pickle asks for, found by reading its instructions without following them."""
    strings: list[str] = []
    try:
        with path.open("rb") as file:
            for instruction, argument, _ in pickletools.genops(file):
                if instruction.name == "GLOBAL":
                    return str(argument).replace(" ", ".")
                if instruction.name == "STACK_GLOBAL":
                    return ".".join(strings[-2:])
                strings += [argument] if isinstance(argument, str) else []
    except (ValueError, OSError):  # not a pickle
        return None
    return None
