"""The designs of Table 4 compute what they say, survive as config and checkpoint, and leave older configs alone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.space import space_id
from henasy.checkpoint.training_note import TrainingNote
from henasy.errors import ConfigError
from henasy.model.assemblies import AVERAGE_POOL, COMPLETE, SELF_DECODER, WITHOUT_BOOTSTRAP, table_4
from henasy.model.build import build_dual, build_henasy
from henasy.model.config import (
    DecoderConfig,
    DualConfig,
    HenasyConfig,
    LocalConfig,
    TextConfig,
    VisionConfig,
    base,
    config_from_dict,
    config_to_dict,
    tiny,
)
from henasy.model.decoder import SelfAttentionDecoder, SelfBlock
from henasy.model.henasy import Henasy
from henasy.video.preprocess import PreprocessSpec

DESIGNS = (AVERAGE_POOL, SELF_DECODER, WITHOUT_BOOTSTRAP)
SMALL = HenasyConfig(
    dual=DualConfig(
        vision=VisionConfig(image_px=32, patch_px=8, width=32, depth=3, heads=2),
        text=TextConfig(width=24, heads=2, layers=1, context_length=12, vocab_size=40),
        joint_dim=16,
    ),
    local=LocalConfig(width=20, heads=2, num_group_tokens=6, num_entities=3, num_bootstrap_layers=2),
    decoder=DecoderConfig(width=28, heads=2, depth=2),
)


def _model(design: str) -> Henasy:
    torch.manual_seed(0)
    return build_henasy(table_4(SMALL)[design])


def _frames(num_clips: int = 2) -> Tensor:
    return torch.randn(num_clips, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("design", DESIGNS)
def test_every_design_answers_and_learns(design: str) -> None:
    model = _model(design)
    out = model(_frames())
    assert out.video.shape == (2, 16)
    assert out.entities.shape == (2, 3, 16)
    assert out.saliency.shape == (2, 4, 3, 16)
    torch.testing.assert_close(out.saliency.sum(dim=2), torch.ones(2, 4, 16))
    (out.video.square().sum() + out.entities.square().sum()).backward()
    without_gradient = {name for name, value in model.named_parameters() if value.requires_grad and value.grad is None}
    assert not without_gradient


def test_average_pool_is_the_mean_of_the_entities_then_the_linear_map() -> None:
    model = _model(AVERAGE_POOL).eval()
    out = model(_frames())
    torch.testing.assert_close(out.video, model.video_head(out.entity_tokens.mean(dim=1)))
    assert not list(model.decoder.parameters())


def test_without_bootstrap_the_saliency_is_the_assignment_of_the_patches_of_the_level() -> None:
    model = _model(WITHOUT_BOOTSTRAP).eval()
    sight = model.see(_frames())
    stage = model.local.entity_stage
    patches: Tensor = model.local.widen(sight.levels[-1])  # type: ignore[operator]
    groups = stage.group_tokens.expand(2, -1, -1)
    for block in stage.segment_blocks:
        groups, patches = block(groups, patches)
    logits = stage.grouping.assign._logits(
        stage.grouping.norm_groups(groups).unsqueeze(1), stage.grouping.norm_tokens(patches)
    )
    torch.testing.assert_close(model.compose(sight).saliency, logits.softmax(dim=2))
    assert len(sight.levels) == 3
    changed = sight._replace(levels=(torch.zeros_like(sight.levels[0]), *sight.levels[1:]))
    torch.testing.assert_close(model.compose(changed).video, model.compose(sight).video)


def test_self_attention_decoder_against_pytorchs_own_layer() -> None:
    decoder = _model(SELF_DECODER).decoder.eval()
    assert isinstance(decoder, SelfAttentionDecoder)
    entities, patches = torch.randn(2, 3, 20), torch.randn(2, 64, 32)
    tokens = torch.cat((decoder.widen(entities), decoder.widen_patches(patches)), dim=1)
    for block in decoder.blocks:
        assert isinstance(block, SelfBlock)
        attention = nn.MultiheadAttention(28, 2, batch_first=True)
        weights = block.self_attn.state_dict()
        attention.load_state_dict(
            {
                "in_proj_weight": weights["qkv.weight"],
                "in_proj_bias": weights["qkv.bias"],
                "out_proj.weight": weights["proj.weight"],
                "out_proj.bias": weights["proj.bias"],
            }
        )
        normed = block.norm_self(tokens)
        tokens = tokens + attention(normed, normed, normed)[0]
        tokens = tokens + block.mlp(block.norm_mlp(tokens))
    torch.testing.assert_close(decoder(entities, patches), decoder.norm(tokens[:, :3]).mean(dim=1))


def test_seeing_then_composing_is_the_forward_pass() -> None:
    model = _model(COMPLETE).eval()
    for whole, parted in zip(model(_frames()), model.compose(model.see(_frames())), strict=True):
        assert torch.equal(whole, parted)
    assert not model.see(_frames()).patches.requires_grad


@pytest.mark.parametrize("design", DESIGNS)
def test_a_design_survives_its_checkpoint(design: str, tmp_path: Path) -> None:
    model = _model(design).eval()
    spec = PreprocessSpec(image_px=32, mean=(1.0,) * 3, std=(2.0,) * 3)
    note = TrainingNote(summary="Not trained.", is_rendered_only=True, details={})
    written = Checkpoint(model=model, spec=spec, tokenizer=None, training=note)
    save_checkpoint(tmp_path / "design", written)
    found = read_checkpoint(tmp_path / "design")
    assert found.config == table_4(SMALL)[design]
    assert space_id(found) == space_id(written)
    assert isinstance(found.model, Henasy)
    torch.testing.assert_close(found.model(_frames()).video, model(_frames()).video)


def test_designs_are_stored_only_where_they_say_something() -> None:
    for config in (base(), tiny()):
        stored = config_to_dict(config)
        assert "grouped" not in stored["local"]
        assert "design" not in stored["decoder"]
        for name, design in table_4(config).items():
            assert config_from_dict(json.loads(json.dumps(config_to_dict(design)))) == design
            assert (config_to_dict(design) == stored) == (name == COMPLETE)


def test_all_designs_stand_on_the_same_dual_encoder() -> None:
    dual = build_dual(SMALL.dual).eval()
    models = [build_henasy(config, dual=dual) for config in table_4(SMALL).values()]
    seen = [model.see(_frames()) for model in models]
    assert all(torch.equal(one.patches, seen[0].patches) and len(one.levels) == 3 for one in seen)


def test_designs_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"DecoderConfig.design is 'max'; allowed: hybrid, self_attention, mean"):
        DecoderConfig(design="max")
    with pytest.raises(ConfigError, match=r"LocalConfig.grouped is 'pixels'; allowed: segments, patches"):
        LocalConfig(grouped="pixels")
    with pytest.raises(ConfigError, match=r"DecoderConfig.width is 28; allowed: the local width 20 for the design 'm"):
        replace(SMALL, decoder=DecoderConfig(width=28, heads=2, design="mean"))
    assert LocalConfig(grouped="patches", num_entities=80).num_entities == 80
