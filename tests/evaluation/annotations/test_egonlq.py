"""EgoNLQ: the metric against the reference's numbers, the loader against the real file, bad files of both forms."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.annotations.egonlq import QueryKey, answers_of, load_egonlq
from henasy.evaluation.metrics.nlq import nlq_scores, query_overlaps
from henasy.evaluation.span_tasks.nlq_predictions import read_nlq_predictions, write_nlq_predictions

Edit = Callable[[dict[str, Any]], None]


def annotations() -> dict[str, Any]:
    """Two clips of one video; the second question of the first has no text, that of the second clip no length."""
    asked = {"clip_start_sec": 10.0, "clip_end_sec": 20.0, "query": "where did I put the mug?"}
    mute = {"clip_start_sec": 5.0, "clip_end_sec": 5.0, "raw_tags": []}
    point = {"clip_start_sec": 30.0, "clip_end_sec": 30.0, "query": "what did I cut?"}

    def clip(uid: str, start_s: float, *queries: dict[str, Any]) -> dict[str, Any]:
        annotation = {"annotation_uid": f"{uid}-a", "language_queries": [dict(query) for query in queries]}
        return {
            "clip_uid": uid,
            "video_start_sec": start_s,
            "video_end_sec": start_s + 60,
            "annotations": [annotation],
        }

    clips = [clip("c0", -4e-7, asked, mute), clip("c1", 60.0, point)]
    return {"version": "1", "videos": [{"video_uid": "v0", "clips": clips}]}


def written(folder: Path, content: object) -> Path:
    path = folder / "nlq_val.json"
    path.write_text(json.dumps(content))
    return path


def query_of(content: dict[str, Any]) -> dict[str, Any]:
    query: dict[str, Any] = content["videos"][0]["clips"][0]["annotations"][0]["language_queries"][0]
    return query


def test_scores_equal_the_reference(golden_dir: Path, tmp_path: Path) -> None:
    golden = json.loads((golden_dir / "nlq_small.json").read_text())
    loaded = load_egonlq(written(tmp_path, as_annotations(golden["ground_truth"])))
    file = tmp_path / "predictions.json"
    file.write_text(
        json.dumps({"version": "1.0", "challenge": "ego4d_nlq_challenge", "results": golden["predictions"]})
    )
    predictions = read_nlq_predictions(file, loaded)
    queries = [query for clip in loaded.clips for query in clip.queries]
    scores = nlq_scores([predictions[query.key] for query in queries], answers_of(queries))
    table = golden["results_threshold_by_topk"]
    for row, threshold in enumerate(golden["thresholds"]):
        for column, k in enumerate(golden["topK"]):
            if (k, threshold) in scores.recall:
                assert scores.recall[k, threshold] == pytest.approx(table[row][column], abs=1e-12)
    assert scores.mean_iou == pytest.approx(golden["mIoU_mean_top1_iou"], abs=1e-12)
    assert len(scores.recall) == 4


def as_annotations(ground_truth: dict[str, Any]) -> dict[str, Any]:
    """The golden truth with what the evaluator does not read: windows in videos, texts."""
    for number, video in enumerate(ground_truth["videos"]):
        video.setdefault("video_uid", f"v{number}")
        for clip in video["clips"]:
            clip |= {"video_start_sec": 0.0, "video_end_sec": 1000.0}
            for annotation in clip["annotations"]:
                for query in annotation["language_queries"]:
                    query.setdefault("query", "where?")
    return ground_truth


def test_scores_of_a_hand_worked_table() -> None:
    answers = np.array([[10.0, 20.0], [10.0, 20.0], [30.0, 30.0]])
    exact_half = np.array([[10.0, 15.0], [0.0, 40.0]])  # 0.5, which is no hit at 0.5; 0.25
    second = np.array([[50.0, 60.0], [11.0, 20.0]])  # 0, then 0.9
    point = np.array([[30.0, 30.0], [29.0, 31.0]])  # nothing overlaps an instant
    scores = nlq_scores([exact_half, second, point], answers)
    assert scores.as_fractions() == pytest.approx(
        {"r1@0.3": 1 / 3, "r5@0.3": 2 / 3, "r1@0.5": 0.0, "r5@0.5": 1 / 3, "miou": 0.5 / 3}
    )
    assert list(scores.as_fractions()) == ["r1@0.3", "r5@0.3", "r1@0.5", "r5@0.5", "miou"]
    assert scores.num_points == 1


def test_scores_count_a_question_without_spans() -> None:
    scores = nlq_scores([np.zeros((0, 2))], np.array([[1.0, 2.0]]))
    assert scores.mean_iou == 0


def test_overlap_takes_the_hull() -> None:
    assert query_overlaps(np.array([[0.0, 10.0], [5.0, 30.0]]), (5.0, 20.0)) == pytest.approx([5 / 20, 15 / 25])


@pytest.mark.parametrize("found", [[], [np.array([[2.0, 1.0]])], [np.array([[np.nan, 1.0]])]])
def test_scores_refuse(found: list[np.ndarray]) -> None:
    with pytest.raises(InputError):
        nlq_scores(found, np.array([[1.0, 2.0]])[: max(len(found), 1)])


def test_scores_refuse_an_empty_truth() -> None:
    with pytest.raises(InputError, match="not 0"):
        nlq_scores([], np.zeros((0, 2)))


def test_real_annotations(shared_dir: Path) -> None:
    loaded = load_egonlq(shared_dir / "data" / "ego4d")
    assert (len(loaded.queries), loaded.num_untexted, len(loaded.clips)) == (3874, 1, 328)
    answers = answers_of(loaded.queries)
    assert int((answers[:, 0] == answers[:, 1]).sum()) == 341
    assert len({clip.video_uid for clip in loaded.clips}) == 244  # three of the 247 videos have no clip
    assert min(clip.start_s for clip in loaded.clips) == 0


def test_loader_keeps_clips_windows_and_keys(tmp_path: Path) -> None:
    loaded = load_egonlq(written(tmp_path, annotations()).parent)
    assert [clip.video_uid for clip in loaded.clips] == ["v0", "v0"]
    assert [(clip.start_s, round(clip.end_s, 3)) for clip in loaded.clips] == [(0, 60), (60, 120)]
    assert [query.key for query in loaded.queries] == [QueryKey("c0", "c0-a", 0), QueryKey("c1", "c1-a", 0)]
    assert loaded.num_untexted == 1


def rename(content: dict[str, Any]) -> None:
    query = query_of(content)
    query["clip_begin"] = query.pop("clip_start_sec")


def repeat_clip(content: dict[str, Any]) -> None:
    content["videos"][0]["clips"][1]["clip_uid"] = "c0"


def repeat_annotation(content: dict[str, Any]) -> None:
    clip = content["videos"][0]["clips"][0]
    clip["annotations"].append(clip["annotations"][0])


BAD: dict[str, tuple[Edit, str]] = {
    "renamed key": (rename, "lacks 'clip_start_sec'"),
    "ends first": (lambda c: query_of(c).update(clip_end_sec=9.0), "clip_end_sec is 9.0, must be at least .* 10"),
    "past the clip": (lambda c: query_of(c).update(clip_end_sec=63.0), "clip_end_sec is 63.0, must be at most 60"),
    "before the clip": (lambda c: query_of(c).update(clip_start_sec=-1.0), "clip_start_sec is -1.0"),
    "text for a time": (lambda c: query_of(c).update(clip_end_sec="20"), "clip_end_sec is '20'"),
    "not a number": (lambda c: query_of(c).update(clip_end_sec=float("nan")), "not JSON.*NaN"),
    "a number for text": (lambda c: query_of(c).update(query=7), "query is 7"),
    "repeated clip": (repeat_clip, "clip 'c0' occurs more than once"),
    "repeated annotation": (repeat_annotation, "annotation 'c0-a' occurs more than once"),
    "empty window": (lambda c: c["videos"][0]["clips"][0].update(video_end_sec=-4e-7), "video_end_sec"),
    "no question": (lambda c: c["videos"].clear(), "not one question"),
    "no videos": (lambda c: c.pop("videos"), "lacks 'videos'"),
}


@pytest.mark.parametrize("case", BAD)
def test_loader_refuses(tmp_path: Path, case: str) -> None:
    edit, message = BAD[case]
    content = annotations()
    edit(content)
    with pytest.raises(AnnotationError, match=message):
        load_egonlq(written(tmp_path, content))


def test_loader_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nlq_val"):
        load_egonlq(tmp_path)


def test_predictions_come_back_as_written(tmp_path: Path) -> None:
    loaded = load_egonlq(written(tmp_path, annotations()))
    mine = {query.key: np.array([[1.0, 2.5], [0.0, 9.0]]) for query in loaded.queries}
    file = tmp_path / "predictions.json"
    write_nlq_predictions(file, mine)
    content = json.loads(file.read_text())
    assert (content["version"], content["challenge"]) == ("1.0", "ego4d_nlq_challenge")
    read = read_nlq_predictions(file, loaded)
    assert read.keys() == mine.keys()
    assert all(np.array_equal(read[key], mine[key]) for key in mine)


def answer(**changes: object) -> dict[str, object]:
    return {"clip_uid": "c0", "annotation_uid": "c0-a", "query_idx": 0, "predicted_times": [[1.0, 2.0]]} | changes


BAD_RESULTS: dict[str, tuple[list[dict[str, object]], str]] = {
    "unknown question": ([answer(query_idx=9)], "no question of"),
    "unknown clip": ([answer(clip_uid="c9")], "no question of"),
    "answered twice": ([answer(), answer()], "answered twice"),
    "no span": ([answer(predicted_times=[])], "at least one span"),
    "ends first": ([answer(predicted_times=[[2.0, 1.0]])], r"predicted_times\[0\] is \[2.0, 1.0\]"),
    "three numbers": ([answer(predicted_times=[[1, 2, 3]])], r"must be \[start, end\]"),
    "half an index": ([answer(query_idx=0.5)], "whole number"),
    "nothing": ([], "results is empty"),
}


@pytest.mark.parametrize("case", BAD_RESULTS)
def test_predictions_refuse(tmp_path: Path, case: str) -> None:
    loaded = load_egonlq(written(tmp_path, annotations()))
    results, message = BAD_RESULTS[case]
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps({"version": "1.0", "challenge": "ego4d_nlq_challenge", "results": results}))
    with pytest.raises(AnnotationError, match=message):
        read_nlq_predictions(file, loaded)


def test_predictions_of_another_challenge_are_refused(tmp_path: Path) -> None:
    loaded = load_egonlq(written(tmp_path, annotations()))
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps({"version": "1.0", "challenge": "ego4d_moments", "results": [answer()]}))
    with pytest.raises(AnnotationError, match="ego4d_nlq_challenge"):
        read_nlq_predictions(file, loaded)
