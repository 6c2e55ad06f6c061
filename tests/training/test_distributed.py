"""Two processes train as one with the joined batch: gradients, means over what is counted, errors, resumed runs."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gloo import in_processes
from torch import Tensor, nn

from henasy.errors import ConfigError, HenasyError, TrainingError
from henasy.evaluation.machine.training_probe import RandomBatches, random_tokens
from henasy.losses.counted import CountedLoss
from henasy.losses.total import LossWeights
from henasy.model.build import build_dual, build_henasy
from henasy.model.config import HenasyConfig, tiny
from henasy.training.blocks import recompute_blocks
from henasy.training.config import TrainConfig
from henasy.training.data import TrainBatch
from henasy.training.distributed import ALONE, Peers, own_device
from henasy.training.joint_contrast import backward_jointly
from henasy.training.objectives import DualObjective, HenasyObjective, Words
from henasy.training.share import Share
from henasy.training.trainer import Trainer

CPU = torch.device("cpu")
NUM_ANCHORS = 4


def small_config() -> HenasyConfig:
    whole = tiny(vocab_size=64)
    dual = replace(
        whole.dual,
        vision=replace(whole.dual.vision, depth=3, width=64, heads=2, num_frames=2),
        text=replace(whole.dual.text, layers=2, width=32, heads=2),
    )
    return replace(whole, dual=dual, local=replace(whole.local, num_bootstrap_layers=2, num_group_tokens=12))


def whole_batch() -> TrainBatch:
    """Clips of which some lack nouns, boxes or a phrase: the two halves count differently."""
    batch = RandomBatches(small_config().dual, NUM_ANCHORS).batch(0, 0, CPU)
    rows = torch.arange(2 * NUM_ANCHORS)
    noun_rows = torch.stack([batch.noun_rows.reshape(len(rows), -1)[:, 0], (rows + 1) % 6], dim=1)
    noun_rows[0], noun_rows[3, 1], noun_rows[6] = -1, -1, -1
    boxes, box_nouns = batch.boxes.clone(), batch.box_nouns.clone()
    boxes[:2], box_nouns[:2], boxes[5, :, 1:] = 0, -1, 0
    phrase_ids = batch.phrase_ids.clone()
    phrase_ids[:2] = phrase_ids[4] = -1
    verb_rows = batch.verb_rows.clone()
    verb_rows[1] = -1
    return batch._replace(
        noun_rows=noun_rows, boxes=boxes, box_nouns=box_nouns, phrase_ids=phrase_ids, verb_rows=verb_rows
    )


def rows_of(batch: TrainBatch, share: Share) -> TrainBatch:
    own = torch.from_numpy(share.rows(len(batch.frames) // 2))
    return TrainBatch(*(column[own] for column in batch))


def objective_of(kind: str, peers: Peers) -> Any:
    """A dual or a whole objective on equal weights, without noise."""
    torch.manual_seed(0)
    config = small_config()
    draw = torch.Generator().manual_seed(7)
    words = Words(tokens=random_tokens(6, 64, draw), is_narrated=torch.ones(6, dtype=torch.bool))
    if kind == "dual":
        dual = build_dual(config.dual).eval()
        return DualObjective(
            dual,
            nouns=words,
            verbs=words,
            temperature=0.07,
            word_weight=0.5,
            region_weight=1.0,
            keep_patches=1.0,
            peers=peers,
        )
    return HenasyObjective(
        build_henasy(config).eval(),
        nouns=words,
        temperature=0.07,
        verbs=words,
        weights=LossWeights(entity_choice=0.5, words=0.5),
        box_weight=2.0,
        synonym_cosine=0.6,
        peers=peers,
    )


def parameters_of(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def outcome(model: nn.Module, values: dict[str, Tensor], peers: Peers) -> tuple[dict[str, float], dict[str, Any]]:
    """Averaged values and gradients, as arrays."""
    peers.average_gradients(parameters_of(model))
    shown = peers.average({name: float(value.detach()) for name, value in values.items()})
    grads = {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}
    return shown, grads


def gradients(peers: Peers, kind: str, num_parts: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Of one step over a process's rows, in so many jointly contrasted parts."""
    objective = objective_of(kind, peers)
    own = rows_of(whole_batch(), peers.share)
    if num_parts == 1:
        values = objective(own)
        values["loss"].backward()
    else:
        parts = [rows_of(own, Share(part, num_parts)) for part in range(num_parts)]
        values = jointly(objective, parts)
    return outcome(objective.model, values, peers)


