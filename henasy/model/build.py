"""Puts built modules together; the only place where a whole tree of sizes is known."""

from torch import nn

from henasy.model.attention import QuickGelu, SpaceTimeBlock
from henasy.model.bootstrap import BootstrapStage, CrossLayer
from henasy.model.config import (
    MEAN,
    PATCHES,
    SELF_ATTENTION,
    DistilbertConfig,
    DualConfig,
    HenasyConfig,
    LocalConfig,
    ModelConfig,
    VisionConfig,
)
from henasy.model.conv_stem import ConvStem
from henasy.model.decoder import EntityDecoder, HybridBlock, MeanDecoder, SelfAttentionDecoder, SelfBlock, VideoDecoder
from henasy.model.distilbert_dual import DistilbertDual, build_distilbert
from henasy.model.dual import DualEncoder, LavilaDual
from henasy.model.entity_stage import EntityStage
from henasy.model.grouping import TemporalAwareGrouping
from henasy.model.henasy import Henasy
from henasy.model.local_encoder import DirectLocalEncoder, LocalEncoder
from henasy.model.text_tower import TextTransformer
from henasy.model.timesformer import PatchEmbed, Timesformer

_ACTIVATIONS = {"quick_gelu": QuickGelu, "gelu": nn.GELU}


def build(config: ModelConfig) -> DualEncoder | Henasy:
    """The model of a config, with fresh random weights."""
    if isinstance(config, DualConfig):
        return build_dual(config)
    return build_henasy(config)


def build_dual(config: DualConfig) -> DualEncoder:
    """The dual encoder of a config, with fresh random weights."""
    visual = build_visual(config.vision)
    if isinstance(config.text, DistilbertConfig):
        return DistilbertDual(config, visual=visual, textual=build_distilbert(config.text))
    return LavilaDual(config, config.text, visual=visual, transformer=TextTransformer(config.text))


def build_visual(config: VisionConfig) -> Timesformer:
    """The global encoder of a config."""
    blocks = [
        SpaceTimeBlock(config.width, config.heads, config.mlp_ratio, _ACTIVATIONS[config.activation]())
        for _ in range(config.depth)
    ]
    if config.stem_width:
        patch_embed: PatchEmbed | ConvStem = ConvStem(config.patch_px, config.stem_width, config.width)
    else:
        patch_embed = PatchEmbed(config.patch_px, config.width, has_bias=config.has_patch_bias)
    return Timesformer(
        config,
        patch_embed=patch_embed,
        ln_pre=nn.LayerNorm(config.width) if config.has_first_norm else nn.Identity(),
        blocks=blocks,
    )


def build_henasy(config: HenasyConfig, *, dual: DualEncoder | None = None) -> Henasy:
    """HENASY around a dual encoder, a fresh one if none is given; freezes it.

    Args:
        config: all sizes.
        dual: an encoder built from `config.dual`, usually trained.
    """
    local, decoder = config.local, config.decoder
    return Henasy(
        config,
        dual=build_dual(config.dual) if dual is None else dual,
        local=build_local(local, vision_width=config.dual.vision.width),
        decoder=_build_decoder(config),
        video_head=nn.Linear(decoder.width, config.dual.joint_dim),
        entity_head=_build_entity_head(config) if config.has_entity_mlp else None,
    )


def build_local(config: LocalConfig, *, vision_width: int) -> LocalEncoder | DirectLocalEncoder:
    """The local entity encoder over a global encoder of `vision_width`."""
    if config.grouped == PATCHES:
        return DirectLocalEncoder(_build_entity_stage(config), vision_width=vision_width, width=config.width)
    return LocalEncoder(_build_bootstrap(config, vision_width), _build_entity_stage(config))


def _build_bootstrap(config: LocalConfig, vision_width: int) -> BootstrapStage:
    layers = [
        CrossLayer(
            config.width,
            config.heads,
            vision_width,
            mlp_ratio=config.mlp_ratio,
            has_mlp=config.is_cross_mlp,
        )
        for _ in range(config.num_bootstrap_layers)
    ]
    return BootstrapStage(
        layers,
        _build_grouping(config, vision_width),
        num_group_tokens=config.num_group_tokens,
        width=config.width,
        token_std=config.group_token_std,
    )


def _build_entity_stage(config: LocalConfig) -> EntityStage:
    return EntityStage(
        _build_blocks(config, config.num_segment_blocks),
        _build_grouping(config, config.width),
        _build_blocks(config, config.num_entity_blocks),
        num_entities=config.num_entities,
        width=config.width,
        token_std=config.group_token_std,
    )


def _build_blocks(config: LocalConfig, num_blocks: int) -> list[SpaceTimeBlock]:
    return [SpaceTimeBlock(config.width, config.heads, config.mlp_ratio) for _ in range(num_blocks)]


def _build_grouping(config: LocalConfig, key_width: int) -> TemporalAwareGrouping:
    return TemporalAwareGrouping(
        config.width,
        key_width,
        eps=config.assign_eps,
        tau=config.gumbel_tau,
        mlp_ratio=config.mlp_ratio,
        has_mlp=config.has_tag_mlp,
    )


def _build_decoder(config: HenasyConfig) -> VideoDecoder:
    decoder, patch_width, entity_width = config.decoder, config.dual.vision.width, config.local.width
    if decoder.design == MEAN:
        return MeanDecoder()
    if decoder.design == SELF_ATTENTION:
        mixing = [SelfBlock(decoder.width, decoder.heads, decoder.mlp_ratio) for _ in range(decoder.depth)]
        return SelfAttentionDecoder(mixing, entity_width=entity_width, patch_width=patch_width, width=decoder.width)
    blocks = [HybridBlock(decoder.width, decoder.heads, patch_width, decoder.mlp_ratio) for _ in range(decoder.depth)]
    return EntityDecoder(blocks, entity_width=entity_width, width=decoder.width)


def _build_entity_head(config: HenasyConfig) -> nn.Sequential:
    width = config.local.width
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.dual.joint_dim))
