"""EgoMCQ accuracy against golden numbers and a hand-worked table; its loader on good and bad files."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.annotations.egomcq import load_egomcq
from henasy.evaluation.metrics.multiple_choice import multiple_choice_scores
from henasy.evaluation.tasks.egomcq_run import score_similarity


def test_scores_small_golden_with_the_right_names(golden_dir: Path) -> None:
    golden = np.load(golden_dir / "egomcq_small.npz")
    scores = multiple_choice_scores(golden["preds"], golden["labels"], golden["types"])
    assert 100 * scores.inter == pytest.approx(float(golden["accuracy_type1_inter"]), abs=1e-12)
    assert 100 * scores.intra == pytest.approx(float(golden["accuracy_type2_intra"]), abs=1e-12)


def test_scores_hand_worked_table() -> None:
    similarity = np.array([[0.1, 0.9, 0.0], [0.5, 0.2, 0.5], [0.1, 0.2, 0.3], [0.9, 0.0, 0.1]])
    scores = multiple_choice_scores(similarity, np.array([1, 2, 2, 1]), np.array([1, 1, 2, 2]))
    assert scores == (0.5, 0.5, 2, 2, 1)  # question 1 ties, and the first of the equal choices is taken


def test_scores_without_a_kind_is_nan() -> None:
    scores = multiple_choice_scores(np.eye(2), np.array([0, 1]), np.array([1, 1]))
    assert scores.inter == 1.0
    assert np.isnan(scores.intra)


@pytest.mark.parametrize(
    ("similarity", "answers", "types", "message"),
    [
        (np.zeros((2, 5)), [0], [1], "does not fit answers"),
        (np.zeros((1, 5)), [5], [1], "from 0 to 4"),
        (np.zeros((1, 5)), [0], [3], "1 .inter. or 2 .intra."),
        (np.full((1, 5), np.nan), [0], [1], "question 0 is not finite"),
    ],
)
def test_scores_refuse(similarity: np.ndarray, answers: list[int], types: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        multiple_choice_scores(similarity, np.array(answers), np.array(types))


def questions() -> dict[str, Any]:
    """Twelve questions, so that their keys sort differently as text and as numbers."""
    choices = {
        str(c): {"video_uid": f"v{c}", "clip_start": 1.0 * c, "clip_end": c + 1, "clip_text": "x"} for c in range(5)
    }
    item = {"answer": 3, "types": 1, "query": {"clip_text": "#C C opens"}, "choices": choices}
    return {str(key): {**copy.deepcopy(item), "answer": key % 5, "types": 1 + key % 2} for key in range(12)}


def test_load_orders_by_number(tmp_path: Path) -> None:
    content = questions()
    (tmp_path / "egomcq.json").write_text(json.dumps(dict(sorted(content.items()))))
    loaded = load_egomcq(tmp_path)
    assert loaded.answers.tolist() == [key % 5 for key in range(12)]
    assert loaded.types.tolist() == [1 + key % 2 for key in range(12)]
    assert loaded.texts == ["#C C opens"] * 12
    assert loaded.questions[0].choices[2] == ("v2", 2.0, 3.0)
    spans, rows = loaded.distinct_spans()
    assert [spans[row] for row in rows[7]] == list(loaded.questions[7].choices)
    assert len(spans) == 5


def test_clips_before_the_start_begin_with_the_video(tmp_path: Path) -> None:
    content = questions()
    content["2"]["choices"]["0"]["clip_start"] = -0.013
    content["5"]["choices"]["0"]["clip_start"] = "-4"
    path = tmp_path / "egomcq.json"
    path.write_text(json.dumps(content))
    loaded = load_egomcq(path)
    assert [loaded.questions[key].choices[0] for key in (2, 5)] == [("v0", 0.0, 1.0)] * 2
    assert loaded.num_before_start == 2
    scored = score_similarity(loaded, np.eye(5)[loaded.answers], {})
    assert scored.facts["starts"] == "2 clips start before their video; they were taken from 0 s"
    assert "starts" not in score_similarity(replace(loaded, num_before_start=0), np.eye(5)[loaded.answers], {}).facts


def drop(path: str) -> Any:
    def change(content: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for parent in parents:
            content = content[parent]
        del content[last]

    return change


def put(path: str, value: Any) -> Any:
    def change(content: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for parent in parents:
            content = content[parent]
        content[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("4"), "no question '4'"),
        (drop("2/answer"), "question 2: lacks 'answer'"),
        (put("2/answer", 5), r"question 2: answer is 5, must be one of \[0, 1, 2, 3, 4\]"),
        (put("2/answer", True), "answer is True, of the wrong type"),
        (put("2/types", 3), r"question 2: types is 3, must be one of \[1, 2\]"),
        (drop("1/choices/4"), "question 1: choices are"),
        (drop("1/choices/4/video_uid"), "question 1, choice 4: lacks 'video_uid'"),
        (put("1/choices/0/clip_end", 0.0), "start < end and 0 < end"),
        (put("1/choices/0/clip_end", -0.5), "start < end and 0 < end"),
        (put("1/choices/0/clip_start", float("-inf")), "start < end and 0 < end"),
        (put("1/choices/0/clip_start", "soon"), "clip_start is 'soon', must be a number of seconds"),
        (put("1/choices/0/clip_end", [1]), "wrong type"),
        (put("1/choices/0/clip_end", "nan"), "start < end and 0 < end"),
        (put("1/query/clip_text", " "), "must be a non-blank text"),
    ],
)
def test_load_refuses(tmp_path: Path, change: Any, message: str) -> None:
    content = questions()
    change(content)
    path = tmp_path / "mcq.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=message):
        load_egomcq(path)


def test_load_refuses_what_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such annotation file"):
        load_egomcq(tmp_path)
    path = tmp_path / "mcq.json"
    for text, message in (
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ("{}", "must be an object"),
        ('{"0": {}, "0": {}}', "the key '0' occurs more than once"),
    ):
        path.write_text(text)
        with pytest.raises(AnnotationError, match=message):
            load_egomcq(path)
