"""EgoMQ from annotations and features, or from somebody's predictions, to results."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.evaluation.annotations.egomq import CLASSES_FILE, EgoMq, load_classes, load_egomq, moments_file
from henasy.evaluation.metrics.intervals import paired_difference
from henasy.evaluation.metrics.mq import DETECTION_TIOUS, average_precisions, found_in_first
from henasy.evaluation.pages.mq_details import mq_details
from henasy.evaluation.span_tasks.mq_predictions import (
    PredictionFile,
    as_scored,
    missing_clips,
    num_unscored,
    prediction_files,
    read_predictions,
    require_clips,
    unsorted_clips,
)
from henasy.evaluation.tasks.published import EGOMQ_ROWS
from henasy.evaluation.tasks.report import RENDERED_HEADING, file_digest
from henasy.evaluation.tasks.result import BenchmarkResult, Illustrated

KEYS = (*(f"mAP@{tiou}" for tiou in DETECTION_TIOUS), "mAP", "R@1x", "R@5x")
"""Of the JSON file."""
COLUMNS = (*(f"@{tiou}" for tiou in DETECTION_TIOUS), "mAP", "R@1x", "R@5x")
SEARCHED, TRAINED, GIVEN = "zero_shot", "head", "predictions"
"""How answers were made; keys of the JSON file."""
_TITLE = "EgoMQ, {}: mAP at each tIoU and on average, recall at tIoU 0.5, percent"
_MADE = {
    SEARCHED: "zero-shot by moment search with class names",
    TRAINED: "this project's proposal head trained on the features",
    GIVEN: "predictions made elsewhere",
}
_HEAD_NOTE = "the papers' rows are of VSGN trained on each model's features; only the same head compares features"
NUM_CLASSES = 110
"""Of the published task."""
_RECALL_TIOU = 0.5


@dataclass(frozen=True, kw_only=True)
class MqAnnotations:
    """What is to be found."""

    val: EgoMq
    classes: tuple[str, ...] | None
    """Those of the class file; None if there is none."""
    facts: dict[str, object]
    """The hashes of the files."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, those that are annotated where there is no class file."""
        return self.classes or self.val.labels


class MqScores(NamedTuple):
    """Numbers of one set of predictions."""

    by_key: dict[str, float]
    """Fractions under the keys of the JSON file, in the order of the columns."""
    is_found: dict[int, NDArray[np.bool_]]
    """By k, whether each annotated moment is found in the first k x n at tIoU 0.5."""


def load_annotations(path: Path, class_file: Path | None) -> MqAnnotations:
    """The validation split with its classes: those of `class_file`, or of the one beside the annotations if any.

    Raises:
        NotFoundError: a file is missing.
        AnnotationError: a file is of another layout, or a label is no class.
    """
    beside = (path if path.is_dir() else path.parent) / CLASSES_FILE
    found = class_file or (beside if beside.is_file() else None)
    classes = None if found is None else load_classes(found)
    val = load_egomq(path, "val", classes)
    facts: dict[str, object] = {"annotations sha256": file_digest(moments_file(path, "val"))}
    facts["classes"] = f"{len(val.labels)} annotated" if classes is None else f"{len(val.labels)} of {len(classes)}"
    if found is not None:
        facts["classes sha256"] = file_digest(found)
    return MqAnnotations(val=val, classes=classes, facts=facts)


def score_file(path: Path, annotations: MqAnnotations, *, is_allowing_missing: bool) -> BenchmarkResult:
    """The result for predictions in the reference's form.

    Raises:
        NotFoundError: annotated clips have no entry, and that is not allowed.
        AnnotationError: the file is of another layout, or a value is out of range.
    """
    predictions = read_predictions(path, annotations.classes)
    for part in (predictions.detection, predictions.retrieval):
        if not is_allowing_missing:
            require_clips(part, annotations.val, path)
    files = prediction_files(path)
    facts: dict[str, object] = {"predictions": str(path), "predictions sha256": file_digest(*files)}
    return scored_result(GIVEN, predictions, annotations, facts, is_rendered=False)


