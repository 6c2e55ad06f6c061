"""The two retrieval benchmarks on embeddings made elsewhere: right numbers, and a clear refusal of wrong files."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.evaluation.annotations.epic100 import SENTENCE_FILE, TEST_FILE
from henasy.evaluation.metrics.mir import mir_scores


@pytest.fixture
def epic_folder(tmp_path: Path) -> Path:
    header = "narration_id,video_id,start_timestamp,stop_timestamp,narration,verb_class,all_noun_classes"
    rows = [f"P01_1_{i},P01_1,00:00:0{i}.00,00:00:0{i}.50,do {i},{i % 3},[{i % 2}]" for i in range(6)]
    (tmp_path / TEST_FILE).write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / SENTENCE_FILE).write_text("narration_id,narration\n" + "".join(f"P01_1_{i},do {i}\n" for i in range(6)))
    return tmp_path


@pytest.fixture
def mcq_file(tmp_path: Path, golden_dir: Path) -> Path:
    golden = np.load(golden_dir / "egomcq_small.npz")
    clip = {"video_uid": "v", "clip_start": 0.0, "clip_end": 1.0}
    questions = {
        str(row): {
            "answer": int(golden["labels"][row]),
            "types": int(golden["types"][row]),
            "query": {"clip_text": "#C C opens the drawer"},
            "choices": {str(choice): clip for choice in range(5)},
        }
        for row in range(len(golden["labels"]))
    }
    path = tmp_path / "egomcq.json"
    path.write_text(json.dumps(questions))
    return path


def save(folder: Path, **arrays: Any) -> list[Path]:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [folder / f"{name}.npy" for name in arrays]


def test_ek100_features_give_the_metric_of_their_cosines(epic_folder: Path, tmp_path: Path, run_script: Any) -> None:
    rng = np.random.default_rng(0)
    videos, texts = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    out = tmp_path / "out" / "scores.json"
    files = save(tmp_path, videos=videos, texts=texts)
    result = run_script("ek100_mir.py", "--annotations", epic_folder, "--features", *files, "--json", out)
    assert result.exit_code == 0, result.output
    assert "not the published test set" in result.output
    assert "HelpingHands" in result.output
    cosine = (videos / np.linalg.norm(videos, axis=1)[:, None]) @ (texts / np.linalg.norm(texts, axis=1)[:, None]).T
    verb, noun = np.arange(6) % 3, np.arange(6) % 2
    relevancy = 0.5 * (verb[:, None] == verb) + 0.5 * (noun[:, None] == noun)
    written = json.loads(out.read_text())
    for name, value in mir_scores(cosine, relevancy).as_fractions().items():
        assert written[name] == pytest.approx(value, abs=1e-12)
    assert len(written["facts"]["relevancy sha256"]) >= 64


def test_egomcq_features_give_golden_accuracies(
    mcq_file: Path, tmp_path: Path, golden_dir: Path, run_script: Any
) -> None:
    golden = np.load(golden_dir / "egomcq_small.npz")
    files = save(tmp_path, choices=golden["preds"][..., None], texts=np.ones((len(golden["preds"]), 1)))
    out = tmp_path / "scores.json"
    arguments = ("--annotations", mcq_file, "--features", *files, "--similarity", "dot", "--json", out)
    result = run_script("egomcq.py", *arguments)
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    assert 100 * written["inter"] == pytest.approx(float(golden["accuracy_type1_inter"]), abs=1e-12)
    assert 100 * written["intra"] == pytest.approx(float(golden["accuracy_type2_intra"]), abs=1e-12)


def nan_row(rows: int) -> np.ndarray:
    array = np.ones((rows, 4))
    array[3, 1] = np.nan
    return array


@pytest.mark.parametrize(
    ("videos", "texts", "message"),
    [
        (np.ones((5, 4)), np.ones((6, 4)), r"videos.npy has shape \(5, 4\), must be \(6, d\)"),
        (np.ones((6, 4)), np.ones((6, 4, 1)), r"texts.npy has shape \(6, 4, 1\)"),
        (np.ones((6, 4)), np.ones((6, 5)), "video features are 4 wide, text features 5"),
        (nan_row(6), np.ones((6, 4)), "videos.npy has NaN or infinity in row 3"),
        (np.ones((6, 4)), np.zeros((6, 4)), "row 0 has length 0"),
        (np.ones((6, 4), int), np.ones((6, 4)), "holds int64, must be a float array"),
        (np.full((6, 4), None), np.ones((6, 4)), "not a plain .npy array"),
    ],
)
def test_ek100_refuses_features(
    epic_folder: Path, tmp_path: Path, run_script: Any, videos: np.ndarray, texts: np.ndarray, message: str
) -> None:
    files = save(tmp_path, videos=videos, texts=texts)
    result = run_script("ek100_mir.py", "--annotations", epic_folder, "--features", *files)
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output


FEATURES = ("--annotations", "x", "--features", "a", "b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--features", "a.npy", "b.npy"), "needs --annotations"),
        (("--annotations", "x"), "needs --videos and --model"),
        (("--annotations", "x", "--features", "a", "b", "--videos", "v"), "cannot be used together with --videos"),
        (("--annotations", "x", "--features", "a", "b", "--frames", 16), "cannot be used together with --frames"),
        ((*FEATURES, "--device", "cuda"), "--features: cannot be used together with --device"),
        ((*FEATURES, "--model", "m"), "--features: cannot be used together with --model"),
        ((*FEATURES, "--archive", "a"), "--features: cannot be used together with --archive"),
        ((*FEATURES, "--no-cache"), "--features: cannot be used together with --no-cache"),
        ((*FEATURES, "--allow-missing"), "--features: cannot be used together with --allow-missing"),
        (("--allow-missing",), "rendered scenes: cannot be used together with --allow-missing"),
        (("--annotations", "nowhere", "--features", "a", "b"), "no EPIC_100_retrieval_test.csv in nowhere"),
    ],
)
def test_ek100_refuses_options(run_script: Any, arguments: tuple[str, ...], message: str) -> None:
    result = run_script("ek100_mir.py", *arguments)
    assert result.exit_code == 1
    assert message in result.output


@pytest.mark.parametrize("script", ["egomcq", "egonlq", "egomq", "phrasing", "grounding", "own_archive"])
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--model", "nope", "nope: no such folder"), ("--device", "nope", "device is 'nope'")],
)
def test_a_wrong_model_shows_before_scenes_are_rendered(
    run_script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, option: str, value: str, message: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = run_script(f"{script}.py", option, value)
    assert result.exit_code == 1
    assert message in result.output
    assert not list(tmp_path.iterdir())


def test_ek100_refuses_an_output_it_cannot_write(epic_folder: Path, tmp_path: Path, run_script: Any) -> None:
    files = save(tmp_path, videos=np.eye(6), texts=np.eye(6))
    (tmp_path / "file").write_text("")
    arguments = ("--annotations", epic_folder, "--features", *files, "--json", tmp_path / "file" / "scores.json")
    result = run_script("ek100_mir.py", *arguments)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("Error: ")
