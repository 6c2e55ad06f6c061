"""Continued training on a rendered archive: its swapped narrations, and the command from archive to checkpoint."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.training_note import TrainingNote
from henasy.commands.train import main
from henasy.errors import ConfigError
from henasy.model.build import build_dual
from henasy.model.config import DualConfig, TextConfig, VisionConfig
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.scenes.household.swaps import Said, noun_swaps, verb_swaps
from henasy.scenes.household.verbs import TWINS
from henasy.text.tokenizer import train_tokenizer
from henasy.training.clip_cache import read_narrations
from henasy.training.config import TrainConfig
from henasy.training.continued_sources import archive_clips
from henasy.training.egoncepp import CacheCaptions
from henasy.training.log import read_log
from henasy.video.preprocess import PreprocessSpec

ARCHIVE = ArchiveConfig(seed=6, num_videos=3, video_s=40.0, width_px=64, height_px=36, fps=4)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_archive(ARCHIVE, folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def base(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_base(archive, tmp_path_factory.mktemp("base") / "checkpoint", num_frames=2)


def random_base(archive: Path, folder: Path, *, num_frames: int) -> Path:
    """A small random dual encoder that reads the archive's narrations."""
    texts = [said.text for said in read_narrations(archive)]
    tokenizer = train_tokenizer(texts, vocab_size=700, context_length=32)
    config = DualConfig(
        vision=VisionConfig(image_px=24, patch_px=8, width=16, depth=2, heads=2, num_frames=num_frames),
        text=TextConfig(width=12, heads=2, layers=1, context_length=32, vocab_size=tokenizer.vocab_size),
        joint_dim=8,
    )
    torch.manual_seed(0)
    spec = PreprocessSpec(image_px=24, mean=(100.0,) * 3, std=(50.0,) * 3, is_antialiased=True)
    note = TrainingNote(summary="Random.", is_random=True)
    save_checkpoint(folder, Checkpoint(model=build_dual(config).eval(), spec=spec, tokenizer=tokenizer, training=note))
    return folder


def test_swapped_narrations_are_those_of_the_narrations(archive: Path, base: Path, tmp_path: Path) -> None:
    train = TrainConfig(num_steps=1, batch_size=2)
    clips = archive_clips(archive, tmp_path, read_checkpoint(base), train, num_workers=1, report=lambda line: None)
    with (archive / "narrations.csv").open(newline="") as stream:
        rows = sorted(
            csv.DictReader(stream, delimiter="\t"), key=lambda row: (row["video_uid"], float(row["clip_start"]))
        )
    captions = clips.captions.captions(np.arange(len(rows)))
    for row, (told, caption) in enumerate(zip(rows, captions, strict=True)):
        said = Said(told["clip_text"], told["verb_label"], told["noun"], told["hand"])
        assert caption.text == said.text
        for asked, expected in ((clips.swaps.verb_swaps, verb_swaps), (clips.swaps.noun_swaps, noun_swaps)):
            swaps = asked(row, caption, np.random.default_rng(row), 10)
            assert len(set(swaps)) == 10
            assert swaps == expected(said, np.random.default_rng(row), 10)


def test_archive_that_models_are_judged_on_is_refused(archive: Path, base: Path, tmp_path: Path) -> None:
    other = tmp_path / "test"
    write_archive(replace(ARCHIVE, split="test", num_videos=1, video_s=10.0), other, workers=1)
    train = TrainConfig(num_steps=1, batch_size=2)
    with pytest.raises(ConfigError, match="is of the split 'test'"):
        archive_clips(other, tmp_path / "c", read_checkpoint(base), train, num_workers=1, report=lambda line: None)