def jointly(objective: Any, parts: list[TrainBatch]) -> Any:
    return backward_jointly(
        objective,
        parts,
        device=CPU,
        autocast=lambda: torch.autocast("cpu", enabled=False),
        scale=lambda loss: loss,
        check=lambda values: None,
    )


def assert_same(ours: tuple[dict[str, float], dict[str, Any]], theirs: tuple[dict[str, float], dict[str, Any]]) -> None:
    """Float32 sums in another order: 1e-5 of each value, and of the largest entry of each gradient.

    Below 1e-7 of the largest gradient there is rounding alone: that of a key's bias is exactly 0 in theory.
    """
    floor = 1e-7 * max(abs(grad).max() for grad in theirs[1].values())
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert set(ours[1]) == set(theirs[1])
    for name, grad in theirs[1].items():
        np.testing.assert_allclose(
            ours[1][name], grad, rtol=1e-5, atol=max(floor, 1e-5 * abs(grad).max()), err_msg=name
        )


def in_both(peers: Peers, folder: Path) -> dict[str, Any]:
    """All that needs two processes, for starting them takes longest."""
    return {
        "gradients": {(kind, parts): gradients(peers, kind, parts) for kind in ("dual", "henasy") for parts in (1, 2)},
        "exchanged": exchanged(peers),
        "undisturbed": train_line(peers, folder / "a", None),
        "nan": train_line(peers, folder / "b", ("nan", 6)),
        "fails": train_line(peers, folder / "b", ("fails", 6)),
        "resumed": train_line(peers, folder / "b", None),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def both(folder: Path) -> list[dict[str, Any]]:
    """What each of two processes makes of everything."""
    return in_processes(in_both, folder / "meeting", folder)


@pytest.mark.parametrize("kind", ["dual", "henasy"])
def test_two_processes_have_the_gradients_of_one_with_the_joined_batch(kind: str, both: list[dict[str, Any]]) -> None:
    alone = gradients(ALONE, kind, 1)
    assert all(math.isfinite(value) for value in alone[0].values())
    first, second = (one["gradients"][kind, 1] for one in both)
    assert_same(first, alone)
    assert first[0] == second[0]
    for name, grad in first[1].items():
        assert (grad == second[1][name]).all(), name


@pytest.mark.parametrize("kind", ["dual", "henasy"])
def test_joint_contrast_of_parts_has_the_gradients_of_the_whole_batch(kind: str, both: list[dict[str, Any]]) -> None:
    alone = gradients(ALONE, kind, 1)
    assert_same(gradients(ALONE, kind, 2), alone)
    assert_same(both[0]["gradients"][kind, 2], alone)


def test_joint_contrast_repeats_the_noise_of_each_part() -> None:
    objective = objective_of("henasy", ALONE)
    objective.model.train()
    part = rows_of(whole_batch(), Share(0, 2))
    seen: list[Tensor] = []

    def embed(part: TrainBatch) -> Any:
        seen.append(real(part))
        return seen[-1]

    real, objective.embed = objective.embed, embed
    torch.manual_seed(5)
    jointly(objective, [part, part])
    # Attention without gradients rounds elsewhere in the last bit.
    for first, again in zip(seen[:2], seen[2:], strict=True):
        torch.testing.assert_close(first.entities, again.entities.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(seen[0].entities, seen[1].entities, rtol=1e-2), "the same clips, other noise"


@pytest.mark.parametrize("kind", ["dual", "henasy"])
def test_recomputed_blocks_have_the_same_gradients(kind: str) -> None:
    def noisy(is_recomputing: bool) -> dict[str, Any]:
        objective = objective_of(kind, ALONE)
        objective.model.train()
        num_blocks = recompute_blocks(objective.model) if is_recomputing else 0
        assert num_blocks == ({"dual": 3 + 2, "henasy": 2 + 2 + 1 + 2}[kind] if is_recomputing else 0)
        torch.manual_seed(5)
        objective(whole_batch())["loss"].backward()
        return {name: p.grad for name, p in objective.model.named_parameters() if p.grad is not None}

    plain, recomputed = noisy(False), noisy(True)
    assert set(plain) == set(recomputed)
    for name, grad in plain.items():
        assert torch.equal(grad, recomputed[name]), name


def exchanged(peers: Peers) -> dict[str, Any]:
    """What the processes exchange, in one go."""
    rank = peers.rank
    rows = torch.full((2 * rank, 3), float(rank), requires_grad=True)
    flags = torch.ones(2 * rank, dtype=torch.bool)
    together, are = peers.gather(rows, flags)
    together.sum().backward()
    nothing = peers.gather(torch.zeros(0, 2))[0]
    counted = peers.of_all(CountedLoss(torch.tensor(2.0 + rank), 1 + 2 * rank), CountedLoss(torch.tensor(0.0), 0))
    unused, used = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    if rank == 0:
        used.grad = torch.tensor([2.0, 4.0])
    peers.average_gradients([unused, used])
    state = {"step": rank, "held": [{"a": torch.tensor([1.5 + rank])}], "none": None}
    return {
        "together": together.detach().tolist(),
        "flags": are.tolist(),
        "grad": rows.grad.tolist(),
        "nothing": tuple(nothing.shape),
        "counted": [(peers.average({"x": float(one.value)})["x"], one.num_terms) for one in counted],
        "grads": (unused.grad, used.grad.tolist()),
        "state": peers.copy_state(state, CPU),
        "largest": peers.largest(float(rank)),
        "nan": peers.average({"a": math.nan if rank else 1.0, "b": float(rank)}),
        "failures": [
            _said(lambda: peers.together(_fails_on(rank, 1))),
            _said(lambda: peers.on_main(_fails_on(rank, 0))),
        ],
        "order": peers.main_first(lambda: rank),
    }


def _fails_on(rank: int, failing: int) -> Callable[[], int]:
    def action() -> int:
        if rank == failing:
            raise ConfigError("no such clip")
        return rank

    return action


def _said(action: Callable[[], Any]) -> str:
    try:
        action()
    except HenasyError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def test_processes_exchange_rows_counts_gradients_states_and_errors(both: list[dict[str, Any]]) -> None:
    first, second = (one["exchanged"] for one in both)
    for one in (first, second):
        assert one["together"] == [[1.0] * 3] * 2
        assert one["flags"] == [True, True]
        assert one["nothing"] == (0, 2)
        # 1 of value 2 and 3 of value 3; and nothing at all
        assert one["counted"] == [(pytest.approx(11 / 4), 4), (0.0, 0)]
        assert one["grads"] == (None, [1.0, 2.0])
        assert one["state"] == {"step": 0, "held": [{"a": torch.tensor([1.5])}], "none": None}
        assert one["largest"] == 1.0
        assert math.isnan(one["nan"]["a"])
        assert one["nan"]["b"] == 0.5
    # the mean over the two processes takes back the factor
    assert (first["grad"], second["grad"]) == ([], [[2.0] * 3] * 2)
    assert first["failures"] == ["TrainingError: process 1 of 2: no such clip", "ConfigError: no such clip"]
    assert second["failures"] == ["ConfigError: no such clip", "TrainingError: no such clip"]
    assert (first["order"], second["order"]) == (0, 1)


class Line(nn.Module):
    """A linear map with dropout, so that a step depends on the random state."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(nn.functional.dropout(x, 0.3, training=self.training))
        return out


class LineShares:
    """Each process's rows of batches that depend on the step; in `bad_step` one process has a NaN, or fails."""

    def __init__(self, share: Share, bad: tuple[str, int] | None) -> None:
        self.share, self.bad = share, bad

    def batch(self, step: int, part: int, device: torch.device) -> Tensor:
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step * 10 + part))[self.share.rows(4)]
        if self.bad is not None and step >= self.bad[1] and self.share.rank == self.share.size - 1:
            if self.bad[0] == "fails":
                raise ConfigError("no such clip")
            x = x * math.nan
        return x


