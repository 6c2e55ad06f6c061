"""Annotations and predictions of moment queries: both layouts, and what is refused."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.errors import AnnotationError, NotFoundError
from henasy.evaluation.annotations.egomq import load_classes, load_egomq, moments_file
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.span_tasks.mq_predictions import (
    PredictedMoment,
    as_scored,
    num_unscored,
    read_predictions,
    require_clips,
    unsorted_clips,
    write_predictions,
)

CLASSES = ("use_phone", "wash_hands")


def label(name: str, start: float, end: float, primary: bool = True) -> dict[str, Any]:
    return {"label": name, "start_time": start, "end_time": end, "primary": primary}


def nested() -> dict[str, Any]:
    clips = [
        {
            "clip_uid": "c0",
            "video_start_sec": 30.0,
            "video_end_sec": 510.0,
            "annotations": [
                {"annotator_uid": "a", "labels": [label("use_phone", 1, 5), label("wash_hands", 2, 3, False)]},
                {"annotator_uid": "b", "labels": [label("wash_hands", 100, 480.03)]},
            ],
        },
        {"clip_uid": "c1", "video_start_sec": 0, "video_end_sec": 30, "annotations": [{"labels": []}]},
    ]
    return {"version": "1", "videos": [{"video_uid": "v0", "split": "val", "clips": clips}]}


def written(folder: Path, content: Any, name: str = "moments_val.json") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_nested_layout_gives_primary_moments_in_seconds_of_the_clip(tmp_path: Path) -> None:
    written(tmp_path, nested())
    loaded = load_egomq(tmp_path, "val", CLASSES)
    (clip,) = loaded.clips
    assert clip.span == Span("v0", 30.0, 510.0)
    assert clip.moments == (("use_phone", 1.0, 5.0), ("wash_hands", 100.0, 480.03))
    assert loaded.num_unannotated == 1
    np.testing.assert_array_equal(loaded.moments(CLASSES).label, [0, 1])


def test_flat_layout_takes_one_subset_and_says_when_it_has_no_video(tmp_path: Path) -> None:
    here = {"subset": "val", "clip_id": "c0", "annotations": [label("use_phone", 1, 5)]}
    there = {"subset": "train", "clip_id": "c1", "annotations": [label("wash_hands", 1, 5)]}
    with_video = here | {"video_id": "v", "parent_start_sec": 10.0, "parent_end_sec": 20.0}
    written(tmp_path, {"c0": here, "c1": there, "c2": with_video}, "clip_annotations.json")
    first, second = load_egomq(tmp_path, "val").clips
    assert (first.clip_uid, first.span, second.span) == ("c0", None, Span("v", 10.0, 20.0))
    with pytest.raises(AnnotationError, match="only predictions"):
        first.part_of_video()


def test_a_clip_that_occurs_twice_has_the_moments_of_both_places(tmp_path: Path) -> None:
    content = nested()
    content["videos"].append(copy.deepcopy(content["videos"][0]))
    assert len(load_egomq(written(tmp_path, content), "val").clips[0].moments) == 4
    content["videos"][1]["video_uid"] = "v1"
    with pytest.raises(AnnotationError, match="'c0' occurs twice"):
        load_egomq(written(tmp_path, content), "val")


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    """The nested file with one value replaced, or taken out where the new one is None."""
    content = nested()
    place: Any = content
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


CLIP = ["videos", 0, "clips", 0]
LABEL = [*CLIP, "annotations", 0, "labels", 0]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ([*LABEL, "start_time"], None, "lacks 'start_time'"),
        ([*LABEL, "start_time"], -1, "start_time is -1, must be at least 0"),
        ([*LABEL, "end_time"], 0.5, "end_time is 0.5, must be at least start_time 1"),
        ([*LABEL, "end_time"], 483, "end_time is 483, must be at most 480"),
        ([*LABEL, "end_time"], "5", "end_time is '5', must be a finite number"),
        ([*LABEL, "end_time"], True, "must be a finite number"),
        ([*LABEL, "label"], "", "label is '', must be a non-blank text"),
        ([*LABEL, "label"], "fly", r"no class: \['fly'\]; there are 2 classes"),
        ([*LABEL, "primary"], "yes", "primary is 'yes', must be true or false"),
        ([*CLIP, "clip_uid"], None, "lacks 'clip_uid'"),
        ([*CLIP, "video_end_sec"], 30.0, "after video_start_sec"),
        ([*CLIP, "annotations"], None, "lacks 'annotations'"),
        ([*CLIP, "annotations"], {}, "annotations is {}, must be a list"),
        ([*CLIP, "annotations"], [3], r"annotations\[0\]: is 3, must be an object"),
        (["videos", 0, "split"], "train", "split is 'train', must be 'val'"),
        (["videos"], [], "not one moment is annotated"),
        ([*CLIP, "annotations"], [], "not one moment is annotated"),
    ],
)
def test_wrong_annotations_are_refused_by_name(tmp_path: Path, path: list[Any], value: Any, message: str) -> None:
    file = written(tmp_path, changed(path, value))
    with pytest.raises(AnnotationError, match=message):
        load_egomq(file, "val", CLASSES)


def test_nan_no_json_and_no_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "moments_val.json"
    with pytest.raises(NotFoundError, match=r"moments_val\.json: no such annotation file"):
        load_egomq(tmp_path, "val")
    for text, message in (("{", "not JSON"), ("[]", "must be an object"), ('{"videos": NaN}', "NaN is no number")):
        file.write_text(text)
        with pytest.raises(AnnotationError, match=message):
            load_egomq(file, "val")


def test_a_subset_that_is_not_there_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, {"c0": {"subset": "val", "annotations": [label("use_phone", 1, 5)]}}, "flat.json")
    assert moments_file(file, "train") == file
    with pytest.raises(AnnotationError, match="not one moment is annotated in split 'train'"):
        load_egomq(file, "train")


def test_the_published_classes_are_110_in_the_order_of_their_numbers(shared_dir: Path) -> None:
    classes = load_classes(shared_dir / "data" / "ego4d" / "moment_classes_idx.json")
    assert len(classes) == 110
    assert classes[100] == "use_phone"


@pytest.mark.parametrize("content", [{"Background": 0}, {"a": 0, "b": 1}, {"Background": 0, "a": 2}, {}])
def test_class_files_with_other_numbers_are_refused(tmp_path: Path, content: dict[str, int]) -> None:
    with pytest.raises(AnnotationError):
        load_classes(written(tmp_path, content, "classes.json"))


def test_predictions_survive_writing_and_reading(tmp_path: Path) -> None:
    made = {"c0": [PredictedMoment("use_phone", 1.25, 4.5, 0.75)], "c1": []}
    write_predictions(tmp_path / "p.json", made)
    read = read_predictions(tmp_path / "p.json", CLASSES)
    assert read.detection == read.retrieval == made


def test_a_submission_holds_two_lists(tmp_path: Path) -> None:
    one = {"label": "use_phone", "segment": [0, 1], "score": 1.0}
    file = written(tmp_path, {"detection": {"c0": [one]}, "retrieval": {"c0": [one, one]}}, "s.json")
    read = read_predictions(file, CLASSES)
    assert (len(read.detection["c0"]), len(read.retrieval["c0"])) == (1, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "fly"}, "label is 'fly', must be one of the 2 classes"),
        ({"segment": [5, 1]}, "segment is"),
        ({"segment": [1]}, "segment is"),
        ({"segment": [1, None]}, "segment is"),
        ({"score": "0.5"}, "score is '0.5', must be a finite number"),
    ],
)
def test_wrong_predictions_are_refused_by_name(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    one = {"label": "use_phone", "segment": [0, 1], "score": 1.0} | change
    file = written(tmp_path, {"results": {"c0": [one]}}, "p.json")
    with pytest.raises(AnnotationError, match=message):
        read_predictions(file, CLASSES)
    with pytest.raises(AnnotationError, match="lacks 'detection'"):
        read_predictions(written(tmp_path, {"result": {}}, "q.json"), CLASSES)


def test_predictions_that_do_not_fit_the_annotations_are_counted_or_refused(tmp_path: Path) -> None:
    annotations = load_egomq(written(tmp_path, nested()), "val")
    moment = PredictedMoment("use_phone", 0, 1, 0.5)
    stray = {"c0": [moment, moment._replace(label="fly", score=0.9)], "c9": [moment]}
    assert num_unscored(stray, annotations, CLASSES) == 2
    assert len(as_scored(stray, annotations, CLASSES).label) == 1
    assert unsorted_clips(stray) == []  # each class has one
    assert unsorted_clips({"c0": [moment, moment._replace(score=0.6)]}) == ["c0"]
    with pytest.raises(NotFoundError, match="no predictions for 1 of 1 annotated clips: c0"):
        require_clips({"c9": []}, annotations, tmp_path / "p.json")
