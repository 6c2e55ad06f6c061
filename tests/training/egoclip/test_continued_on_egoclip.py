"""EgoNCE++ on EgoClip's files by the command: words swapped by the taxonomy, then captions from a file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_egoclip import Row, write_annotations, write_grey, write_taxonomy

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import save_checkpoint
from henasy.checkpoint.random_weights import random_checkpoint
from henasy.commands.train_egoncepp import egoncepp as command
from henasy.commands.train_swaps import swaps as swaps_command
from henasy.training.log import read_log

pytest.importorskip("peft")

TEXTS = {
    "#C C picks the cup": ("[0]", "[0]"),
    "#C C washes the knife": ("[2]", "[1]"),
    "#C C looks around": ("[]", "[]"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two grey videos with six clips each, their taxonomy, and a random dual encoder."""
    folder = tmp_path_factory.mktemp("egoclip")
    rows = []
    for video in ("a", "b"):
        write_grey(folder / "videos" / f"{video}.mp4", num_frames=80)
        for start, (text, (verb, noun)) in zip(range(6), list(TEXTS.items()) * 2, strict=True):
            rows.append(Row(video, start + 0.5, start + 1.5, text, verb, noun, video_s=8.0))
    write_annotations(folder / "egoclip.csv", rows)
    write_taxonomy(folder / "taxonomy")
    save_checkpoint(folder / "dual", random_checkpoint("tiny", "dual", seed=1))
    return folder


def arguments(files: Path, run: Path) -> list[str]:
    return [
        *(str(files / "dual"), "--out", str(run), "--annotations", str(files / "egoclip.csv")),
        *("--videos", str(files / "videos"), "--taxonomy", str(files / "taxonomy"), "--cache", str(files / "cache")),
        *("--steps", "2", "--batch-size", "2", "--rank", "2", "--precision", "float32", "--device", "cpu"),
        *("--workers", "1", "--verb-swaps", "2", "--noun-swaps", "2"),
    ]


def test_command_trains_on_annotated_clips(files: Path, tmp_path: Path) -> None:
    called = CliRunner().invoke(command, arguments(files, tmp_path / "run"))
    assert called.exit_code == 0, called.output
    encoder = load_encoder(tmp_path / "run" / "checkpoint")
    assert encoder.kind == "dual"
    assert "12 clips of egoclip.csv" in encoder.card.summary
    (line,) = [line for line in read_log(tmp_path / "run" / "log.jsonl") if "loss" in line]
    # a third of the narrations has no verb or noun of the taxonomy: these clips have no swaps
    assert 0 < line["swaps_per_clip"] < 4
    assert np.isfinite(line["loss"])


def test_command_draws_from_a_file_of_swaps(files: Path, tmp_path: Path) -> None:
    made = tmp_path / "swaps.parquet"
    given = ("--annotations", str(files / "egoclip.csv"), "--taxonomy", str(files / "taxonomy"), "--out", str(made))
    assert CliRunner().invoke(swaps_command, [*given, "--count", "1"]).exit_code == 0
    called = CliRunner().invoke(command, [*arguments(files, tmp_path / "run"), "--swaps", str(made)])
    assert called.exit_code == 0, called.output
    (line,) = [line for line in read_log(tmp_path / "run" / "log.jsonl") if "loss" in line]
    assert 0 < line["swaps_per_clip"] <= 2  # the file has one of a kind


def test_command_bears_missing_videos_and_refuses_other_data(files: Path, tmp_path: Path) -> None:
    some = tmp_path / "videos"
    some.mkdir()
    shutil.copy(files / "videos" / "a.mp4", some)
    given = [str(some) if text == str(files / "videos") else text for text in arguments(files, tmp_path / "run")]
    called = CliRunner().invoke(command, given)
    assert called.exit_code == 1
    assert "(max_missing_share)" in called.output
    bearing = [*given, "--max-missing-share", "0.5", "--recompute", "--checkpoint-every", "1", "--keep", "1"]
    called = CliRunner().invoke(command, bearing)
    assert called.exit_code == 0, called.output
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    called = CliRunner().invoke(command, arguments(files, tmp_path / "run"))
    assert called.exit_code == 1
    assert "holds a run with other settings" in called.output
    assert "'data'" in called.output


def test_taxonomy_of_other_tags_is_refused(files: Path, tmp_path: Path) -> None:
    rows = [Row("a", 0.5, 1.5, "#C C picks the cup", "[7]", "[0]", video_s=8.0)]
    other = write_annotations(tmp_path / "other.csv", rows)
    changed = [str(other) if text.endswith("egoclip.csv") else text for text in arguments(files, tmp_path / "run")]
    called = CliRunner().invoke(command, changed)
    assert called.exit_code == 1
    assert "tag_verb has the id 7, the taxonomy 3 rows" in called.output
