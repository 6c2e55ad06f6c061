"""Benchmarks during training give what the benchmark's own script gives for the checkpoint folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from henasy.commands.train_evaluations import BENCHMARKS, folder_scores, parse_asked
from henasy.errors import ConfigError
from henasy.evaluation.rendered.layouts import write_layouts

CPU = torch.device("cpu")


def test_folder_scores_are_those_of_the_scripts(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layout = write_layouts(small_archive, tmp_path)
    files = {"egomcq": layout.egomcq, "ek100_mir": layout.epic_annotations}
    asked = tuple(f"{name}={annotations},{layout.videos}" for name, annotations in files.items())
    score = folder_scores(asked, CPU)
    assert score is not None
    expected: dict[str, float] = {}
    for name, annotations in files.items():
        out = tmp_path / f"{name}.json"
        arguments = ("--annotations", annotations, "--videos", layout.videos, "--model", random_checkpoint)
        assert run_script(f"{name}.py", *arguments, "--no-cache", "--json", out).exit_code == 0
        written = json.loads(out.read_text())
        expected |= {f"{name}_{key}": value for key, value in written.items() if isinstance(value, float)}
    given = score(random_checkpoint)
    assert given == pytest.approx(expected)
    assert {"egomcq_inter", "egomcq_intra", "ek100_mir_mAP_avg"} <= set(given)
    assert not (tmp_path / "cache" / "henasy" / "embeddings").exists()


def test_nothing_asked_is_nothing_scored() -> None:
    assert folder_scores((), CPU) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("egomqc", r"--evaluate egomqc: no benchmark 'egomqc'; allowed: egomcq, "),
        ("egomcq=/no/such,/tmp", r"'/no/such' does not exist; give egomcq=ANNOTATIONS,VIDEOS"),
        ("egomcq=/tmp", r"'' does not exist; give egomcq=ANNOTATIONS,VIDEOS"),
    ],
)
def test_wrong_benchmarks_are_refused_before_training(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        folder_scores((text,), CPU)


def test_rendered_scenes_need_no_files() -> None:
    for name in BENCHMARKS:
        assert parse_asked(name) == (name, None, None)
