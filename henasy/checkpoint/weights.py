"""Named tensors that fit a model exactly, or an error that names what does not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from henasy.errors import CheckpointError
from henasy.model.build import build
from henasy.model.config import ModelConfig
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy

STORED_TYPES = (torch.float32, torch.float16, torch.bfloat16)
_NAMED_AT_MOST = 8


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in the types in which they are stored.

    Raises:
        CheckpointError: the file is missing, cut or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: weights cannot be read: {error}") from error


def fill_model(config: ModelConfig, weights: Mapping[str, Tensor], source: str) -> DualEncoder | Henasy:
    """The model of a config holding these weights in float32, in eval mode, without gradients.

    Raises:
        CheckpointError: names, shapes or types are not those of the config, or a value is not finite.
    """
    model = build_empty(config)
    require_fit({name: value.shape for name, value in model.state_dict().items()}, weights, source)
    full = {name: value.to(torch.float32) for name, value in weights.items()}
    model.load_state_dict(full, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def build_empty(config: ModelConfig) -> DualEncoder | Henasy:
    """The model of a config whose tensors have shapes but no memory, ready to be filled."""
    with torch.device("meta"), _NoRandomValues():
        return build(config)


class _NoRandomValues(TorchFunctionMode):
    """Skips drawing initial weights: on tensors without memory the first draw imports torch's compiler, for seconds."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return given["tensor"] if "tensor" in given else args[0]
        return args[0] if func in (Tensor.normal_, Tensor.uniform_) else func(*args, **given)


def require_fit(shapes: Mapping[str, torch.Size], weights: Mapping[str, Tensor], source: str) -> None:
    """Passes when the weights are exactly what a model of these shapes needs.

    Raises:
        CheckpointError: tensors are missing, left over, of another shape or type, or not finite; they are named.
    """
    both = sorted(set(shapes) & set(weights))
    problems = {
        "missing": sorted(set(shapes) - set(weights)),
        "not in the model": sorted(set(weights) - set(shapes)),
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} where the config needs {tuple(shapes[name])}"
            for name in both
            if weights[name].shape != shapes[name]
        ],
        f"of a type other than {_names(STORED_TYPES)}": [
            f"{name} {_names([weights[name].dtype])}" for name in both if weights[name].dtype not in STORED_TYPES
        ],
        "with values that are not finite": [
            name for name in both if weights[name].is_floating_point() and not bool(torch.isfinite(weights[name]).all())
        ],
    }
    found = [f"{what}: {_listed(names)}" for what, names in problems.items() if names]
    if found:
        raise CheckpointError(f"{source}: the tensors do not fit the config; " + "; ".join(found))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED_AT_MOST])
    return shown if len(names) <= _NAMED_AT_MOST else f"{shown} and {len(names) - _NAMED_AT_MOST} more"


def _names(types: tuple[torch.dtype, ...] | list[torch.dtype]) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in types)
