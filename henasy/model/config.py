"""Sizes of the model: dataclasses that refuse bad values, and the named presets.

A config is stored in every checkpoint; `config_from_dict` reads it back and refuses what it does not know.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, ClassVar, Self, get_args, get_type_hints

from henasy.errors import ConfigError

LAVILA_TEMPERATURE = 0.07
ACTIVATIONS = ("quick_gelu", "gelu")
DISTILBERT = "distilbert"
# Settings that came later are stored only when they say something, so that a space keeps its name.
_UNSTORED_DEFAULT = {"is_stored_at_default": False}


def _require(is_allowed: bool, owner: object, name: str, allowed: str) -> None:
    if not is_allowed:
        value = getattr(owner, name)
        raise ConfigError(f"{type(owner).__name__}.{name} is {value!r}; allowed: {allowed}")


def _require_positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        _require(is_number and math.isfinite(value) and value > 0, owner, name, "a number above 0")


def _require_heads(owner: object, width: int, heads: int) -> None:
    _require(width % heads == 0, owner, "heads", f"a divisor of the width {width}")


@dataclass(frozen=True, kw_only=True)
class _Section:
    """A group of settings that survives a round trip through JSON."""

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values, nested sections as nested mappings."""
        return {
            item.name: value.to_dict() if isinstance(value, _Section) else value
            for item in dataclasses.fields(self)
            for value in [getattr(self, item.name)]
            if value != item.default or item.metadata.get("is_stored_at_default", True)
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The section that `to_dict` wrote.

        Raises:
            ConfigError: a name is unknown or missing, or a value has the wrong type or range.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{cls.__name__} is {values!r}; allowed: a mapping")
        types = get_type_hints(cls)
        fields = {item.name: item for item in dataclasses.fields(cls)}
        _refuse_names(cls.__name__, set(values), fields)
        return cls(**{name: _typed(cls.__name__, name, types[name], value) for name, value in values.items()})


def _refuse_names(owner: str, given: set[str], fields: Mapping[str, "dataclasses.Field[Any]"]) -> None:
    if unknown := sorted(given - set(fields)):
        raise ConfigError(f"{owner} has no setting {unknown}; allowed: {sorted(fields)}")
    no_default = {
        name
        for name, item in fields.items()
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    }
    if missing := sorted(no_default - given):
        raise ConfigError(f"{owner} lacks the settings {missing}")


def _typed(owner: str, name: str, expected: Any, value: Any) -> Any:
    if isinstance(expected, UnionType):
        expected = _text_section(expected, value)
    if isinstance(expected, type) and issubclass(expected, _Section):
        return expected.from_dict(value)
    is_number = expected is float and isinstance(value, int) and not isinstance(value, bool)
    if is_number:
        return float(value)
    if type(value) is not expected:
        raise ConfigError(f"{owner}.{name} is {value!r}; allowed: a value of type {expected.__name__}")
    return value


def _text_section(options: UnionType, value: Any) -> Any:
    """Of the sections that may stand here the one that knows a `tower` if the value names one, else the one without."""
    has_tower = isinstance(value, Mapping) and "tower" in value
    return next(o for o in get_args(options) if ("tower" in {f.name for f in dataclasses.fields(o)}) == has_tower)


@dataclass(frozen=True, kw_only=True)
class VisionConfig(_Section):
    """The TimeSformer, HENASY's global encoder."""

    image_px: int = 224
    """Side of the square input."""
    patch_px: int = 16
    """Side of a square patch; divides `image_px`."""
    width: int = 768
    """Channels of a token."""
    depth: int = 12
    """Divided space-time blocks."""
    heads: int = 12
    """Attention heads; divides `width`."""
    num_frames: int = 4
    """Rows of the temporal embedding: the most frames that fit."""
    mlp_ratio: float = 4.0
    """Hidden width of the MLPs over `width`."""

    activation: str = field(default="quick_gelu", metadata=_UNSTORED_DEFAULT)
    """Of the MLPs: CLIP's quick_gelu, or the exact gelu."""
    has_patch_bias: bool = field(default=False, metadata=_UNSTORED_DEFAULT)
    """Whether the linear map of a patch has a bias."""
    has_first_norm: bool = field(default=True, metadata=_UNSTORED_DEFAULT)
    """Whether tokens are normalised before the first block."""

    def __post_init__(self) -> None:
        _require(self.activation in ACTIVATIONS, self, "activation", ", ".join(ACTIVATIONS))
        _require_positive(self, "image_px", "patch_px", "width", "depth", "heads", "num_frames", "mlp_ratio")
        _require(self.image_px % self.patch_px == 0, self, "patch_px", f"a divisor of image_px {self.image_px}")
        _require_heads(self, self.width, self.heads)

    @property
    def grid_size(self) -> int:
        """Patches along one side of a frame."""
        return self.image_px // self.patch_px

    @property
    def num_patches(self) -> int:
        """K, patches per frame."""
        return self.grid_size**2


@dataclass(frozen=True, kw_only=True)
class TextConfig(_Section):
    """The causal text transformer."""

    width: int = 512
    """Channels of a token."""
    heads: int = 8
    """Attention heads; divides `width`."""
    layers: int = 12
    """Transformer blocks."""
    context_length: int = 77
    """Longest token sequence, start and end token included."""
    vocab_size: int = 49408
    """Rows of the token embedding; the end token is the last row."""
    mlp_ratio: float = 4.0
    """Hidden width of the MLPs over `width`."""

    def __post_init__(self) -> None:
        _require_positive(self, "width", "heads", "layers", "mlp_ratio")
        _require(self.context_length >= 2, self, "context_length", "at least 2 (start and end token)")
        _require(self.vocab_size >= 3, self, "vocab_size", "at least 3 (padding, start and end token)")
        _require_heads(self, self.width, self.heads)


@dataclass(frozen=True, kw_only=True)
class DistilbertConfig(_Section):
    """EgoVLP's text tower: DistilBERT, read at its first token."""

    tower: str = DISTILBERT
    """Tells this section from CLIP's."""
    width: int = 768
    """Channels of a token."""
    heads: int = 12
    """Attention heads; divides `width`."""
    layers: int = 6
    """Transformer blocks."""
    context_length: int = 512
    """Longest token sequence, first and last token included."""
    vocab_size: int = 30522
    """Rows of the token embedding."""
    hidden: int = 3072
    """Hidden width of the MLPs."""

    def __post_init__(self) -> None:
        _require(self.tower == DISTILBERT, self, "tower", DISTILBERT)
        _require_positive(self, "width", "heads", "layers", "hidden")
        _require(self.context_length >= 2, self, "context_length", "at least 2 (first and last token)")
        _require(self.vocab_size >= 4, self, "vocab_size", "at least 4 (padding, unknown, first and last token)")
        _require_heads(self, self.width, self.heads)


@dataclass(frozen=True, kw_only=True)
class LocalConfig(_Section):
    """The local entity encoder: bootstrapping stage, then entity grouping stage."""

    width: int = 512
    """Channels of group, segment and entity tokens."""
    heads: int = 8
    """Attention heads; divides `width`."""
    num_group_tokens: int = 64
    """G, groups that the patches of a frame are merged into."""
    num_entities: int = 8
    """E, entities that the groups are merged into."""
    num_bootstrap_layers: int = 6
    """S1, cross-attention layers; the level of the global encoder whose patches are grouped."""
    num_segment_blocks: int = 3
    """S2, space-time blocks before the second grouping."""
    num_entity_blocks: int = 3
    """S3, space-time blocks after the second grouping."""
    mlp_ratio: float = 4.0
    """Hidden width of the MLPs over `width`."""
    is_cross_mlp: bool = False
    """Whether a bootstrapping layer ends in an MLP."""
    has_tag_mlp: bool = True
    """Whether a grouping ends in an MLP over channels."""
    assign_eps: float = 1.0
    """Added to the number of tokens of a group before dividing by it; keeps an empty group finite."""
    gumbel_tau: float = 1.0
    """Temperature of the Gumbel softmax in training."""
    group_token_std: float = 0.02
    """Standard deviation of the group tokens at initialisation."""

    def __post_init__(self) -> None:
        _require_positive(
            self, "width", "heads", "num_group_tokens", "num_entities", "num_bootstrap_layers", "mlp_ratio"
        )
        _require_positive(self, "assign_eps", "gumbel_tau", "group_token_std")
        _require(self.num_segment_blocks >= 0, self, "num_segment_blocks", "0 or more")
        _require(self.num_entity_blocks >= 0, self, "num_entity_blocks", "0 or more")
        _require_heads(self, self.width, self.heads)
        _require(
            self.num_entities <= self.num_group_tokens,
            self,
            "num_entities",
            f"at most num_group_tokens {self.num_group_tokens}",
        )
        _require(self.num_entities <= 255, self, "num_entities", "at most 255 (stored as one byte)")


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(_Section):
    """The entity-aware decoder."""

    width: int = 768
    """Channels of the decoded entity tokens."""
    heads: int = 12
    """Attention heads; divides `width`."""
    depth: int = 3
    """Hybrid-attention blocks."""
    mlp_ratio: float = 4.0
    """Hidden width of the MLPs over `width`."""

    def __post_init__(self) -> None:
        _require_positive(self, "width", "heads", "depth", "mlp_ratio")
        _require_heads(self, self.width, self.heads)


@dataclass(frozen=True, kw_only=True)
class DualConfig(_Section):
    """Global encoder and text tower with one joint space."""

    kind: ClassVar[str] = "dual"

    vision: VisionConfig = field(default_factory=VisionConfig)
    """Sizes of the global encoder."""
    text: TextConfig | DistilbertConfig = field(default_factory=TextConfig)
    """Which text tower, and its sizes."""
    joint_dim: int = 256
    """Channels of the joint space."""
    temperature: float = LAVILA_TEMPERATURE
    """What `logit_scale` starts from: ln(1 / temperature)."""

    def __post_init__(self) -> None:
        _require_positive(self, "joint_dim", "temperature")


@dataclass(frozen=True, kw_only=True)
class HenasyConfig(_Section):
    """The whole model around a frozen dual encoder."""

    kind: ClassVar[str] = "henasy"

    dual: DualConfig = field(default_factory=DualConfig)
    """The frozen dual encoder."""
    local: LocalConfig = field(default_factory=LocalConfig)
    """The local entity encoder."""
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    """The entity-aware decoder."""
    has_entity_mlp: bool = True
    """Whether entities reach the joint space through an MLP of their own, or through the video's linear map."""

    def __post_init__(self) -> None:
        depth = self.dual.vision.depth
        _require(
            self.local.num_bootstrap_layers <= depth,
            self.local,
            "num_bootstrap_layers",
            f"at most the depth {depth} of the global encoder",
        )
        _require(
            self.has_entity_mlp or self.local.width == self.decoder.width,
            self,
            "has_entity_mlp",
            f"True unless local width {self.local.width} equals decoder width {self.decoder.width}",
        )


ModelConfig = DualConfig | HenasyConfig


def with_frames(config: ModelConfig, num_frames: int) -> ModelConfig:
    """The same model for another number of frames per clip."""
    if isinstance(config, DualConfig):
        return dataclasses.replace(config, vision=dataclasses.replace(config.vision, num_frames=num_frames))
    vision = dataclasses.replace(config.dual.vision, num_frames=num_frames)
    return dataclasses.replace(config, dual=dataclasses.replace(config.dual, vision=vision))


def config_to_dict(config: ModelConfig) -> dict[str, Any]:
    """The config as plain JSON values, its kind under "kind"."""
    return {"kind": config.kind, **config.to_dict()}


def config_from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """The config that `config_to_dict` wrote.

    Raises:
        ConfigError: the kind is unknown, a name is unknown or missing, or a value is not allowed.
    """
    settings = dict(values)
    kind = settings.pop("kind", None)
    if kind == DualConfig.kind:
        return DualConfig.from_dict(settings)
    if kind == HenasyConfig.kind:
        return HenasyConfig.from_dict(settings)
    raise ConfigError(f"kind is {kind!r}; allowed: {DualConfig.kind!r}, {HenasyConfig.kind!r}")


def tiny_dual(*, vocab_size: int = 1500) -> DualConfig:
    """The small dual encoder for rendered scenes: 96 px, patches of 8 px, 4 frames."""
    return DualConfig(
        vision=VisionConfig(image_px=96, patch_px=8, width=128, depth=5, heads=4, num_frames=4),
        text=TextConfig(width=128, heads=4, layers=3, context_length=32, vocab_size=vocab_size),
        joint_dim=128,
    )


def tiny(*, vocab_size: int = 1500) -> HenasyConfig:
    """The preset of the shipped checkpoint: at most 4 million parameters with both towers."""
    return HenasyConfig(
        dual=tiny_dual(vocab_size=vocab_size),
        local=LocalConfig(
            width=128,
            heads=4,
            num_group_tokens=24,
            num_entities=8,
            num_bootstrap_layers=3,
            num_segment_blocks=2,
            num_entity_blocks=1,
            mlp_ratio=2.0,
            group_token_std=1.0,
        ),
        decoder=DecoderConfig(width=128, heads=4, depth=2, mlp_ratio=2.0),
    )


def base() -> HenasyConfig:
    """The paper's sizes as written: local encoder 512 wide, decoder 768 wide (section 5.1)."""
    return HenasyConfig()


def base_768() -> HenasyConfig:
    """The paper's structure 768 wide throughout, the one that meets the 291 M parameters of its Table 5."""
    return HenasyConfig(local=LocalConfig(width=768, heads=12), has_entity_mlp=False)