def train_line(peers: Peers, folder: Path, bad: tuple[str, int] | None) -> tuple[str, list[float], list[str]]:
    """The error if any, the final weights, and what was reported."""
    said: list[str] = []
    model = Line(seed=peers.rank)  # the main process's weights must win
    own = folder if peers.is_main else folder / "elsewhere"  # the others need not see its files

    def objective(x: Tensor) -> dict[str, Tensor]:
        return {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    config = TrainConfig(num_steps=9, batch_size=4, learning_rate=0.05, checkpoint_every=4, log_every=1)
    trainer = Trainer(
        config,
        model=model,
        objective=objective,
        source=LineShares(peers.share, bad),
        folder=own,
        device=CPU,
        evaluate=lambda: {"norm": float(model.layer.weight.detach().norm())},
        peers=peers,
        report=said.append,
    )
    error = _said(trainer.run)
    return error, model.layer.weight.detach().flatten().tolist(), said


def test_two_processes_resume_exactly_and_stop_together(both: list[dict[str, Any]], folder: Path) -> None:
    main, other = both
    assert main["undisturbed"][0] == other["undisturbed"][0] == "nothing"
    assert main["undisturbed"][1] == other["undisturbed"][1]
    assert other["undisturbed"][2] == []
    message = "TrainingError: step 6: not finite: {'loss': nan}; the step was not applied"
    assert main["nan"][0] == other["nan"][0] == message
    assert main["nan"][1] == other["nan"][1]
    assert main["fails"][0] == "TrainingError: process 1 of 2: no such clip"
    assert other["fails"][0] == "ConfigError: no such clip"
    assert main["resumed"][2][0] == "going on from step 4 of 9"
    assert [one["resumed"][1] for one in both] == [one["undisturbed"][1] for one in both]
    assert not (folder / "b" / "elsewhere").exists()


def test_one_process_goes_on_where_two_were_and_says_so(both: list[dict[str, Any]], folder: Path) -> None:
    shutil.rmtree(folder / "b" / "step-00000009")
    error, _, said = train_line(ALONE, folder / "b", None)
    assert error == "nothing"
    assert "2 processes came so far, 1 go on" in said[1]


def test_share_deals_out_anchors_with_their_negatives() -> None:
    assert Share(1, 2).rows(4).tolist() == [2, 3, 6, 7]
    with pytest.raises(ConfigError, match="5 anchors in a part; it must be a multiple of the 2 processes"):
        Share(0, 2).rows(5)


def test_trainer_refuses_a_batch_that_cannot_be_dealt_out(tmp_path: Path) -> None:
    model = Line(0)
    config = TrainConfig(num_steps=1, batch_size=6, num_micro_batches=2)
    with pytest.raises(ConfigError, match="batch_size is 6; it must be a multiple of num_micro_batches=2 times the 2"):
        Trainer(
            config,
            model=model,
            objective=lambda x: {"loss": x},
            source=LineShares(Share(), None),
            folder=tmp_path,
            device=CPU,
            peers=Peers(0, 2),
        )


def test_own_device_names_what_is_allowed() -> None:
    assert own_device("cpu") == CPU
    with pytest.raises(ConfigError, match="device is 'gpu'; allowed: cpu, cuda, cuda:N, auto"):
        own_device("gpu")


def test_on_main_alone_is_a_plain_call() -> None:
    with pytest.raises(TrainingError, match="plain"):
        ALONE.on_main(lambda: (_ for _ in ()).throw(TrainingError("plain")))
