"""Models that are trained together end as each of them ends alone."""

from pathlib import Path

import torch

from henasy.evaluation.machine.training_probe import RandomBatches, probe_objective
from henasy.model.assemblies import table_4
from henasy.model.build import build_dual, build_henasy
from henasy.model.config import DecoderConfig, DualConfig, HenasyConfig, LocalConfig, TextConfig, VisionConfig
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.training.config import TrainConfig
from henasy.training.data import TrainBatch
from henasy.training.objectives import HenasyObjective
from henasy.training.shared_sight import SharedBatches, SharedSight, SharedSightObjective, train_together
from henasy.training.trainer import Trainer

CONFIG = HenasyConfig(
    dual=DualConfig(
        vision=VisionConfig(image_px=32, patch_px=8, width=32, depth=2, heads=2),
        text=TextConfig(width=24, heads=2, layers=1, context_length=12, vocab_size=40),
        joint_dim=16,
    ),
    local=LocalConfig(width=32, heads=2, num_group_tokens=6, num_entities=3, num_bootstrap_layers=2),
    decoder=DecoderConfig(width=32, heads=2, depth=1),
)
SETTINGS = TrainConfig(num_steps=5, batch_size=4, learning_rate=1e-3, seed=3, checkpoint_every=2)
DEVICE = torch.device("cpu")


class _Counted:
    """A source that counts what it makes."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self._source = RandomBatches(CONFIG.dual, SETTINGS.batch_size)

    def batch(self, step: int, part: int, device: torch.device) -> TrainBatch:
        self.made.append(step)
        return self._source.batch(step, part, device)


def _dual() -> DualEncoder:
    torch.manual_seed(0)
    return build_dual(CONFIG.dual)


def _model(name: str, dual: DualEncoder) -> Henasy:
    torch.manual_seed(1)
    return build_henasy(table_4(CONFIG)[name], dual=dual)


def _objective(model: Henasy) -> HenasyObjective:
    objective = probe_objective(model, DEVICE)
    assert isinstance(objective, HenasyObjective)
    return objective


def _alone(name: str, folder: Path) -> Henasy:
    model = _model(name, _dual())
    source = RandomBatches(CONFIG.dual, SETTINGS.batch_size)
    objective = _objective(model)
    Trainer[TrainBatch](
        SETTINGS, model=model, objective=objective, source=source, folder=folder, device=DEVICE, report=lambda _: None
    ).run()
    return model


def _together(folder: Path, source: _Counted) -> tuple[dict[str, Henasy], list[Trainer[TrainBatch]]]:
    dual, sight, shared = _dual(), SharedSight(), SharedBatches(source)
    models = {name: _model(name, dual) for name in table_4(CONFIG)}
    trainers = [
        Trainer[TrainBatch](
            SETTINGS,
            model=model,
            objective=SharedSightObjective(_objective(model), sight),
            source=shared,
            folder=folder / name.replace("/", ""),
            device=DEVICE,
            report=lambda _: None,
        )
        for name, model in models.items()
    ]
    return models, trainers


def _require_equal(one: Henasy, other: Henasy) -> None:
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_together_as_alone_with_each_batch_and_each_sight_made_once(tmp_path: Path) -> None:
    source = _Counted()
    models, trainers = _together(tmp_path / "together", source)
    seen = []
    visual = next(iter(models.values())).dual.visual
    visual.register_forward_hook(lambda module, given, out: seen.append(1))
    assert list(train_together(trainers))[-1] == SETTINGS.num_steps
    assert sorted(source.made) == list(range(SETTINGS.num_steps))
    assert len(seen) == SETTINGS.num_steps
    for name, model in models.items():
        _require_equal(model, _alone(name, tmp_path / "alone" / name.replace("/", "")))


def test_interrupted_runs_are_evened_out_and_end_the_same(tmp_path: Path) -> None:
    whole, trainers = _together(tmp_path / "whole", _Counted())
    list(train_together(trainers))
    _, trainers = _together(tmp_path / "cut", _Counted())
    turns = train_together(trainers)
    for _ in range(9):  # one model has done 3 steps, the others 2
        next(turns)
    del turns, trainers
    resumed, trainers = _together(tmp_path / "cut", _Counted())
    list(train_together(trainers))
    for name, model in resumed.items():
        _require_equal(model, whole[name])
    _, trainers = _together(tmp_path / "cut", _Counted())
    assert list(train_together(trainers))[-1] == SETTINGS.num_steps