def test_command_takes_parts_of_a_step_under_one_contrast(archive: Path, base: Path, tmp_path: Path) -> None:
    arguments = [str(base), "--archive", str(archive), "--cache", str(tmp_path / "cache")]
    arguments += ["--steps", "2", "--batch-size", "4", "--precision", "float32", "--rank", "2"]
    losses = {}
    parts = ["--micro-batches", "2"]
    for name, options in (("parts", parts), ("joint", [*parts, "--joint-contrast"])):
        out = ["--out", str(tmp_path / name)]
        called = CliRunner().invoke(main, ["egoncepp", *arguments, *out, *options], catch_exceptions=False)
        assert called.exit_code == 0, called.output
        assert (tmp_path / name / "checkpoint" / "model.safetensors").is_file()
        lines = [line for line in read_log(tmp_path / name / "log.jsonl") if "loss" in line]
        assert lines[0]["swaps_per_clip"] == 20
        losses[name] = lines[0]["loss"]
    stored = (tmp_path / "joint" / "run.json").read_text()
    for setting in ('"spares_same_action": true', '"learning_rate": 0.001', '"is_joint_contrast": true'):
        assert setting in stored
    assert losses["joint"] > losses["parts"]  # eight captions to be told from, not four


def test_command_leaves_single_frames_without_a_direction(archive: Path, tmp_path: Path) -> None:
    still = random_base(archive, tmp_path / "still", num_frames=1)
    arguments = [str(still), "--archive", str(archive), "--out", str(tmp_path / "run"), "--steps", "1"]
    called = CliRunner().invoke(main, ["egoncepp", *arguments, "--batch-size", "2", "--precision", "float32"])
    assert called.exit_code == 0, called.output
    assert '"backwards": 0.0' in (tmp_path / "run" / "run.json").read_text()


def test_clips_played_backwards_have_the_captions_and_swaps_of_what_undoes_them(
    archive: Path, base: Path, tmp_path: Path
) -> None:
    train = TrainConfig(num_steps=1, batch_size=2, backwards=1.0)
    clips = archive_clips(archive, tmp_path, read_checkpoint(base), train, num_workers=1, report=lambda line: None)
    assert isinstance(clips.captions, CacheCaptions)
    cache = clips.captions.cache
    undone = np.flatnonzero(cache.told.has_undone)
    assert len(undone) >= 5
    rows = np.concatenate([clips.source.batch(step, 0, torch.device("cpu")).rows.numpy() for step in range(5)])
    assert (rows >= len(cache)).sum() == cache.told.has_undone[rows % len(cache)].sum() > 0
    forwards, backwards = clips.captions.captions(undone), clips.captions.captions(undone + len(cache))
    for row, before, after in zip(undone, forwards, backwards, strict=True):
        verbs = {cache.verbs[said.verbs[0]] for said in (before, after)}
        assert verbs in [{verb, twin} for verb, twin in TWINS.items()]
        swaps = clips.swaps.verb_swaps(int(row) + len(cache), after, np.random.default_rng(0), 200)
        assert after.text not in swaps
        assert before.text in swaps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--annotations, --videos, --taxonomy missing: give --archive"),
        (["--annotations", "a.csv", "--videos", "v"], "--taxonomy missing"),
        (["--archive", "a", "--videos", "v"], "--archive cannot be used together with --videos"),
        (["--archive", "a", "--crop", "whole"], "--archive cannot be used together with --crop"),
        (["--archive", "a", "--max-missing-share", "0.5"], "cannot be used together with --max-missing-share"),
        (["--archive", "a", "--best", "egomcq_inter"], "--best egomcq_inter: the evaluations give no scores"),
        (["--archive", "a", "--rank", "0"], "rank is 0"),
        (["--archive", "a", "--verb-swaps", "-1"], "num_verb_swaps is -1"),
        (["--archive", "a", "--temperature", "0"], "temperature is 0"),
        (["--archive", "a", "--device", "gpu"], "device is 'gpu'"),
        (["--archive", "nowhere"], "nowhere"),
        (["--archive", "a", "--evaluate", "grounding"], "grounding: needs entities, which a model of kind dual lacks"),
    ],
)
def test_command_refuses_what_it_cannot_do(base: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    called = CliRunner().invoke(main, ["egoncepp", str(base), "--out", str(tmp_path / "run"), *arguments])
    assert called.exit_code == 1, called.output
    assert message in called.output
