"""EgoNLQ from files to results: predictions, features made elsewhere, the head that is kept, windows of videos."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from henasy.checkpoint.encoder import load_encoder
from henasy.errors import CheckpointError, HenasyError, InputError, NotFoundError, SpaceMismatchError
from henasy.evaluation.annotations.egonlq import EgoNlq, NlqClip, load_egonlq
from henasy.evaluation.encoding.clip_features import clip_windows
from henasy.evaluation.encoding.source import SourceOptions
from henasy.evaluation.span_tasks import egonlq_encoded
from henasy.evaluation.span_tasks.egonlq_encoded import NlqOptions, run
from henasy.evaluation.span_tasks.egonlq_run import PUBLISHED_QUESTIONS, questions_digest, score_file
from henasy.evaluation.span_tasks.nlq_features import NlqFeatures, load_nlq_features
from henasy.evaluation.span_tasks.nlq_predictions import write_nlq_predictions
from henasy.evaluation.span_tasks.nlq_search import search_moments
from henasy.evaluation.tasks.result import BenchmarkResult
from henasy.heads.vslnet_training import VslNetTraining
from henasy.text.wording import Wording
from henasy.video.video_files import VideoFiles

TEXTS = ("stirring the mug with a spoon", "opening the jar", "wiping the plate with a sponge", "pushing the pan away")
CLIP_S, RATE = 60.0, 1.0
MODEL = "henasy-tiny"
DEFAULT = VslNetTraining()
SHORT = replace(
    DEFAULT,
    num_positions=32,
    hidden=16,
    train=replace(DEFAULT.train, num_steps=60, learning_rate=3e-3, num_warmup_steps=5, checkpoint_every=60),
)


@pytest.fixture(autouse=True)
def _short_training(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """The real training, only shorter, and once for all tests: they find the head in a cache of their own."""
    monkeypatch.setattr(egonlq_encoded, "VslNetTraining", lambda: SHORT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training clips and two validation clips; while an action lasts, features are the text's own embedding."""
    folder = tmp_path_factory.mktemp("task")
    vectors = load_encoder(MODEL).encode_texts(TEXTS)
    rng = np.random.default_rng(0)
    (folder / "features").mkdir()
    for split, count in (("train", 8), ("val", 2)):
        videos = [_video(f"{split}{number}", folder, vectors, rng) for number in range(count)]
        (folder / f"nlq_{split}.json").write_text(json.dumps({"version": "1", "videos": videos}))
    return folder


