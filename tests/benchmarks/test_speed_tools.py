"""What the speed benchmarks and `make gpu-check` are made of, on this machine's CPU. No timing is asserted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from henasy.checkpoint.encoder import Encoder
from henasy.checkpoint.folder import read_checkpoint
from henasy.evaluation.machine.encoding_speed import agreement, plain_loop, random_clips, time_rounds
from henasy.evaluation.machine.training_probe import one_training_step
from henasy.model.henasy import Henasy


def test_plain_loop_equals_the_encoder(random_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(random_checkpoint)
    encoder = Encoder(checkpoint, device=torch.device("cpu"), dtype="float32", micro_batch=2)
    frames, rows = random_clips(5, encoder.num_frames)
    encoded = encoder.encode_clips(frames, rows).clip
    np.testing.assert_allclose(plain_loop(checkpoint, frames, rows).numpy(), encoded, atol=1e-5)
    found = agreement(encoded, encoded)
    assert found.largest_difference == 0
    assert found.mean_cosine == pytest.approx(1, abs=1e-6)
    assert found.top10_overlap == 1


def test_agreement_counts_shared_neighbours() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((40, 16)).astype(np.float32) for _ in range(2))
    first, second = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (first, second))
    shared = 0
    for row in range(40):
        others = [other for other in range(40) if other != row]
        near = [sorted(others, key=lambda other, v=v: -float(v[row] @ v[other]))[:10] for v in (first, second)]
        shared += len(set(near[0]) & set(near[1]))
    assert agreement(first, second).top10_overlap == pytest.approx(shared / 400)


def test_time_rounds_interleaves_and_drops_the_first() -> None:
    calls: list[str] = []
    seconds = time_rounds({name: lambda name=name: calls.append(name) for name in "ab"}, "cpu", 3)  # type: ignore[misc]
    assert "".join(calls) == "abababab"
    assert set(seconds) == {"a", "b"}


def test_one_training_step_changes_only_what_is_trained(random_checkpoint: Path, tmp_path: Path) -> None:
    model = read_checkpoint(random_checkpoint).model
    assert isinstance(model, Henasy)
    model.requires_grad_(True)
    model.dual.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = one_training_step(model, torch.device("cpu"), tmp_path, precision="float32", batch_size=2)
    assert np.isfinite(loss)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert not any(name.startswith("dual.") for name in changed)


def test_gpu_check_without_cuda_says_so(run_script: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    result = run_script("gpu_check.py")
    assert result.exit_code == 2
    assert "no CUDA" in result.output


def test_gpu_check_on_a_cpu_agrees_with_itself(run_script: Any, tmp_path: Path) -> None:
    out = tmp_path / "check.json"
    arguments = ("--device", "cpu", "--preset", "tiny", "--clips", 12, "--rounds", 1, "--json", out)
    result = run_script("gpu_check.py", *arguments)
    assert result.exit_code in (0, 1), result.output
    written = json.loads(out.read_text())
    assert written["tiny, float32, top10_overlap"] == 1
    assert written["tiny, float32, largest_difference"] == 0
    assert np.isfinite(written["tiny, loss of one training step"])
