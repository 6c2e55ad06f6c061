"""Configs refuse bad values by name and survive a round trip."""

import json
from typing import Any

import pytest
import torch

from henasy.errors import ConfigError
from henasy.model.build import build
from henasy.model.config import (
    DecoderConfig,
    DistilbertConfig,
    DualConfig,
    HenasyConfig,
    LocalConfig,
    TextConfig,
    VisionConfig,
    base,
    base_768,
    config_from_dict,
    config_to_dict,
    tiny,
    tiny_dual,
    with_frames,
)

EGOVLP = DualConfig(
    vision=VisionConfig(activation="gelu", has_patch_bias=True, has_first_norm=False), text=DistilbertConfig()
)


@pytest.mark.parametrize("config", [tiny(), tiny_dual(), base(), base_768(), EGOVLP, HenasyConfig(dual=EGOVLP)])
def test_round_trip_through_json(config: DualConfig | HenasyConfig) -> None:
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_later_settings_leave_older_configs_as_they_were_stored() -> None:
    """The name of a space is a hash of what is stored."""
    assert set(config_to_dict(DualConfig())["vision"]) == {
        *("image_px", "patch_px", "width", "depth", "heads", "num_frames", "mlp_ratio")
    }
    assert "tower" not in config_to_dict(DualConfig())["text"]
    assert config_to_dict(EGOVLP)["text"]["tower"] == "distilbert"


def test_with_frames_changes_nothing_else() -> None:
    for config in (base(), tiny_dual()):
        other = with_frames(config, 16)
        assert config_to_dict(other) != config_to_dict(config)
        assert with_frames(other, 4) == config


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (VisionConfig, {"activation": "relu"}, r"VisionConfig.activation is 'relu'; allowed: quick_gelu, gelu"),
        (DistilbertConfig, {"tower": "bert"}, r"DistilbertConfig.tower is 'bert'; allowed: distilbert"),
        (DistilbertConfig, {"heads": 5}, r"DistilbertConfig.heads is 5; allowed: a divisor of the width 768"),
        (VisionConfig, {"patch_px": 15}, r"VisionConfig.patch_px is 15; allowed: a divisor of image_px 224"),
        (VisionConfig, {"heads": 7}, r"VisionConfig.heads is 7; allowed: a divisor of the width 768"),
        (VisionConfig, {"depth": 0}, r"VisionConfig.depth is 0; allowed: a number above 0"),
        (VisionConfig, {"mlp_ratio": float("nan")}, r"VisionConfig.mlp_ratio is nan"),
        (TextConfig, {"context_length": 1}, r"TextConfig.context_length is 1; allowed: at least 2"),
        (TextConfig, {"vocab_size": 2}, r"TextConfig.vocab_size is 2; allowed: at least 3"),
        (LocalConfig, {"assign_eps": 0.0}, r"LocalConfig.assign_eps is 0.0; allowed: a number above 0"),
        (LocalConfig, {"num_entities": 65}, r"LocalConfig.num_entities is 65; allowed: at most num_group_t"),
        (LocalConfig, {"num_entity_blocks": -1}, r"LocalConfig.num_entity_blocks is -1; allowed: 0 or more"),
        (DecoderConfig, {"heads": True}, r"DecoderConfig.heads is True; allowed: a number above 0"),
        (DualConfig, {"temperature": -0.07}, r"DualConfig.temperature is -0.07"),
    ],
)
def test_bad_values_are_named(section: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        section(**values)


def test_parts_that_do_not_fit_each_other() -> None:
    with pytest.raises(ConfigError, match="num_bootstrap_layers is 13; allowed: at most the depth 12"):
        HenasyConfig(local=LocalConfig(num_bootstrap_layers=13))
    with pytest.raises(ConfigError, match="has_entity_mlp is False; allowed: True unless local width 512"):
        HenasyConfig(has_entity_mlp=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "clip"}, r"kind is 'clip'; allowed: 'dual', 'henasy'"),
        ({"joint_dims": 256}, r"DualConfig has no setting \['joint_dims'\]; allowed: \['joint_dim', "),
        ({"joint_dim": "256"}, r"DualConfig.joint_dim is '256'; allowed: a value of type int"),
        ({"joint_dim": True}, r"DualConfig.joint_dim is True; allowed: a value of type int"),
        ({"vision": None}, r"VisionConfig is None; allowed: a mapping"),
        ({"text": {"width": 30}}, r"TextConfig.heads is 8; allowed: a divisor of the width 30"),
    ],
)
def test_bad_mappings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict({**config_to_dict(tiny_dual()), **change})


def _count(config: HenasyConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(config).parameters())


def test_parameter_counts() -> None:
    """base_768 meets the 291.36 M that the paper's Table 5 (291 M) was fitted with; base is our own count."""
    assert f"{_count(base_768()) / 1e6:.2f}" == "291.36"
    assert f"{_count(base()) / 1e6:.2f}" == "246.73"
    assert _count(tiny()) <= 4_000_000


def test_dual_base_has_lavilas_parameters() -> None:
    with torch.device("meta"):
        model = build(DualConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 177_662_977
    assert len(model.state_dict()) == 375