def scored_result(
    made: str, predictions: PredictionFile, annotations: MqAnnotations, facts: dict[str, object], *, is_rendered: bool
) -> BenchmarkResult:
    """The result of predictions, for the clips that have an entry in both lists.

    Args:
        made: how the answers were made: one of the keys of the JSON file.
        predictions: of the validation split.
        annotations: what was to be found.
        facts: what fixes the answers.
        is_rendered: whether the scenes are rendered.

    Raises:
        InputError: no annotated clip has one.
    """
    kept = kept_clips(predictions, annotations.val)
    scores = score_predictions(predictions, kept, annotations.labels)
    is_whole = len(kept.clips) == len(annotations.val.clips)
    is_published = is_whole and len(annotations.labels) == NUM_CLASSES
    facts = {**facts, **annotations.facts, **count_facts(predictions, kept, annotations)}
    published = () if is_rendered or made == SEARCHED else EGOMQ_ROWS
    if published and made == TRAINED:
        facts["papers"] = _HEAD_NOTE
    title = _TITLE.format(_MADE[made]) + ("" if is_published else "; not the whole published task")
    return BenchmarkResult(
        title=_TITLE.format(_MADE[made]),
        heading=f"{RENDERED_HEADING}; {_MADE[made]}" if is_rendered else title,
        columns=COLUMNS,
        scores=scores.by_key,
        facts=facts,
        published=published,
        illustrated=Illustrated(partial(mq_details, kept, predictions.retrieval), None),
    )


def kept_clips(predictions: PredictionFile, val: EgoMq) -> EgoMq:
    """The annotated clips that have an entry in both lists.

    Raises:
        InputError: there is none.
    """
    missing = {*missing_clips(predictions.detection, val), *missing_clips(predictions.retrieval, val)}
    if len(missing) == len(val.clips):
        raise InputError("predictions", "not one annotated clip has any")
    return replace(val, clips=tuple(clip for clip in val.clips if clip.clip_uid not in missing))


def score_predictions(predictions: PredictionFile, kept: EgoMq, classes: tuple[str, ...]) -> MqScores:
    """Both measures for clips that all have predictions."""
    truth = kept.moments(classes)
    precisions = average_precisions(truth, as_scored(predictions.detection, kept, classes))
    by_tiou = np.mean(list(precisions.values()), axis=0)
    asked = as_scored(predictions.retrieval, kept, classes)
    is_found = {k: found_in_first(truth, asked, multiple=k, tiou=_RECALL_TIOU) for k in (1, 5)}
    values = [*by_tiou, by_tiou.mean(), is_found[1].mean(), is_found[5].mean()]
    return MqScores({name: float(value) for name, value in zip(KEYS, values, strict=True)}, is_found)


def gain_facts(ours: PredictionFile, theirs: PredictionFile, annotations: MqAnnotations) -> dict[str, object]:
    """By how much recall is above that of other predictions on the same moments, with paired intervals over videos."""
    kept = kept_clips(theirs, kept_clips(ours, annotations.val))
    is_found = [score_predictions(each, kept, annotations.labels).is_found for each in (ours, theirs)]
    videos = [clip.clip_uid if clip.span is None else clip.span.video_id for clip in kept.clips]
    groups = np.unique(videos, return_inverse=True)[1][kept.moments(annotations.labels).clip]
    said = []
    for k in is_found[0]:
        values = [found[k].astype(np.float64) for found in is_found]
        gain = paired_difference(*values, groups=groups)
        said.append(f"R@{k}x {100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]")
    return {"above zero-shot": f"{', '.join(said)} (95 %, paired bootstrap over {len(set(videos))} videos)"}


def count_facts(predictions: PredictionFile, kept: EgoMq, annotations: MqAnnotations) -> dict[str, object]:
    """On how many of how many items the numbers rest, and what of the files does not count."""
    val, num_moments = annotations.val, sum(len(clip.moments) for clip in kept.clips)
    all_moments = sum(len(clip.moments) for clip in val.clips)
    facts: dict[str, object] = {
        "scored": f"{num_moments} of {all_moments} moments, {len(kept.clips)} of {len(val.clips)} clips"
    }
    if val.num_unannotated:
        facts["left out"] = f"{val.num_unannotated} clips without a primary moment, as in the reference"
    without_length = sum(moment.end_s == moment.start_s for clip in kept.clips for moment in clip.moments)
    if without_length:
        facts["without length"] = f"{without_length} moments end where they start: counted, though nothing finds them"
    repeated = num_moments - sum(len(set(clip.moments)) for clip in kept.clips)
    if repeated:
        facts["repeated"] = f"{repeated} moments are annotated more than once; each counts, as in the reference"
    stray = num_unscored(predictions.detection, val, annotations.labels)
    if stray:
        facts["not counted"] = f"{stray} predictions for clips or classes that are not annotated"
    unsorted = unsorted_clips(predictions.retrieval)
    if unsorted:
        facts["order"] = f"{len(unsorted)} clips list surer predictions after others; recall takes the file's order"
    return facts
