"""Sizes of the model: dataclasses that refuse bad values, and the named presets.

A config is stored in every checkpoint; `config_from_dict` reads it back and refuses what it does not know.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from henasy.errors import ConfigError
from henasy.model.section import UNSTORED_DEFAULT, Section, require, require_heads, require_positive

LAVILA_TEMPERATURE = 0.07
ACTIVATIONS = ("quick_gelu", "gelu")
DISTILBERT = "distilbert"
SEGMENTS, PATCHES = "segments", "patches"
HYBRID, SELF_ATTENTION, MEAN = "hybrid", "self_attention", "mean"
DECODERS = (HYBRID, SELF_ATTENTION, MEAN)


@dataclass(frozen=True, kw_only=True)
class VisionConfig(Section):
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

    activation: str = field(default="quick_gelu", metadata=UNSTORED_DEFAULT)
    """Of the MLPs: CLIP's quick_gelu, or the exact gelu."""
    has_patch_bias: bool = field(default=False, metadata=UNSTORED_DEFAULT)
    """Whether the linear map of a patch has a bias."""
    has_first_norm: bool = field(default=True, metadata=UNSTORED_DEFAULT)
    """Whether tokens are normalised before the first block."""
    stem_width: int = field(default=0, metadata=UNSTORED_DEFAULT)
    """Channels of a convolutional stem's last map, which stands in for the linear map of patches; 0 is none."""

    def __post_init__(self) -> None:
        require(self.activation in ACTIVATIONS, self, "activation", ", ".join(ACTIVATIONS))
        require_positive(self, "image_px", "patch_px", "width", "depth", "heads", "num_frames", "mlp_ratio")
        require(self.image_px % self.patch_px == 0, self, "patch_px", f"a divisor of image_px {self.image_px}")
        require_heads(self, self.width, self.heads)
        _require_stem(self)

    @property
    def grid_size(self) -> int:
        """Patches along one side of a frame."""
        return self.image_px // self.patch_px

    @property
    def num_patches(self) -> int:
        """K, patches per frame."""
        return self.grid_size**2


def _require_stem(config: VisionConfig) -> None:
    """A stem halves the frame and doubles its channels until a cell is a patch."""
    if config.stem_width == 0:
        return
    is_power = config.patch_px >= 2 and config.patch_px & (config.patch_px - 1) == 0
    require(is_power, config, "patch_px", "a power of 2 above 1, under a convolutional stem")
    require(not config.has_patch_bias, config, "has_patch_bias", "False under a convolutional stem")
    first = config.patch_px // 2
    is_even = config.stem_width > 0 and config.stem_width % first == 0
    require(is_even, config, "stem_width", f"0, or a multiple of {first}")


@dataclass(frozen=True, kw_only=True)
class TextConfig(Section):
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
        require_positive(self, "width", "heads", "layers", "mlp_ratio")
        require(self.context_length >= 2, self, "context_length", "at least 2 (start and end token)")
        require(self.vocab_size >= 3, self, "vocab_size", "at least 3 (padding, start and end token)")
        require_heads(self, self.width, self.heads)


@dataclass(frozen=True, kw_only=True)
class DistilbertConfig(Section):
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
        require(self.tower == DISTILBERT, self, "tower", DISTILBERT)
        require_positive(self, "width", "heads", "layers", "hidden")
        require(self.context_length >= 2, self, "context_length", "at least 2 (first and last token)")
        require(self.vocab_size >= 4, self, "vocab_size", "at least 4 (padding, unknown, first and last token)")
        require_heads(self, self.width, self.heads)


@dataclass(frozen=True, kw_only=True)
class LocalConfig(Section):
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

    grouped: str = field(default=SEGMENTS, metadata=UNSTORED_DEFAULT)
    """What becomes entities: the segments of a bootstrapping stage, or the patches of level S1 themselves, without such
    a stage and without segments."""

    def __post_init__(self) -> None:
        require(self.grouped in (SEGMENTS, PATCHES), self, "grouped", f"{SEGMENTS}, {PATCHES}")
        require_positive(
            self, "width", "heads", "num_group_tokens", "num_entities", "num_bootstrap_layers", "mlp_ratio"
        )
        require_positive(self, "assign_eps", "gumbel_tau", "group_token_std")
        require(self.num_segment_blocks >= 0, self, "num_segment_blocks", "0 or more")
        require(self.num_entity_blocks >= 0, self, "num_entity_blocks", "0 or more")
        require_heads(self, self.width, self.heads)
        require(
            self.grouped == PATCHES or self.num_entities <= self.num_group_tokens,
            self,
            "num_entities",
            f"at most num_group_tokens {self.num_group_tokens}",
        )
        require(self.num_entities <= 255, self, "num_entities", "at most 255 (stored as one byte)")


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(Section):
    """What makes one video feature of entities and patches."""

    width: int = 768
    """Channels of the decoded entity tokens."""
    heads: int = 12
    """Attention heads; divides `width`."""
    depth: int = 3
    """Blocks."""
    mlp_ratio: float = 4.0
    """Hidden width of the MLPs over `width`."""

    design: str = field(default=HYBRID, metadata=UNSTORED_DEFAULT)
    """The paper's hybrid-attention blocks; self-attention among entities and patches together; or the plain mean of the
    entities, which has no blocks, whatever the other settings."""

    def __post_init__(self) -> None:
        require(self.design in DECODERS, self, "design", ", ".join(DECODERS))
        require_positive(self, "width", "heads", "depth", "mlp_ratio")
        require_heads(self, self.width, self.heads)


@dataclass(frozen=True, kw_only=True)
class DualConfig(Section):
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
        require_positive(self, "joint_dim", "temperature")


@dataclass(frozen=True, kw_only=True)
class HenasyConfig(Section):
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

    global_share: float = field(default=0.0, metadata=UNSTORED_DEFAULT)
    """How much of a clip's embedding is the global encoder's, in [0, 1); the rest is the decoder's, all of it in the
    paper. The weights and their training do not depend on it."""

    def __post_init__(self) -> None:
        depth = self.dual.vision.depth
        require(
            self.local.num_bootstrap_layers <= depth,
            self.local,
            "num_bootstrap_layers",
            f"at most the depth {depth} of the global encoder",
        )
        require(
            self.has_entity_mlp or self.local.width == self.decoder.width,
            self,
            "has_entity_mlp",
            f"True unless local width {self.local.width} equals decoder width {self.decoder.width}",
        )
        require(0 <= self.global_share < 1, self, "global_share", "0 or more, below 1")
        require(
            self.decoder.design != MEAN or self.local.width == self.decoder.width,
            self.decoder,
            "width",
            f"the local width {self.local.width} for the design {MEAN!r}",
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
    """The small dual encoder for rendered scenes: 96 px, patches of 8 px by convolutions, 4 frames."""
    return DualConfig(
        vision=VisionConfig(image_px=96, patch_px=8, width=128, depth=4, heads=4, num_frames=4, stem_width=96),
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
