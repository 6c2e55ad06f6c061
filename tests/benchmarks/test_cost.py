"""Counts against the reference's figures; memory and failures of the measuring process."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from henasy.errors import ConfigError
from henasy.evaluation.machine.cost import COUNTED_FRAMES, MEASURED, count_cost, counted_models
from henasy.evaluation.machine.cost_probe import INFERENCE, TRAINING, Measured, Probe, measure, run_probe
from henasy.model.build import build
from henasy.model.config import DecoderConfig, DualConfig, HenasyConfig, LocalConfig, TextConfig, VisionConfig, base

SMALL = HenasyConfig(
    dual=DualConfig(
        vision=VisionConfig(image_px=32, patch_px=8, width=32, depth=2, heads=2),
        text=TextConfig(width=32, heads=2, layers=1, context_length=16, vocab_size=60),
        joint_dim=24,
    ),
    local=LocalConfig(width=32, heads=2, num_group_tokens=6, num_entities=3, num_bootstrap_layers=2),
    decoder=DecoderConfig(width=32, heads=2, depth=1),
)


def test_counts_meet_the_reference() -> None:
    """PROTOCOLS section 8: LaViLa's own parameters, the paper's 291 M, and 208 to 227 GFLOP at 4 frames."""
    models = counted_models()
    assert set(MEASURED) <= set(models)
    dual, whole, wide = (count_cost(models[name]) for name in ("dual of base", "base", "base-768"))
    assert dual.num_parameters == dual.num_trainable == 177_662_977
    assert round(wide.num_parameters / 1e6) == 291
    assert whole.num_parameters - whole.num_trainable == dual.num_parameters
    for cost in (whole, wide):
        assert 200e9 < cost.clip[4].flops < 230e9
        assert cost.clip[4].macs * 2 == cost.clip[4].flops
        assert 3.9 < cost.clip[16].flops / cost.clip[4].flops < 4.1


def test_counts_equal_the_built_model() -> None:
    model = build(SMALL)
    cost = count_cost(SMALL)
    assert cost.num_parameters == sum(value.numel() for value in model.parameters())
    assert cost.num_trainable == sum(value.numel() for value in model.parameters() if value.requires_grad)
    assert list(cost.clip) == list(COUNTED_FRAMES)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from /proc")
def test_a_child_measures_its_own_memory_and_not_its_parents() -> None:
    ballast = torch.ones(1 << 28)  # 1 GiB in this process, which a child must not count as its own
    found = {task: run_probe(Probe(SMALL, task, 1, 1, "cpu")) for task in (INFERENCE, TRAINING)}
    del ballast
    for measured in found.values():
        assert isinstance(measured, Measured), measured
        assert measured.seconds > 0
        assert 0 < measured.idle_bytes <= measured.peak_bytes < 1 << 30


def test_a_child_that_fails_says_why() -> None:
    found = run_probe(Probe(SMALL, "sleeping", 1, 1, "cpu"))
    assert isinstance(found, str)
    assert "task is 'sleeping'" in found
    with pytest.raises(ConfigError, match="allowed: inference, training"):
        measure(Probe(SMALL, "sleeping", 1, 1, "cpu"))


def test_what_cannot_fit_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("henasy.evaluation.machine.cost_probe._available_bytes", lambda: 10**9)
    found = run_probe(Probe(base(), TRAINING, 1, 1, "cpu"))
    assert found == "needs more than 1.8 GB, 1.0 GB are free"


def test_the_script_prints_both_conventions_and_the_paper(run_script: Any, tmp_path: Path) -> None:
    out = tmp_path / "cost.json"
    page = tmp_path / "cost.html"
    result = run_script("cost.py", "--model", "tiny", "--count-only", "--json", out, "--report", page)
    assert result.exit_code == 0, result.output
    assert "<h1>Cost of models</h1>" in page.read_text()
    assert page.read_text().count("<table>") == 2
    assert "<td>291</td>" in page.read_text()
    for text in ("GFLOP", "GMAC", "599", "291", "not reproduced"):
        assert text in result.output
    written = json.loads(out.read_text())
    assert written["tiny/FLOP per clip, 4 frames, 2 x MAC"] == 2 * written["tiny/MAC per clip, 4 frames"]
