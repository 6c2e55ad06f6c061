"""Benchmarks during training give what the benchmark's own script gives for the checkpoint folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from henasy.commands.train_evaluations import BENCHMARKS, Evaluations, folder_scores, parse_asked
from henasy.errors import ConfigError, HenasyError, NotFoundError
from henasy.evaluation.rendered import archives
from henasy.evaluation.rendered.layouts import write_layouts

CPU = torch.device("cpu")


def asked_for(*evaluate: str, best: str = "", is_allowing_missing: bool = False) -> Evaluations:
    return Evaluations(evaluate=evaluate, evaluate_every=None, best=best, is_allowing_missing=is_allowing_missing)


def never(line: str) -> None:
    raise AssertionError(line)


def test_folder_scores_are_those_of_the_scripts(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layout = write_layouts(small_archive, tmp_path)
    files = {"egomcq": layout.egomcq, "ek100_mir": layout.epic_annotations}
    asked = tuple(f"{name}={annotations},{layout.videos}" for name, annotations in files.items())
    score = folder_scores(asked_for(*asked, best="ek100_mir_mAP_avg"), CPU, report=never)
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


def test_grounding_scores_are_those_of_its_script(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "cached_archive", lambda config: small_archive)
    score = folder_scores(asked_for("grounding", best="grounding_object"), CPU, report=never)
    assert score is not None
    out = tmp_path / "grounding.json"
    arguments = ("--archive", small_archive, "--model", random_checkpoint, "--no-cache", "--json", out)
    assert run_script("grounding.py", *arguments).exit_code == 0
    written = json.loads(out.read_text())
    kinds = {"object": "noun, object", "hand": "noun, hand", "verb_phrase": "verb phrase"}
    expected = {f"grounding_{name}": written[f"{kind}/text_chosen"] for name, kind in kinds.items()}
    assert score(random_checkpoint) == pytest.approx(expected)
    masks = tmp_path / "masks.json"
    masks.write_text("[]")
    with pytest.raises(HenasyError, match=r"masks\.json"):
        folder_scores(asked_for(f"grounding={masks},{small_archive / 'videos'}"), CPU, report=never)


def test_nothing_asked_is_nothing_scored() -> None:
    assert folder_scores(asked_for(best="intra"), CPU, own_scores=("inter", "intra"), report=never) is None


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
        folder_scores(asked_for(text), CPU, report=never)


def test_wrong_files_and_scores_are_refused_before_training(small_archive: Path, tmp_path: Path) -> None:
    layout = write_layouts(small_archive, tmp_path)
    some = tmp_path / "some"
    some.mkdir()
    videos = sorted(layout.videos.glob("*.mp4"))
    for path in videos[1:]:
        (some / path.name).symlink_to(path.resolve())
    text = f"egomcq={layout.egomcq},{some}"
    with pytest.raises(NotFoundError, match=rf"1 annotated videos are not there: {videos[0].stem}; --allow-missing"):
        folder_scores(asked_for(text), CPU, report=never)
    assert folder_scores(asked_for(text, is_allowing_missing=True), CPU, report=never) is not None
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="has not one of the annotated videos"):
        folder_scores(
            asked_for(f"egomcq={layout.egomcq},{tmp_path / 'none'}", is_allowing_missing=True), CPU, report=never
        )
    (tmp_path / "egomcq.json").write_text("[]")
    with pytest.raises(HenasyError, match=r"egomcq.json"):
        folder_scores(asked_for(f"egomcq={tmp_path / 'egomcq.json'},{layout.videos}"), CPU, report=never)
    with pytest.raises(ConfigError, match="--best egomcq: the evaluations give egomcq_inter, egomcq_intra"):
        folder_scores(asked_for(f"egomcq={layout.egomcq},{layout.videos}", best="egomcq"), CPU, report=never)


def test_benchmark_that_fails_is_told_and_the_others_score(
    small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    layout = write_layouts(small_archive, tmp_path)
    videos = tmp_path / "copies"
    videos.mkdir()
    for path in layout.videos.glob("*.mp4"):
        (videos / path.name).write_bytes(path.read_bytes())
    said: list[str] = []
    asked = asked_for(f"egomcq={layout.egomcq},{videos}", f"ek100_mir={layout.epic_annotations},{layout.videos}")
    score = folder_scores(asked, CPU, report=said.append)
    assert score is not None
    sorted(videos.glob("*.mp4"))[0].write_bytes(b"no video")  # spoilt after the training began
    assert {name.partition("_m")[0] for name in score(random_checkpoint)} == {"ek100"}
    assert len(said) == 1
    assert said[0].startswith(f"  evaluation egomcq of {random_checkpoint.name} failed: VideoError: ")


def test_rendered_scenes_need_no_files() -> None:
    for name in BENCHMARKS:
        assert parse_asked(name) == (name, None, None)
