"""Masks in COCO's code, files of them, and grounding scores against pycocotools, tables by hand, and plain loops."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.annotations.coco_rle import draw_runs, runs_of_code
from henasy.evaluation.annotations.mask_annotations import load_masks
from henasy.evaluation.metrics.entity_overlap import ClipEntities, OverlapMeasure, ThingIous
from henasy.evaluation.metrics.grounding import GroundedThing, grounded, grounding_score
from henasy.evaluation.metrics.intervals import mean_over_classes
from henasy.video.preprocess import PreprocessSpec


def coded(mask: np.ndarray) -> dict[str, Any]:
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def test_runs_draw_what_pycocotools_encodes() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((17, 23)) < share for share in (0.02, 0.5, 0.97)]
    masks += [np.zeros((4, 3), bool), np.ones((4, 3), bool), np.kron(rng.random((5, 4)) < 0.5, np.ones((90, 70))) > 0]
    for mask in masks:
        np.testing.assert_array_equal(draw_runs(*runs_of_code(coded(mask))), mask)
        runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=~mask[0, 0], append=~mask[-1, -1])))
        listed = runs.tolist() if not mask[0, 0] else [0, *runs.tolist()]
        np.testing.assert_array_equal(draw_runs(*runs_of_code({"size": list(mask.shape), "counts": listed})), mask)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x", "object with size and counts"),
        ({"size": [2, 2]}, "object with size and counts"),
        ({"size": [2], "counts": [4]}, r"size is \[2\]"),
        ({"size": [0, 2], "counts": []}, "size is"),
        ({"size": [2.0, 2], "counts": [4]}, "size is"),
        ({"size": [10**9, 10**9], "counts": [4]}, "at most"),
        ({"size": [2, 2], "counts": [3]}, "add up to 3 pixels, size .* has 4"),
        ({"size": [2, 2], "counts": [5, -1]}, "whole numbers"),
        ({"size": [2, 2], "counts": [1.5, 2.5]}, "whole numbers"),
        ({"size": [2, 2], "counts": "\n"}, "characters from"),
        ({"size": [2, 2], "counts": "4T"}, "ends inside a number"),
        ({"size": [2, 2], "counts": None}, "counts is None"),
    ],
)
def test_runs_refuse_what_is_no_code(code: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runs_of_code(code)


def entry(**changes: object) -> dict[str, object]:
    return {"video": "a", "time_s": 1.5, "noun": "mug", "segmentation": coded(np.eye(3) > 0)} | changes


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in entry().items() if name != key}


def test_load_masks_reads_nouns_and_phrases(tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps([entry(annotator=3), without("noun") | {"phrase": "lifting it", "time_s": 2}]))
    first, second = load_masks(path)
    assert (first.video_id, first.time_s, first.kind, first.text) == ("a", 1.5, "noun", "mug")
    assert (second.kind, second.text, second.time_s) == ("phrase", "lifting it", 2.0)
    np.testing.assert_array_equal(first.mask(), np.eye(3) > 0)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "at least one mask"),
        ({"a": 1}, "at least one mask"),
        ([entry(), 3], "entry 1: is '3'"),
        ([without("time_s")], r"entry 0: lacks the keys \['time_s'\]"),
        ([without("noun") | {"object": "mug"}], "entry 0: has neither"),
        ([entry(phrase="lifting")], "has .*noun.*phrase"),
        ([entry(time_s=float("nan"))], "time_s is nan"),
        ([entry(time_s=-1)], "time_s is -1"),
        ([entry(time_s="1")], "time_s is '1'"),
        ([entry(time_s=True)], "time_s is True"),
        ([entry(noun=" ")], "noun is ' '"),
        ([entry(video=7)], "video is 7"),
        ([entry(segmentation={"size": [3, 3], "counts": [8]})], "segmentation: counts add up to 8"),
        ([entry(), entry()], "entry 1: 'mug' of video a at 1.5 s is entry 0 too"),
    ],
)
def test_load_masks_names_what_is_wrong(tmp_path: Path, entries: object, message: str) -> None:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(AnnotationError, match=message) as caught:
        load_masks(path)
    assert str(path) in str(caught.value)


def test_load_masks_refuses_other_files(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_masks(tmp_path / "absent.json")
    (tmp_path / "text.json").write_text("video,time")
    with pytest.raises(AnnotationError, match="not JSON"):
        load_masks(tmp_path / "text.json")


def thing(label: str, video: str, text_chosen: list[float], by_lot: float) -> GroundedThing:
    values = np.array(text_chosen)
    return GroundedThing(label, video, values, values + 0.1, np.full_like(values, by_lot), np.ones_like(values))


def test_score_averages_frames_of_a_label_then_labels() -> None:
    things = [thing("mug", "a", [0.5, 0.1], 0.1), thing("mug", "b", [0.6], 0.2), thing("pan", "a", [0.8], 0.4)]
    score = grounding_score(things)
    assert score is not None
    assert score.text_chosen.mean == pytest.approx((0.4 + 0.8) / 2)
    assert score.by_lot.mean == pytest.approx(((0.1 + 0.1 + 0.2) / 3 + 0.4) / 2)
    assert score.gain.mean == pytest.approx(score.text_chosen.mean - score.by_lot.mean)
    assert (score.oracle.mean, score.ceiling.mean) == pytest.approx((0.7, 1.0))
    assert (score.num_labels, score.num_frames, score.num_videos) == (2, 4, 2)
    assert grounding_score([]) is None


def test_grounded_takes_one_entity_for_the_whole_clip() -> None:
    by_frame = np.array([[0.9, 0.5, 0.0], [0.0, 0.5, 0.1]])
    ious = ThingIous(np.zeros(3), 0.0, by_frame, np.array([1.0, 0.9]))
    found = grounded("mug", "a", ious, 2, np.array([True, False, True]))
    np.testing.assert_allclose(found.text_chosen, [0.0, 0.1])
    np.testing.assert_allclose(found.oracle, [0.5, 0.5])
    np.testing.assert_allclose(found.by_lot, [0.45, 0.05])


def test_mean_over_classes_equals_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(1)
    groups, classes = rng.integers(0, 12, 300), rng.integers(0, 4, 300)
    values = rng.random(300) + 0.3 * (classes == 0) + 0.2 * (groups % 3)
    found = mean_over_classes(values, classes, groups=groups, num_resamples=4000)

    def mean_of(rows: np.ndarray) -> float:
        return float(np.mean([values[rows][classes[rows] == c].mean() for c in range(4) if (classes[rows] == c).any()]))

    draws = [np.concatenate([np.flatnonzero(groups == g) for g in rng.integers(0, 12, 12)]) for _ in range(1500)]
    low, high = np.quantile([mean_of(rows) for rows in draws], (0.025, 0.975))
    assert found.mean == pytest.approx(mean_of(np.arange(300)))
    # Two bootstraps of some thousand draws agree to a small part of the interval's width.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))
    assert mean_over_classes(values, classes, groups=groups, num_resamples=4000) == found
    with pytest.raises(InputError, match="must be equal"):
        mean_over_classes(values, classes[:3], groups=groups)


def test_mean_over_classes_leaves_out_a_class_that_a_draw_misses() -> None:
    found = mean_over_classes(np.array([0.0, 1.0]), np.array([0, 1]), groups=np.array([0, 1]))
    assert found == (0.5, 0.0, 1.0)


def test_ious_of_a_frame_equal_masks_painted_in_it() -> None:
    rng = np.random.default_rng(2)
    spec = PreprocessSpec(image_px=96, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    measure, crop = OverlapMeasure(spec, (4, 4), (45, 80)), spec.crop_to_frame(45, 80)
    assignment = rng.integers(0, 3, (4, 16)).astype(np.uint8)
    clip = ClipEntities(np.eye(3, 5, dtype=np.float32), np.array([True, True, False]), assignment)
    masks = rng.random((3, 45, 80)) < 0.2
    masks[1] = False
    frames = np.array([0, 2, 3])
    ious = measure.ious(clip, masks, frames)
    assert ious is not None
    painted = crop.masks_to_frame(assignment.reshape(4, 4, 4), is_smooth=False, outside=-1)
    for row, frame in ((0, 0), (1, 3)):
        seen = masks[list(frames).index(frame)] & (painted[frame] >= 0)
        expected = [((painted[frame] == e) & seen).sum() / ((painted[frame] == e) | seen).sum() for e in range(3)]
        np.testing.assert_allclose(ious.by_frame[row], expected)
    assert len(ious.by_frame) == len(ious.ceilings) == 2
    outside = np.zeros((1, 45, 80), bool)
    outside[:, :, 0] = True
    assert measure.ious(clip, outside, np.array([0])) is None


@pytest.mark.parametrize(("text", "chosen"), [([0.1, 0.9, 0.0, 0.0, 0.0], 1), ([0.0, 0.1, 0.9, 0.0, 0.0], 1)])
def test_a_text_meets_valid_entities_only(text: list[float], chosen: int) -> None:
    clip = ClipEntities(np.eye(3, 5, dtype=np.float32), np.array([True, True, False]), np.zeros((1, 1), np.uint8))
    assert clip.chosen_by(np.array(text, np.float32)) == chosen
