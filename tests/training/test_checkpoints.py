"""Checkpoint folders of a run: which are kept, that a full disk spoils none, and what is logged and prefetched."""

import json
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from henasy.errors import CheckpointError, ConfigError, TrainingError
from henasy.training.checkpoints import Checkpoints
from henasy.training.config import TrainConfig
from henasy.training.log import TrainLog
from henasy.training.run_lock import run_lock
from henasy.training.state import load_latest_state
from henasy.training.trainer import Trainer

CPU = torch.device("cpu")


def written(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_text("whole")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("step-*"))


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond a size, as on a disk with so much room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Constant:
    def batch(self, step: int, part: int, device: torch.device) -> torch.Tensor:
        return torch.full((4, 64), float(step))


def trainer_in(folder: Path, checkpoints: Checkpoints | None = None, **changes: object) -> Trainer[torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Linear(64, 64)
    settings: dict[str, object] = {"num_steps": 6, "batch_size": 4, "checkpoint_every": 2, "evaluate_every": 2}
    return Trainer(
        TrainConfig(**(settings | changes)),
        model=model,
        objective=lambda x: {"loss": model(x).square().mean()},
        source=Constant(),
        folder=folder,
        device=CPU,
        checkpoints=checkpoints,
        report=lambda line: None,
    )


def test_checkpoints_keep_the_newest_and_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, written)
    for step, score in ((2, 0.3), (4, 0.9), (6, 0.5), (8, 0.9), (10, float("nan"))):
        checkpoints.write(step)
        checkpoints.add_scores(step, {"inter": score, "other": -score})
        checkpoints.prune(2, "inter")
    assert names(tmp_path) == ["step-00000004", "step-00000008", "step-00000010"]
    assert checkpoints.best("inter") == tmp_path / "step-00000004"
    assert checkpoints.best("other") == tmp_path / "step-00000002"
    assert checkpoints.best("outer") is None  # its benchmark has failed so far
    checkpoints.prune(2, "outer")
    assert names(tmp_path) == ["step-00000008", "step-00000010"]


def test_checkpoints_forget_what_came_after_the_state_that_goes_on(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, written)
    for step in (2, 4):
        checkpoints.write(step)
        checkpoints.add_scores(step, {"inter": float(step)})
    checkpoints.forget_after(2)
    assert names(tmp_path) == ["step-00000002"]
    assert checkpoints.scores() == {"step-00000002": {"inter": 2.0}}


def test_checkpoints_damaged_scores_are_named(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"scores.json: cannot be read .* delete it"):
        Checkpoints(tmp_path, written).scores()


