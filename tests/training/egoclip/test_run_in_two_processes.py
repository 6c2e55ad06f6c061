"""A training on EgoClip's files shared by two processes: cut, gone on with, with clips that cannot be read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gloo import in_processes
from small_egoclip import Row, write_annotations, write_grey, write_taxonomy

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import save_checkpoint
from henasy.checkpoint.random_weights import random_checkpoint
from henasy.errors import HenasyError, TrainingError
from henasy.training.config import TrainConfig
from henasy.training.distributed import Peers
from henasy.training.egoclip.config import EgoClipFiles, EgoClipRecipe
from henasy.training.egoclip.run import EgoClipRun, train_egoclip
from henasy.training.egoclip.source import EgoClipBatches
from henasy.training.log import read_log

TEXTS = (("#C C picks the cup", "[0]", "[0]"), ("#C C washes the knife", "[2]", "[1]"), ("#C C looks", "[]", "[]"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos in chunks of 4 s, six clips each; a chunk of one of them is no video."""
    folder = tmp_path_factory.mktemp("egoclip")
    rows = []
    for video in ("a", "b", "c", "d"):
        for number in range(2):
            write_grey(folder / "videos" / video / f"{number}.mp4", num_frames=40, first=40 * number)
        for start, (text, verb, noun) in enumerate(TEXTS * 2):
            rows.append(Row(video, start + 0.5, start + 1.5, text, verb, noun, video_s=8.0))
    (folder / "videos" / "c" / "1.mp4").write_bytes(b"no video")
    write_annotations(folder / "egoclip.csv", rows)
    write_taxonomy(folder / "taxonomy")
    save_checkpoint(folder / "dual", random_checkpoint("tiny", "dual", seed=1))
    return folder


def make_run(data: Path, out: Path) -> EgoClipRun:
    return EgoClipRun(
        files=EgoClipFiles(data / "egoclip.csv", data / "videos", data / "taxonomy"),
        recipe=EgoClipRecipe(numbered_chunk_s=4, max_refused_share=0.05),
        train=TrainConfig(
            num_steps=4,
            batch_size=8,
            learning_rate=2e-3,
            log_every=1,
            evaluate_every=2,
            checkpoint_every=2,
        ),
        model=data / "dual",
        preset="tiny",
        out=out,
        cache=out.parent / "cache",
        num_workers=1,
    )


def train(peers: Peers, run: EgoClipRun, fails_at: int | None, has_scores: bool = True) -> str:
    """What the process ended with; the second process fails when it makes the batch of step `fails_at`."""

    def evaluate(folder: Path) -> dict[str, float]:
        if not has_scores:
            raise TrainingError("no scores")
        return {"files": float(len(list(folder.iterdir())))}

    if fails_at is not None and peers.rank == 1:
        EgoClipBatches.batch = _failing(EgoClipBatches.batch, fails_at)  # type: ignore[method-assign]
    try:
        return str(train_egoclip(run, device=torch.device("cpu"), peers=peers, evaluate=evaluate, report=quiet))
    except HenasyError as error:
        return str(error)


def quiet(line: str) -> None:
    """Takes no notice."""


def _failing(batch: Callable[..., object], fails_at: int) -> Callable[..., object]:
    def failing(self: EgoClipBatches, step: int, part: int, device: torch.device) -> object:
        if step >= fails_at:
            raise TrainingError("the disk is gone")
        return batch(self, step, part, device)

    return failing


def losses(folder: Path) -> list[dict[str, float]]:
    lines = [line for line in read_log(folder / "log.jsonl") if "loss" in line]
    return [
        {name: value for name, value in line.items() if name not in ("clips_per_s", "waiting_share")} for line in lines
    ]


def test_two_processes_cut_and_gone_on_with_repeat_the_undisturbed_run(data: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert in_processes(train, tmp_path / "m1", make_run(data, whole), None) == [str(whole / "checkpoint")] * 2
    assert in_processes(train, tmp_path / "m0", make_run(data, cut), None, False) == ["no scores"] * 2
    ended = in_processes(train, tmp_path / "m2", make_run(data, cut), 3)
    assert ended == ["process 1 of 2: the disk is gone", "the disk is gone"]
    assert (cut / "step-00000002").is_dir()
    assert not (cut / "checkpoint").exists()
    assert in_processes(train, tmp_path / "m3", make_run(data, cut), None) == [str(cut / "checkpoint")] * 2
    assert losses(cut) == losses(whole)
    assert len(losses(whole)) == 4
    scored = [json.loads((folder / "checkpoints" / "scores.json").read_text()) for folder in (whole, cut)]
    assert scored[0] == scored[1]
    assert list(scored[0]) == ["step-00000002", "step-00000004"]
    weights = [(folder / "checkpoint" / "model.safetensors").read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]
    assert load_encoder(whole / "checkpoint").kind == "henasy"
    # each process lists what it could not read: the clips of the chunk that is no video
    listed = [
        json.loads(line) for path in sorted(whole.glob("refused-?.jsonl")) for line in path.read_text().splitlines()
    ]
    assert listed
    assert all(line["video_uid"] == "c" and line["end_s"] > 4 for line in listed)
    assert json.loads((whole / "settings.json").read_text())["num_clips"] == 24
