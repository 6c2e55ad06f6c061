"""Runs a benchmark script the way a user does, in this process, and what the scripts need: an archive, a checkpoint."""

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner, Result

from henasy.checkpoint.folder import Checkpoint, save_checkpoint
from henasy.checkpoint.training_note import TrainingNote
from henasy.evaluation.rendered.layouts import read_rendered_clips
from henasy.model.build import build
from henasy.model.config import DecoderConfig, DualConfig, HenasyConfig, LocalConfig, TextConfig, VisionConfig
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.text.tokenizer import train_tokenizer
from henasy.video.preprocess import PreprocessSpec

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"
RunScript = Callable[..., Result]


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunScript]:
    """`run_script("egomcq.py", "--json", path)` and what it printed and how it ended."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("COLUMNS", "160")

    def run(name: str, *arguments: object) -> Result:
        command = runpy.run_path(str(SCRIPTS / name))["main"]
        assert isinstance(command, click.Command)
        return CliRunner().invoke(command, [str(argument) for argument in arguments])

    yield run
    for name in ("source_options", "span_options"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short rendered test videos."""
    folder = tmp_path_factory.mktemp("archive")
    config = ArchiveConfig(seed=11, num_videos=6, video_s=14.0, width_px=128, height_px=72, fps=8, split="test")
    write_archive(config, folder, workers=1)
    return folder


def small_config(vocab_size: int) -> HenasyConfig:
    """A HENASY that encodes a clip in milliseconds."""
    return HenasyConfig(
        dual=DualConfig(
            vision=VisionConfig(image_px=48, patch_px=8, width=32, depth=2, heads=2),
            text=TextConfig(width=32, heads=2, layers=1, context_length=48, vocab_size=vocab_size),
            joint_dim=24,
        ),
        local=LocalConfig(width=32, heads=2, num_group_tokens=12, num_entities=4, num_bootstrap_layers=2),
        decoder=DecoderConfig(width=32, heads=2, depth=1),
    )


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory, small_archive: Path) -> Path:
    """A small checkpoint of kind henasy with random weights."""
    texts = [clip.text for clip in read_rendered_clips(small_archive)]
    tokenizer = train_tokenizer(texts, vocab_size=560, context_length=48)
    torch.manual_seed(0)
    model = build(small_config(tokenizer.vocab_size)).eval()
    spec = PreprocessSpec(image_px=48, mean=(110.0, 110.0, 110.0), std=(70.0, 70.0, 70.0))
    note = TrainingNote(summary="random weights of a test", is_random=True)
    folder = tmp_path_factory.mktemp("checkpoint") / "random"
    save_checkpoint(folder, Checkpoint(model=model, spec=spec, tokenizer=tokenizer, training=note))
    return folder
