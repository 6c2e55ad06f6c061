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
from henasy.evaluation.rendered import read_rendered_clips
from henasy.model.build import build
from henasy.model.config import tiny
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
    sys.modules.pop("source_options", None)


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short rendered test videos."""
    folder = tmp_path_factory.mktemp("archive")
    config = ArchiveConfig(seed=11, num_videos=6, video_s=14.0, width_px=128, height_px=72, fps=8, split="test")
    write_archive(config, folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory, small_archive: Path) -> Path:
    """A checkpoint of the shipped one's kind with random weights."""
    texts = [clip.text for clip in read_rendered_clips(small_archive)]
    tokenizer = train_tokenizer(texts, vocab_size=560, context_length=tiny().dual.text.context_length)
    config = tiny(vocab_size=tokenizer.vocab_size)
    torch.manual_seed(0)
    spec = PreprocessSpec(image_px=config.dual.vision.image_px, mean=(110.0,) * 3, std=(70.0,) * 3)
    folder = tmp_path_factory.mktemp("checkpoint") / "random"
    model = build(config).eval()
    note = TrainingNote(summary="random weights of a test", is_random=True)
    save_checkpoint(folder, Checkpoint(model=model, spec=spec, tokenizer=tokenizer, training=note))
    return folder
