"""Predicted moments in the JSON form of the public evaluators: read, written, and turned into numbers.

`{"version": ..., "results": {clip_uid: [{"label", "segment": [start, end], "score"}, ...]}, "external_data": {}}`, in
seconds of the clip, surest first. A challenge submission has `detection` and `retrieval` in place of `results`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from henasy.errors import NotFoundError
from henasy.evaluation.annotations.egomq import EgoMq
from henasy.evaluation.annotations.json_record import JsonRecord, is_number, read_json_record
from henasy.evaluation.metrics.mq import ScoredMoments
from henasy.evaluation.tasks.report import write_text

DETECTION_FILE = "detections_postNMS.json"
RETRIEVAL_FILE = "retreival_postNMS.json"
"""Spelt as the reference spells it."""
_LISTED = 10


class PredictedMoment(NamedTuple):
    """One predicted moment, in seconds of its clip."""

    label: str
    start_s: float
    end_s: float
    score: float


Predictions = dict[str, list[PredictedMoment]]
"""By clip_uid, surest first."""


@dataclass(frozen=True, kw_only=True)
class PredictionFile:
    """What somebody predicted."""

    detection: Predictions
    """For the average precision."""
    retrieval: Predictions
    """For the recall; the same unless the file holds both."""


def read_predictions(path: Path, classes: tuple[str, ...] | None) -> PredictionFile:
    """The predictions of a file, its `results` or its `detection` and `retrieval`, or of a folder with two files.

    Args:
        path: what to read.
        classes: the labels that are allowed; None allows any.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: it has another layout, a label that is no class, or a number out of range; it names the place.
    """
    allowed = None if classes is None else frozenset(classes)
    if path.is_dir():
        files = [read_json_record(file) for file in prediction_files(path)]
        detection, retrieval = (_predictions(file.record("results"), allowed) for file in files)
        return PredictionFile(detection=detection, retrieval=retrieval)
    content = read_json_record(path)
    if "results" in content:
        both = _predictions(content.record("results"), allowed)
        return PredictionFile(detection=both, retrieval=both)
    detection, retrieval = (_predictions(content.record(name), allowed) for name in ("detection", "retrieval"))
    return PredictionFile(detection=detection, retrieval=retrieval)


def prediction_files(path: Path) -> tuple[Path, ...]:
    """The file itself, or the two of a folder, that for detection first."""
    return (path / DETECTION_FILE, path / RETRIEVAL_FILE) if path.is_dir() else (path,)


def write_prediction_files(folder: Path, predictions: PredictionFile) -> None:
    """The two files of the public evaluators, by the names they look for."""
    write_predictions(folder / DETECTION_FILE, predictions.detection)
    write_predictions(folder / RETRIEVAL_FILE, predictions.retrieval)


def write_predictions(path: Path, predictions: Mapping[str, list[PredictedMoment]]) -> None:
    """The file that the public evaluators read."""
    results = {
        clip_uid: [
            {"label": moment.label, "score": moment.score, "segment": [moment.start_s, moment.end_s]}
            for moment in moments
        ]
        for clip_uid, moments in predictions.items()
    }
    write_text(path, json.dumps({"version": "EGO4D", "results": results, "external_data": {}}) + "\n")


def as_scored(predictions: Predictions, annotations: EgoMq, classes: tuple[str, ...]) -> ScoredMoments:
    """The predictions for the annotated clips as numbers, clip by clip in the order of the annotations.

    Those of labels outside `classes` are left out: `num_unscored` counts them.
    """
    number_of = {label: number for number, label in enumerate(classes)}
    rows = [
        (number, number_of[moment.label], moment.start_s, moment.end_s, moment.score)
        for number, clip in enumerate(annotations.clips)
        for moment in predictions.get(clip.clip_uid, [])
        if moment.label in number_of
    ]
    table = np.array(rows, np.float64).reshape(-1, 5)
    return ScoredMoments(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:4], table[:, 4])


def num_unscored(predictions: Predictions, annotations: EgoMq, classes: tuple[str, ...]) -> int:
    """How many predictions belong to no annotated clip or to no class."""
    uids = {clip.clip_uid for clip in annotations.clips}
    return sum(
        clip_uid not in uids or moment.label not in classes
        for clip_uid, moments in predictions.items()
        for moment in moments
    )


def require_clips(predictions: Predictions, annotations: EgoMq, path: Path) -> None:
    """Passes when every annotated clip has an entry, if only an empty one.

    Raises:
        NotFoundError: clips have none; the message lists them.
    """
    missing = missing_clips(predictions, annotations)
    if missing:
        shown = ", ".join(missing[:_LISTED]) + (", ..." if len(missing) > _LISTED else "")
        raise NotFoundError(
            f"{path}: no predictions for {len(missing)} of {len(annotations.clips)} annotated clips: {shown}; "
            "--allow-missing scores the rest"
        )


def missing_clips(predictions: Predictions, annotations: EgoMq) -> list[str]:
    """The annotated clips without an entry, in the order of the annotations."""
    return [clip.clip_uid for clip in annotations.clips if clip.clip_uid not in predictions]


def _predictions(results: JsonRecord, classes: frozenset[str] | None) -> Predictions:
    return {
        clip_uid: [_predicted(moment, classes) for moment in results.records(clip_uid)] for clip_uid in results.values
    }


def _predicted(moment: JsonRecord, classes: frozenset[str] | None) -> PredictedMoment:
    label, segment = moment.text("label"), moment.items("segment")
    if classes is not None and label not in classes:
        raise moment.error("label", f"one of the {len(classes)} classes")
    if len(segment) != 2 or not all(map(is_number, segment)) or segment[1] < segment[0]:
        raise moment.error("segment", "[start, end] in seconds, end at least start")
    return PredictedMoment(label, float(segment[0]), float(segment[1]), moment.number("score"))


def unsorted_clips(predictions: Predictions) -> list[str]:
    """Clips that list a surer prediction of a class after another, so that "the first" are not the surest."""
    unsorted = []
    for clip_uid, moments in predictions.items():
        scores: dict[str, list[float]] = {}
        for moment in moments:
            scores.setdefault(moment.label, []).append(moment.score)
        if any(later > earlier for listed in scores.values() for earlier, later in pairwise(listed)):
            unsorted.append(clip_uid)
    return unsorted