def _video(uid: str, folder: Path, vectors: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    features = 0.05 * rng.standard_normal((int(CLIP_S * RATE), vectors.shape[1]))
    queries = []
    for place, row in enumerate(rng.permutation(len(TEXTS))[:3]):
        start = 20 * place + int(rng.integers(0, 8))
        end = start + int(rng.integers(4, 11))
        features[start:end] += vectors[row]
        queries.append({"clip_start_sec": float(start), "clip_end_sec": float(end), "query": TEXTS[row]})
    np.save(folder / "features" / f"{uid}.npy", features.astype(np.float32))
    clip = {"clip_uid": uid, "video_start_sec": 30.0, "video_end_sec": 30.0 + CLIP_S}
    clip["annotations"] = [{"annotation_uid": f"{uid}-a", "language_queries": queries}]
    return {"video_uid": f"video-{uid}", "clips": [clip]}


def options(annotations: Path | None, **changes: Any) -> SourceOptions:
    given: dict[str, Any] = {
        "annotations": annotations,
        "videos": None,
        "model": MODEL,
        "device": "cpu",
        "num_frames": None,
        "features": None,
        "similarity": "cosine",
        "archive": None,
        "is_allowing_missing": False,
    }
    return SourceOptions(**given | changes)


def score_head(folder: Path, nlq: NlqOptions, **changes: Any) -> BenchmarkResult:
    results = run(options(folder, **changes), nlq, lambda _: None)
    assert list(results) == ["head"]
    return results["head"]


def test_a_head_learns_and_its_predictions_score_the_same(task: Path, tmp_path: Path) -> None:
    given = NlqOptions(features=task / "features", save_predictions=tmp_path, head=tmp_path / "kept" / "head")
    result = score_head(task, given)
    assert result.scores["miou"] > 0.3  # a span drawn by lot meets an action at about 0.1
    assert result.facts["scored"] == "6 of 6 questions"
    assert "24 questions about 8 clips" in str(result.facts["head"])
    assert "not the whole published validation set" in result.heading
    assert result.published
    again = score_file(task, tmp_path / "head.json", is_allowing_missing=False)
    assert again.scores == pytest.approx(result.scores, abs=1e-9)
    # the kept head needs no training file
    shutil.copy(task / "nlq_val.json", tmp_path / "only_val.json")
    kept = score_head(tmp_path / "only_val.json", replace(given, save_predictions=None))
    assert kept.scores == result.scores


def test_a_head_is_trained_once(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = score_head(task, NlqOptions(features=task / "features"))
    monkeypatch.setattr("henasy.evaluation.span_tasks.nlq_head.train_vslnet", None)
    assert score_head(task, NlqOptions(features=task / "features")).scores == first.scores


def test_a_head_of_other_features_or_steps_is_refused(task: Path, tmp_path: Path, cache: Path) -> None:
    score_head(task, NlqOptions(features=task / "features"))
    head = tmp_path / "head"
    shutil.copytree(next((cache / "henasy" / "heads").iterdir()), head)
    facts = json.loads((head / "head.json").read_text())
    facts["facts"]["space"] = "another"
    (head / "head.json").write_text(json.dumps(facts))
    with pytest.raises(SpaceMismatchError, match="another"):
        score_head(task, NlqOptions(features=task / "features", head=head))
    facts["kind"] = "proposals"
    (head / "head.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="'proposals'"):
        score_head(task, NlqOptions(features=task / "features", head=head))


def test_moment_search_finds_what_the_features_show(task: Path) -> None:
    encoder = load_encoder(MODEL)
    loaded = load_egonlq(task)
    found = load_nlq_features(loaded.clips, task / "features", is_allowing_missing=False)
    by_clip = {
        uid: one._replace(features=one.features / np.linalg.norm(one.features, axis=1, keepdims=True))
        for uid, one in found.by_clip.items()
    }
    predictions = search_moments(loaded.queries, by_clip, encoder, Wording.BARE)
    for query in loaded.queries:
        first = predictions[query.key][0]
        assert len(predictions[query.key]) <= 5
        assert abs(first[0] - query.start_s) < 1.5
        assert abs(first[1] - query.end_s) < 1.5


def test_predictions_must_answer_every_question_or_say_so(task: Path, tmp_path: Path) -> None:
    queries = load_egonlq(task).queries
    exact = {query.key: np.array([[query.start_s, query.end_s]]) for query in queries}
    file = tmp_path / "predictions.json"
    write_nlq_predictions(file, exact)
    assert set(score_file(task, file, is_allowing_missing=False).scores.values()) == {1.0}
    exact.pop(queries[2].key)
    write_nlq_predictions(file, exact)
    with pytest.raises(InputError, match=r"1 of 6 questions have no answer, the first \('val0', 'val0-a', 2\)"):
        score_file(task, file, is_allowing_missing=False)
    assert score_file(task, file, is_allowing_missing=True).facts["scored"] == "5 of 6 questions"


def test_an_answer_to_a_question_without_text_replaces_no_missing_one(task: Path, tmp_path: Path) -> None:
    content = json.loads((task / "nlq_val.json").read_text())
    content["videos"][0]["clips"][0]["annotations"][0]["language_queries"][1]["query"] = None
    annotations, file = tmp_path / "nlq_val.json", tmp_path / "predictions.json"
    annotations.write_text(json.dumps(content))
    every = [query for clip in load_egonlq(annotations).clips for query in clip.queries]
    wrong_where_unasked = {
        query.key: np.array([[query.start_s, query.end_s] if query.text else [0.0, 0.5]]) for query in every
    }
    write_nlq_predictions(file, wrong_where_unasked)
    result = score_file(annotations, file, is_allowing_missing=False)
    assert set(result.scores.values()) == {1.0}
    assert result.facts["scored"] == "5 of 5 questions"
    assert result.facts["ignored"] == "1 answers to questions without text, the first ('val0', 'val0-a', 1)"
    wrong_where_unasked.pop(every[-1].key)
    write_nlq_predictions(file, wrong_where_unasked)
    with pytest.raises(InputError, match="1 of 5 questions have no answer"):
        score_file(annotations, file, is_allowing_missing=False)
    assert score_file(annotations, file, is_allowing_missing=True).facts["scored"] == "4 of 5 questions"


def test_the_real_set_is_known_and_its_instants_are_counted(shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "data" / "ego4d"
    loaded = load_egonlq(folder)
    assert questions_digest(loaded) == PUBLISHED_QUESTIONS
    file = tmp_path / "predictions.json"
    write_nlq_predictions(file, {query.key: np.array([[query.start_s, query.end_s]]) for query in loaded.queries})
    result = score_file(folder, file, is_allowing_missing=False)
    assert result.scores["r1@0.3"] == pytest.approx((3874 - 341) / 3874)
    assert result.heading == "EgoNLQ, predictions made elsewhere, percent"
    assert result.facts["scored"] == "3874 of 3874 questions"


@pytest.mark.parametrize(
    ("nlq", "changes", "message"),
    [
        (NlqOptions(features=Path("f")), {"annotations": None}, "needs --annotations"),
        (NlqOptions(features=Path("f")), {"videos": Path("v")}, "--videos"),
        (NlqOptions(features=Path("f")), {"model": None}, "needs --model"),
        (NlqOptions(features=Path("f"), is_search_only=True), {}, "--search-only"),
        (NlqOptions(predictions=Path("p"), num_steps=3), {"model": None}, "--steps"),
        (NlqOptions(predictions=Path("p")), {}, "--model"),
        (NlqOptions(predictions=Path("p")), {"model": None, "num_frames": 8}, "--frames"),
        (NlqOptions(predictions=Path("p")), {"model": None, "is_cached": False}, "--no-cache"),
        (NlqOptions(predictions=Path("p")), {"model": None, "device": "cuda"}, "--device"),
        (NlqOptions(features=Path("f")), {"num_frames": 8}, "--features: cannot be used together with --frames"),
        (NlqOptions(features=Path("f")), {"is_cached": False}, "--features: cannot be used together with --no-cache"),
        (NlqOptions(is_search_only=True, num_steps=3), {}, "--search-only: cannot be used together with --steps"),
        (NlqOptions(is_search_only=True, head=Path("h")), {}, "--search-only: cannot be used together with --head"),
        (NlqOptions(predictions=Path("p")), {"annotations": None, "model": None}, "needs --annotations"),
    ],
)
def test_options_that_exclude_each_other(task: Path, nlq: NlqOptions, changes: dict[str, Any], message: str) -> None:
    given = {"annotations": task} | changes
    with pytest.raises(InputError, match=message):
        run(options(**given), nlq, lambda _: None)


def test_features_without_training_questions_make_no_head(task: Path) -> None:
    with pytest.raises(InputError, match="--train-annotations"):
        score_head(task / "nlq_val.json", NlqOptions(features=task / "features"))


def clips(count: int = 2) -> tuple[NlqClip, ...]:
    return tuple(
        NlqClip(clip_uid=f"c{row}", video_uid="v", start_s=60.0 * row, end_s=60.0 * row + 60, queries=())
        for row in range(count)
    )


def test_features_of_a_whole_video_are_cut_as_the_reference_cuts_them(tmp_path: Path) -> None:
    whole = np.arange(240, dtype=np.float32)[:, None]
    torch.save(torch.from_numpy(whole), tmp_path / "v.pt")
    found = load_nlq_features(clips(), tmp_path, is_allowing_missing=False)
    # int(60 * 30 / 16) = 112, int(120 * 30 / 16) + 1 = 226
    assert found.by_clip["c1"].features[[0, -1], 0].tolist() == [112, 225]
    assert found.by_clip["c1"].spans[-1, 1] == 60


BAD_FEATURES: dict[str, tuple[np.ndarray, str]] = {
    "NaN": (np.array([[1.0, np.nan]]), "c0.npy has NaN or infinity in row 0"),
    "one axis": (np.zeros(5), "must be"),
    "no row": (np.zeros((0, 4)), "must be"),
    "integers": (np.zeros((5, 4), np.int64), "must be"),
    "another width": (np.zeros((5, 4)), r"files are \[3, 4\] wide"),
}


@pytest.mark.parametrize("case", BAD_FEATURES)
def test_bad_features_are_refused(tmp_path: Path, case: str) -> None:
    array, message = BAD_FEATURES[case]
    np.save(tmp_path / "c0.npy", array)
    np.save(tmp_path / "c1.npy", np.zeros((9, 3)))
    with pytest.raises(InputError, match=message):
        load_nlq_features(clips(), tmp_path, is_allowing_missing=False)


def test_features_that_end_before_their_clip_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((150, 3)))
    with pytest.raises(InputError, match=r"v.npy ends before clip c1 .* rows 112 to 226"):
        load_nlq_features(clips(), tmp_path, is_allowing_missing=False)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"features": Path("x")}, tmp_path / "c0.pt")
    with pytest.raises(InputError, match=r"c0.pt is not a plain array"):
        load_nlq_features(clips(1), tmp_path, is_allowing_missing=False)


def test_missing_features_are_listed(tmp_path: Path) -> None:
    np.save(tmp_path / "c0.npy", np.zeros((9, 3)))
    with pytest.raises(NotFoundError, match=r"1 of 2 clips .*\n.*c1"):
        load_nlq_features(clips(), tmp_path, is_allowing_missing=False)
    found = load_nlq_features(clips(), tmp_path, is_allowing_missing=True)
    assert list(found.by_clip) == ["c0"]
    assert found.missing == ("clip c1: no file of features",)
    with pytest.raises(NotFoundError):
        load_nlq_features(clips()[1:], tmp_path, is_allowing_missing=True)


def test_clips_are_found_by_their_own_file_or_in_their_video() -> None:
    def files(uid: str, starts: tuple[int, ...] | None = None) -> VideoFiles:
        return VideoFiles(video_id=uid, paths=(Path(f"{uid}.mp4"),), chunk_starts_s=starts)

    windows, missing = clip_windows(clips(), {"c0": files("c0"), "v": files("v")})
    assert [(window.path.name, window.start_s, window.end_s) for window in windows] == [
        ("c0.mp4", 0.0, None),
        ("v.mp4", 60.0, 120.0),
    ]
    assert not missing
    windows, missing = clip_windows(clips(), {"v": files("v", (0, 300))})
    assert not windows
    assert "in chunks" in missing[0]
    assert clip_windows(clips(1), {})[1] == ["clip c0 of video v: no file"]


def test_nothing_answered_is_an_error(task: Path) -> None:
    from henasy.evaluation.span_tasks.egonlq_run import scored_result

    with pytest.raises(HenasyError, match="not one question"):
        scored_result("head", load_egonlq(task), {}, {}, is_rendered=False)


def test_empty_clips_are_harmless() -> None:
    assert EgoNlq(path=Path("x"), clips=clips()).queries == []
    assert NlqFeatures(np.zeros((1, 2), np.float32), np.array([[0.0, 1.0]]), 1.0).entities is None


def test_a_wrong_training_file_or_head_shows_before_anything_is_encoded(task: Path, tmp_path: Path) -> None:
    videos = {"annotations": task / "nlq_val.json", "videos": tmp_path}
    with pytest.raises(NotFoundError, match=r"gone.json"):
        run(options(**videos), NlqOptions(train_annotations=tmp_path / "gone.json"), lambda _: None)
    with pytest.raises(InputError, match="--train-annotations"):
        run(options(**videos), NlqOptions(head=tmp_path / "none"), lambda _: None)
    head = tmp_path / "head"
    score_head(task, NlqOptions(features=task / "features", head=head))
    with pytest.raises(SpaceMismatchError, match=r"made elsewhere.*rate-1.87"):
        run(options(**videos), NlqOptions(head=head), lambda _: None)