def test_checkpoints_without_a_state_are_not_deleted(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", written)
    checkpoints.write(2)  # a run that was killed before its first state was written
    trainer_in(tmp_path, checkpoints, num_kept=3).run()
    assert names(tmp_path / "checkpoints") == ["step-00000002", "step-00000004", "step-00000006"]
    for state in tmp_path.glob("step-*"):
        shutil.rmtree(state)
    with pytest.raises(ConfigError, match="holds step-00000004, step-00000006, but the run has no state to go on from"):
        trainer_in(tmp_path, checkpoints).run()
    assert names(tmp_path / "checkpoints") == ["step-00000002", "step-00000004", "step-00000006"]


def test_trainer_scores_folders_and_keeps_the_best(tmp_path: Path) -> None:
    scores = iter([0.2, 0.8, 0.4])
    seen: list[str] = []

    def evaluate(folder: Path) -> dict[str, float]:
        seen.append(folder.name)
        assert (folder / "weights").read_text() == "whole"
        return {"egomcq_inter": next(scores)}

    checkpoints = Checkpoints(tmp_path / "checkpoints", written, evaluate=evaluate)
    trainer_in(tmp_path, checkpoints, num_kept=1, best_metric="egomcq_inter").run()
    assert seen == ["step-00000002", "step-00000004", "step-00000006"]
    assert names(tmp_path / "checkpoints") == ["step-00000004", "step-00000006"]
    assert names(tmp_path) == ["step-00000006"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["egomcq_inter"] for line in lines if "egomcq_inter" in line] == [0.2, 0.8, 0.4]


def test_evaluation_that_is_cut_costs_no_step_and_is_made_up_for(tmp_path: Path) -> None:
    seen: list[str] = []

    def evaluate(folder: Path) -> dict[str, float]:
        seen.append(folder.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return {"inter": 0.5}

    checkpoints = Checkpoints(tmp_path / "checkpoints", written, evaluate=evaluate)
    with pytest.raises(KeyboardInterrupt):
        trainer_in(tmp_path, checkpoints, best_metric="inter").run()
    assert names(tmp_path)[-1] == "step-00000004"
    assert trainer_in(tmp_path, checkpoints, best_metric="inter").run() == 2
    assert seen == ["step-00000002", "step-00000004", "step-00000004", "step-00000006"]
    assert trainer_in(tmp_path, checkpoints, best_metric="inter").run() == 0
    assert len(seen) == 4
    assert names(tmp_path / "checkpoints")[-1] == "step-00000006"
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "inter" in line] == [1, 3, 5]


def test_evaluation_without_scores_is_remembered_and_none_is_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", written, evaluate=lambda folder: {})
    trainer_in(tmp_path, checkpoints, best_metric="inter", num_kept=1).run()
    assert checkpoints.best("inter") is None
    assert list(checkpoints.scores()) == ["step-00000002", "step-00000004", "step-00000006"]


def test_evaluation_between_checkpoints_saves_the_state_too(tmp_path: Path) -> None:
    def evaluate(folder: Path) -> dict[str, float]:
        assert (tmp_path / folder.name).is_dir()
        return {"inter": 0.5}

    checkpoints = Checkpoints(tmp_path / "checkpoints", written, evaluate=evaluate)
    trainer_in(tmp_path, checkpoints, checkpoint_every=4, evaluate_every=3, num_kept=9).run()
    assert names(tmp_path) == ["step-00000003", "step-00000004", "step-00000006"]
    assert list(checkpoints.scores()) == ["step-00000003", "step-00000006"]


def test_full_disk_leaves_the_state_before_it_whole(tmp_path: Path) -> None:
    trainer_in(tmp_path, num_steps=4).run()
    later = trainer_in(tmp_path, num_steps=4)
    (tmp_path / "step-00000004").rename(tmp_path / "elsewhere")
    with full_disk(8192), pytest.raises(CheckpointError, match=r"step-00000004: cannot be written .* are whole"):
        later.run()
    assert names(tmp_path) == ["step-00000002"]
    assert not list(tmp_path.glob(".writing*"))
    saved = load_latest_state(tmp_path, device=CPU)
    assert saved is not None
    assert saved.step == 2
    assert trainer_in(tmp_path, num_steps=4).run() == 2


def test_full_disk_leaves_no_half_folder(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        folder.with_name(".new").mkdir(parents=True)
        (folder.with_name(".new") / "weights").write_bytes(bytes(9000))

    with full_disk(8192), pytest.raises(CheckpointError, match="step-00000002: cannot be written"):
        Checkpoints(tmp_path, write).write(2)
    assert names(tmp_path) == []


def test_intervals_may_change_when_a_run_goes_on_but_nothing_that_matters(tmp_path: Path) -> None:
    trainer_in(tmp_path, num_steps=6).run()
    changed = {"evaluate_every": 3, "log_every": 1, "num_kept": 5, "is_recomputing": False, "num_prefetched": 4}
    assert trainer_in(tmp_path, num_steps=6, **changed).run() == 0
    with pytest.raises(ConfigError, match=r"other settings.*'weight_decay': \(0.01, 0.5\)"):
        trainer_in(tmp_path, num_steps=6, weight_decay=0.5).run()


def test_second_run_in_a_folder_waits_and_gives_up(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        run_lock(tmp_path, patience_s=0, report=said.append),
        pytest.raises(TrainingError, match="another process trains here"),
        run_lock(tmp_path, patience_s=0.3, report=said.append),
    ):
        raise AssertionError("both hold it")
    with run_lock(tmp_path, patience_s=0, report=said.append):
        pass
    assert said == [f"{tmp_path}: waiting for another process that trains here to end"]


def test_prefetched_batches_come_in_order_from_several_threads(tmp_path: Path) -> None:
    made: list[tuple[int, int]] = []

    class Slow(Constant):
        def batch(self, step: int, part: int, device: torch.device) -> torch.Tensor:
            time.sleep(0.02 if step % 2 else 0.0)
            made.append((step, threading.get_ident()))
            return super().batch(step, part, device)

    trainer = trainer_in(tmp_path, num_steps=12, num_prefetched=3)
    trainer.source = Slow()
    seen: list[float] = []
    model = trainer.model
    trainer.objective = lambda x: {"loss": seen.append(float(x[0, 0])) or model(x).square().mean()}
    trainer.run()
    assert seen == [float(step) for step in range(12)]
    assert len({thread for _, thread in made}) > 1


def test_log_is_written_for_tensorboard_too(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TrainLog(tmp_path / "log.jsonl", has_tensorboard=True)
    for step in range(4):
        log.write(step, {"loss": 4.0 - step})
    log.close()
    resumed = TrainLog(tmp_path / "log.jsonl", resume_step=2, has_tensorboard=True)
    resumed.write(2, {"loss": 7.0})
    resumed.close()
    curves = events.EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    assert [(one.step, one.value) for one in curves.Scalars("loss")] == [(0, 4.0), (1, 3.0), (2, 7.0)]
