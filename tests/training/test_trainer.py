"""The training loop: exact resume, refusal of non-finite losses, atomic checkpoints, schedule and settings."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from henasy.errors import CheckpointError, ConfigError, TrainingError
from henasy.training.config import TrainConfig
from henasy.training.log import TrainLog, plot_log, read_log
from henasy.training.optimizer import make_optimizer
from henasy.training.schedule import learning_rate
from henasy.training.state import load_latest_state
from henasy.training.trainer import Trainer

CPU = torch.device("cpu")


class NoisyLine(nn.Module):
    """A linear map with dropout, so that a step depends on the random state."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(nn.functional.dropout(x, 0.5, training=self.training))


class LineSource:
    """Batches that depend on the step alone; from `bad_step` on they hold a NaN."""

    def __init__(self, bad_step: int = 10**9) -> None:
        self.bad_step = bad_step

    def batch(self, step: int, part: int, device: torch.device) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step * 10 + part)
        x = torch.randn(8, 4, generator=generator)
        return x * math.nan if step >= self.bad_step else x


def build(folder: Path, source: LineSource | None = None, **changes: object) -> Trainer[torch.Tensor]:
    torch.manual_seed(3)
    model = NoisyLine()
    settings: dict[str, object] = {
        "num_steps": 12,
        "batch_size": 8,
        "learning_rate": 0.05,
        "checkpoint_every": 5,
        "log_every": 1,
        "evaluate_every": 0,
    }

    def objective(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    return Trainer(
        TrainConfig(**(settings | changes)),
        model=model,
        objective=objective,
        source=source or LineSource(),
        folder=folder,
        device=CPU,
        report=lambda line: None,
    )


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder / "log.jsonl")]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_trainer_resumed_run_repeats_the_undisturbed_losses(tmp_path: Path, precision: str) -> None:
    undisturbed = build(tmp_path / "a", precision=precision)
    assert undisturbed.run() == 12
    interrupted = build(tmp_path / "b", LineSource(bad_step=8), precision=precision)
    with pytest.raises(TrainingError):
        interrupted.run()
    resumed = build(tmp_path / "b", precision=precision)
    assert resumed.run() == 12 - 5
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert torch.equal(undisturbed.model.layer.weight, resumed.model.layer.weight)


def test_trainer_non_finite_loss_stops_before_the_step(tmp_path: Path) -> None:
    trainer = build(tmp_path, LineSource(bad_step=0))
    before = trainer.model.layer.weight.clone()
    with pytest.raises(TrainingError, match=r"step 0: not finite: \{'loss': nan\}"):
        trainer.run()
    assert torch.equal(trainer.model.layer.weight, before)


def test_trainer_micro_batches_average_their_gradients(tmp_path: Path) -> None:
    trainer = build(tmp_path, num_steps=1, num_micro_batches=2, learning_rate=1.0)
    seen: list[float] = []
    trainer.objective = lambda x: {"loss": seen.append(float(x.mean())) or trainer.model.layer(x).mean()}
    trainer.run()
    assert seen == [float(LineSource().batch(0, part, CPU).mean()) for part in (0, 1)]


def test_trainer_other_settings_are_refused(tmp_path: Path) -> None:
    build(tmp_path).run()
    with pytest.raises(ConfigError, match=r"other settings.*'seed': \(0, 4\)"):
        build(tmp_path, seed=4).run()


def test_trainer_learns_and_reports_rates(tmp_path: Path) -> None:
    build(tmp_path, num_steps=60).run()
    lines = read_log(tmp_path / "log.jsonl")
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert {"clips_per_s", "waiting_share", "lr", "grad_norm"} <= set(lines[-1])


def test_state_keeps_the_newest_two_and_no_unfinished_folder(tmp_path: Path) -> None:
    build(tmp_path, checkpoint_every=2).run()
    assert sorted(p.name for p in tmp_path.glob("*step*")) == ["step-00000010", "step-00000012"]
    assert not list(tmp_path.glob(".writing-*"))


def test_state_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    build(tmp_path).run()
    (tmp_path / "step-00000012" / "model.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="step-00000012"):
        load_latest_state(tmp_path, device=CPU)


def test_learning_rate_warms_up_then_follows_the_cosine() -> None:
    config = TrainConfig(num_steps=110, learning_rate=1.0, num_warmup_steps=10, min_learning_rate_ratio=0.2)
    assert learning_rate(0, config) == pytest.approx(0.1)
    assert learning_rate(9, config) == pytest.approx(1.0)
    assert learning_rate(60, config) == pytest.approx(0.6)
    assert learning_rate(110, config) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("num_steps", 0, "at least 1"),
        ("learning_rate", 0.0, "above 0"),
        ("precision", "int8", "one of float32"),
        ("keep_patches", 1.5, r"in \(0, 1\]"),
        ("num_micro_batches", 3, "at least 1|a multiple"),
    ],
)
def test_config_refuses_bad_values(field: str, value: object, allowed: str) -> None:
    settings: dict[str, object] = {"num_steps": 5, field: value}
    with pytest.raises(ConfigError, match=rf"({field}|batch_size) is .* must be ({allowed})"):
        TrainConfig(**settings)


def test_config_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown keys \['learning_rat'\]"):
        TrainConfig.from_dict({"num_steps": 5, "learning_rat": 1.0})


def test_optimizer_decays_matrices_only() -> None:
    model = nn.ModuleDict({"layer": nn.Linear(3, 2), "norm": nn.LayerNorm(3)})
    model.register_parameter("pos_embed", nn.Parameter(torch.zeros(2, 3)))
    groups = make_optimizer(model, TrainConfig(num_steps=1)).param_groups
    assert [p.shape for p in groups[0]["params"]] == [(2, 3)]
    assert model["layer"].weight is groups[0]["params"][0]
    assert len(groups[1]["params"]) == 4


def test_log_cuts_lines_past_the_resumed_step_and_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": s, "loss": 1.0}) + "\n" for s in range(4)) + '{"step": 4, "lo')
    log = TrainLog(path, resume_step=2)
    log.write(2, {"loss": math.inf})
    assert read_log(path) == [{"step": 0, "loss": 1.0}, {"step": 1, "loss": 1.0}, {"step": 2, "loss": None}]
    plot_log(path, tmp_path / "log.png")
    assert (tmp_path / "log.png").read_bytes().startswith(b"\x89PNG")
