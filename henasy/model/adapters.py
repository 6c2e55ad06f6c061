"""Low-rank adapters around the linear maps of a model's towers; the one owner of peft.

A map W becomes W + (alpha / rank) B A while it is trained, with B zero at first, so that an adapted model starts as the
model it was made from. Merged, the sum is a plain weight again and nothing of peft is left.

Names of factors: the name of the weight in the plain model's state, then ".down" (A, rank x inputs) or ".up" (B,
outputs x rank).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from henasy.errors import CheckpointError, ConfigError, missing_extra
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy

TOWERS = ("video", "text", "both")
_VIDEO_PARTS = ("visual.blocks.",)
_TEXT_PARTS = ("transformer.resblocks.", "textual.transformer.layer.")
_ENTITY_PARTS = ("local.", "decoder.", "video_head")
_GROUPING = ".assign."
_NAME = "default"


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Which maps are adapted and by how much."""

    rank: int = 16
    """Rank of what is added to a map."""
    alpha: int = 16
    """What is added is scaled by alpha / rank."""
    towers: str = "both"
    """video, text or both. EgoNCE++ adapts the video tower; its public code for EgoVLP leaves the text tower as it is,
    that for LaViLa trains all of it unless told not to."""

    def __post_init__(self) -> None:
        for name, value in (("rank", self.rank), ("alpha", self.alpha)):
            if type(value) is not int or value < 1:
                raise ConfigError(f"{name} is {value!r}; allowed: a whole number of at least 1")
        if self.towers not in TOWERS:
            raise ConfigError(f"towers is {self.towers!r}; allowed: {', '.join(TOWERS)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored beside adapters."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config that `to_dict` described.

        Raises:
            ConfigError: a key is unknown or a value is not allowed.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigError(f"adapters: unknown settings {unknown}; allowed: {sorted(known)}")
        return cls(**values)


class Adapters(nn.Module):
    """The trainable factors around a model's maps, and the model that computes with them.

    As a module it is the factors alone, so that a training checkpoint of it holds nothing that the base has already.
    The model stays in eval mode: what adapters are trained against is the model as it is used.
    """

    def __init__(self, model: DualEncoder | Henasy, config: AdapterConfig, *, seed: int = 0) -> None:
        """Adapts `model` in place.

        Raises:
            ConfigError: peft is not installed.
        """
        super().__init__()
        self.config = config
        self._needs_gradient = {name for name, value in model.named_parameters() if value.requires_grad}
        # kept in a list, or the model would become a part of this module
        self._held = [_attach(model.eval(), config, seed)]
        factors = _factors(self._held[0].model, config.rank)
        self.names = sorted(factors)
        self.factors = nn.ParameterList([factors[name] for name in self.names])

    @property
    def model(self) -> DualEncoder | Henasy:
        """The adapted model."""
        model: DualEncoder | Henasy = self._held[0].model
        return model

    def tensors(self) -> dict[str, Tensor]:
        """Every factor by its name."""
        return {name: value.detach() for name, value in zip(self.names, self.factors, strict=True)}

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Sets every factor.

        Raises:
            CheckpointError: names or shapes are not those of this model's adapters.
        """
        wanted = {name: tuple(value.shape) for name, value in self.tensors().items()}
        given = {name: tuple(value.shape) for name, value in tensors.items()}
        if wanted != given:
            wrong = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
            first = wrong[0]
            raise CheckpointError(
                f"{len(wrong)} adapters do not fit this model; the first, {first}, has shape {given.get(first)} "
                f"and should have {wanted.get(first)}"
            )
        with torch.no_grad():
            for name, value in zip(self.names, self.factors, strict=True):
                value.copy_(tensors[name])

    def merge(self) -> DualEncoder | Henasy:
        """The model with every map replaced by the sum; the adapters are gone from it.

        Raises:
            CheckpointError: a sum is not finite.
        """
        model = self.model
        try:
            # twice: one pass does not look inside what it unwraps, and a text block's map lies inside its attention
            for _ in range(2):
                self._held[0].merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise CheckpointError(f"the adapters cannot be merged: {error}") from error
        for name, value in model.named_parameters():
            value.requires_grad_(name in self._needs_gradient)
        assert not _factors(model, self.config.rank)
        return model.eval()


def adapted_weights(model: DualEncoder | Henasy, config: AdapterConfig) -> list[str]:
    """Names of the weights that adapters are put around, in the order of the model.

    In a dual encoder the attention and MLP maps of the blocks. HENASY's global encoder is frozen, so there the video
    side is what HENASY adds to it: local encoder, decoder and the map into the joint space, but for the assignment
    of tokens to groups, which reads its weights without going through the maps.
    """
    is_henasy = isinstance(model, Henasy)
    text = tuple(f"dual.{part}" for part in _TEXT_PARTS) if is_henasy else _TEXT_PARTS
    video = _ENTITY_PARTS if is_henasy else _VIDEO_PARTS
    parts = {"video": video, "text": text, "both": (*video, *text)}[config.towers]
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return [
        name
        for name, _ in model.named_parameters()
        if name.startswith(parts) and _GROUPING not in name and (name in linear or name.endswith("in_proj_weight"))
    ]


def _attach(model: DualEncoder | Henasy, config: AdapterConfig, seed: int) -> Any:
    try:
        from peft import LoraConfig, LoraModel
    except ImportError as error:
        raise missing_extra(f"adapters need the peft library ({error})", "lora") from error
    weights = adapted_weights(model, config)
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=[name.removesuffix(".weight") for name in weights if name.endswith(".weight")],
        target_parameters=[name for name in weights if not name.endswith(".weight")],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LoraModel(model, {_NAME: settings}, _NAME)


def _factors(model: nn.Module, rank: int) -> dict[str, nn.Parameter]:
    """The factors of an adapted model by the names of this module's heading."""
    found = {}
    for path, value in model.named_parameters():
        for layer, factor in (("lora_A", "down"), ("lora_B", "up")):
            ending = f".{layer}.{_NAME}.weight"
            if path.endswith(ending):
                owner = path.removesuffix(ending)
                parameter = getattr(model.get_submodule(owner), "parameter_name", "weight")
                found[f"{owner.replace('.base_layer', '')}.{parameter}.{factor}"] = value
    assert all(rank in value.shape for value in found.values())
    return found
