"""The two action recognition benchmarks from files to numbers, and a clear refusal of wrong files."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.checkpoint.encoder import load_encoder
from henasy.evaluation.annotations.egtea import ACTION_FILE, SPLIT_FILE, load_egtea
from henasy.evaluation.annotations.epic100 import TEST_FILE
from henasy.evaluation.annotations.epic100_actions import TRAIN_SENTENCE_FILE, load_epic_actions
from henasy.evaluation.rendered.layouts import write_layouts
from henasy.evaluation.tasks.report import RENDERED_HEADING

CLASS_NAMES = ("0:0", "0:1", "10:1", "2:0")
CLIP_CLASSES = (0, 1, 3, 2, 2, 0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def epic_folder(tmp_path: Path) -> Path:
    rows = ["narration_id,video_id,start_timestamp,stop_timestamp,narration,verb_class,all_noun_classes"]
    for row, number in enumerate(CLIP_CLASSES):
        verb, noun = CLASS_NAMES[number].split(":")
        rows.append(f"P01_1_{row},P01_1,00:00:0{row}.00,00:00:0{row}.50,do {row},{verb},[{noun}]")
    (tmp_path / TEST_FILE).write_text("\n".join(rows) + "\n")
    header = "narration_id,narration,verb_class,noun_classes,verb,nouns"
    (tmp_path / TRAIN_SENTENCE_FILE).write_text(f"{header}\nP02_1_0,do it,0,[1],do,['it']\n")
    return tmp_path


@pytest.fixture
def egtea_folder(tmp_path: Path) -> Path:
    (tmp_path / ACTION_FILE).write_text("Open fridge 1\nTake cup 2\nCut tomato 3\n")
    (tmp_path / SPLIT_FILE).write_text("a 1 1\nb 2 1\nc 1 1\nd 2 1\n")
    return tmp_path


def save(folder: Path, **arrays: Any) -> list[Path]:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [folder / f"{name}.npy" for name in arrays]


def test_ek100_cls_features_give_naive_accuracies(epic_folder: Path, tmp_path: Path, run_script: Any) -> None:
    rng = np.random.default_rng(3)
    clips, classes = rng.standard_normal((6, 3)), rng.standard_normal((4, 3))
    out = tmp_path / "scores.json"
    files = save(tmp_path, clips=clips, classes=classes)
    result = run_script("ek100_cls.py", "--annotations", epic_folder, "--features", *files, "--json", out)
    assert result.exit_code == 0, result.output
    assert "not the published test set" in result.output
    assert "HENASY" in result.output
    written = json.loads(out.read_text())
    wanted = {f"{part}_top{k}": 0.0 for part in ("action", "verb", "noun") for k in (1, 5)}
    for clip, number in zip(clips, CLIP_CLASSES, strict=True):
        cosine = [clip @ row / np.linalg.norm(clip) / np.linalg.norm(row) for row in classes]
        ranked = [CLASS_NAMES[place] for place in np.argsort(cosine)[::-1]]
        right = CLASS_NAMES[number]
        for part, names in (
            ("action", ranked),
            ("verb", list(dict.fromkeys(name.split(":")[0] for name in ranked))),
            ("noun", list(dict.fromkeys(name.split(":")[1] for name in ranked))),
        ):
            target = {"action": right, "verb": right.split(":")[0], "noun": right.split(":")[1]}[part]
            wanted[f"{part}_top1"] += (names[0] == target) / 6
            wanted[f"{part}_top5"] += (target in names[:5]) / 6
    for name, value in wanted.items():
        assert written[name] == pytest.approx(value), name
    facts = written["facts"]
    assert facts["scored"] == "6 of 6 clips"
    assert {"features sha256", "annotations sha256", "similarity", "classes"} <= set(facts)
    assert "class texts" not in facts, "they are not this run's"


def test_egtea_features_take_the_best_view(egtea_folder: Path, tmp_path: Path, run_script: Any) -> None:
    views = np.zeros((4, 2, 3))
    # the best views choose classes 0, 1, 1, 1 while the means would choose 0, 1, 0, 0
    views[0], views[1] = [[1, 0, 0], [1, 0, 0]], [[0, 1, 0], [0, 1, 0]]
    views[2], views[3] = [[0.6, 0.7, 0], [0.6, 0, 0.5]], [[0.6, 0.7, 0], [0.6, 0, 0.5]]
    out = tmp_path / "scores.json"
    files = save(tmp_path, views=views, classes=np.eye(3))
    arguments = ("--annotations", egtea_folder, "--features", *files, "--similarity", "dot", "--json", out)
    result = run_script("egtea.py", *arguments)
    assert result.exit_code == 0, result.output
    assert "not test split 1" in result.output
    written = json.loads(out.read_text())
    assert written["top1"] == pytest.approx(3 / 4)
    assert written["mean_class"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert "1 have no clip" in written["facts"]["classes"]


@pytest.mark.parametrize(
    ("script", "shape", "message"),
    [
        ("ek100_cls.py", ((5, 4), (4, 4)), r"clips.npy has shape \(5, 4\), must be \(6, d\): a row per clip"),
        ("ek100_cls.py", ((6, 4), (6, 4)), r"must be \(4, d\): a row per class, sorted by 'verb:noun'"),
        ("ek100_cls.py", ((6, 4), (4, 5)), "4 wide, text features 5"),
        ("egtea.py", ((4, 4), (3, 4)), r"must be \(4, n, d\): a row per clip of the split file, one per view"),
        ("egtea.py", ((4, 0, 4), (3, 4)), r"must be \(4, n, d\)"),
        ("egtea.py", ((4, 2, 4), (106, 4)), r"must be \(3, d\): a row per class of the action file"),
    ],
)
def test_refuses_features(
    epic_folder: Path,
    egtea_folder: Path,
    tmp_path: Path,
    run_script: Any,
    script: str,
    shape: tuple[tuple[int, ...], tuple[int, ...]],
    message: str,
) -> None:
    files = save(tmp_path, clips=np.ones(shape[0]), classes=np.ones(shape[1]))
    folder = epic_folder if script == "ek100_cls.py" else egtea_folder
    result = run_script(script, "--annotations", folder, "--features", *files)
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output


def test_refuses_nan(egtea_folder: Path, tmp_path: Path, run_script: Any) -> None:
    views = np.ones((4, 2, 3))
    views[2, 1, 0] = np.nan
    files = save(tmp_path, views=views, classes=np.eye(3))
    result = run_script("egtea.py", "--annotations", egtea_folder, "--features", *files)
    assert result.exit_code == 1
    assert "NaN or infinity in row (2, 1)" in result.output


def test_ek100_cls_on_an_archive(run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    arguments = ("ek100_cls.py", "--archive", small_archive, "--model", random_checkpoint, "--json", out)
    result = run_script(*arguments)
    assert result.exit_code == 0, result.output
    assert RENDERED_HEADING in result.output
    assert "LaViLa" not in result.output
    written = json.loads(out.read_text())
    assert 0 <= written["action_top1"] <= written["verb_top1"] <= 1
    assert written["action_top1"] <= written["action_top5"]
    assert written["facts"]["space"] == load_encoder(random_checkpoint).space_id
    first = result.output
    assert run_script(*arguments).output == first, "the cache must change nothing"
    assert run_script(*arguments, "--no-cache").output == first

    assert written["facts"]["class texts"].endswith(f"wordings from {TRAIN_SENTENCE_FILE} and {TEST_FILE}")
    layout = write_layouts(small_archive, tmp_path / "other")
    actions = load_epic_actions(layout.epic_annotations)
    assert {text for texts in actions.texts_of for text in texts} == {clip.narration for clip in actions.clips}
    assert f"{len(actions.classes)} actions" in written["facts"]["classes"]


def test_more_frames_inflate_the_temporal_embedding(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    facts = {}
    for frames in (4, 16):
        out = tmp_path / f"{frames}.json"
        arguments = ("--archive", small_archive, "--model", random_checkpoint, "--frames", frames, "--json", out)
        result = run_script("ek100_cls.py", *arguments)
        assert result.exit_code == 0, result.output
        facts[frames] = json.loads(out.read_text())["facts"]
        assert facts[frames]["frames"] == frames
        assert facts[frames]["space"] == load_encoder(random_checkpoint, num_frames=frames).space_id
    assert facts[4]["space"] != facts[16]["space"]


def test_dot_compares_the_model_s_own_embeddings(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    arguments = ("--archive", small_archive, "--model", random_checkpoint, "--similarity", "dot", "--json", out)
    result = run_script("egomcq.py", *arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["facts"]["similarity"] == "dot"


def test_egtea_on_an_archive(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("henasy.evaluation.rendered.egtea.MAX_CLIPS", 6)
    out = tmp_path / "scores.json"
    result = run_script("egtea.py", "--archive", small_archive, "--model", random_checkpoint, "--json", out)
    assert result.exit_code == 0, result.output
    assert RENDERED_HEADING in result.output
    facts = json.loads(out.read_text())["facts"]
    assert (facts["frames"], facts["clips"], facts["scored"]) == (4, 10, "6 of 6 clips")
    assert "3 crops" in facts["image"]
    (folder,) = (tmp_path / "cache" / "henasy" / "layouts").glob("egtea-*")
    assert len(load_egtea(folder).spans) == 6


def test_egtea_on_whole_files_of_which_one_is_missing(
    run_script: Any, small_archive: Path, random_checkpoint: Path, egtea_folder: Path
) -> None:
    videos = egtea_folder / "videos"
    shutil.copytree(small_archive / "videos", videos)
    gone, *rest = sorted(videos.iterdir())
    lines = [f"{path.stem} {1 + number % 2} 1" for number, path in enumerate((gone, *rest[:2]))]
    (egtea_folder / SPLIT_FILE).write_text("\n".join(lines) + "\n")
    gone.unlink()
    out = egtea_folder / "scores.json"
    arguments = ("--annotations", egtea_folder, "--videos", videos, "--model", random_checkpoint, "--json", out)
    stopped = run_script("egtea.py", *arguments)
    assert stopped.exit_code == 1
    assert f"1 annotated videos are not there: {gone.stem}" in stopped.output
    allowed = run_script("egtea.py", *arguments, "--allow-missing")
    assert allowed.exit_code == 0, allowed.output
    assert "HelpingHands" in allowed.output
    facts = json.loads(out.read_text())["facts"]
    assert facts["scored"] == "2 of 3 clips"
    assert facts["frames"] == 16, "the protocol's number, not the checkpoint's"
    assert f"no file of video {gone.stem}" in facts["refused"]
    assert "of which 1 have no clip" in facts["classes"]
