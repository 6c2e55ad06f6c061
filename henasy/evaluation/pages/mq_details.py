"""The classes of each clip of an EgoMQ run, one by one, for its report."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.egomq import EgoMq, Moment, MomentClip
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.metrics.spans import true_iou
from henasy.evaluation.pages.details import Candidate, Chart, Details, Line, QueryItem, sorted_scores
from henasy.evaluation.span_tasks.mq_predictions import PredictedMoment, Predictions

_SHOWN = 4
_TIOUS = (0.3, 0.5)
_MAX_MULTIPLE = 5


def mq_details(kept: EgoMq, predictions: Predictions) -> Details:
    """The classes of each clip by how well their first predictions overlap the annotated moments.

    Of n annotated moments of a class in a clip, the first n predictions of that class count.

    Args:
        kept: the clips that were scored.
        predictions: of every one of them, surest first.
    """
    items, moments = [], []
    for clip in kept.clips:
        for label in dict.fromkeys(moment.label for moment in clip.moments):
            truth = [moment for moment in clip.moments if moment.label == label]
            found = [one for one in predictions[clip.clip_uid] if one.label == label]
            overlaps = true_iou(_spans(found), _spans(truth))
            moments.append(overlaps)
            items.append(_item(clip, label, truth, found, overlaps))
    charts = (
        Chart(
            title="moments found",
            x_label="predictions taken, times the moments of the class",
            y_label="moments, %",
            lines=tuple(_recall(moments, tiou) for tiou in _TIOUS),
        ),
        Chart(
            title="IoU with the first predictions",
            x_label="classes of clips, %, best first",
            y_label="mean IoU, %",
            lines=(sorted_scores("classes of clips", [item.score for item in items]),),
        ),
    )
    return Details(score_name="mean IoU", items=tuple(items), charts=charts)


def _item(
    clip: MomentClip,
    label: str,
    truth: Sequence[Moment],
    found: Sequence[PredictedMoment],
    overlaps: NDArray[np.float64],
) -> QueryItem:
    """A class with its first predictions, each with its overlap, and what was annotated; `overlaps` (P, n)."""
    best = overlaps.max(axis=1, initial=0.0)
    shown = [
        _candidate(clip, f"{rank}. moment, IoU", one.start_s, one.end_s, float(iou), is_right=iou > _TIOUS[-1])
        for rank, (one, iou) in enumerate(zip(found[:_SHOWN], best[:_SHOWN], strict=True), 1)
    ]
    true = [_candidate(clip, "annotated", one.start_s, one.end_s, 1.0, is_right=True) for one in truth]
    return QueryItem(
        text=label.replace("_", " "),
        kind=clip.clip_uid,
        score=float(_best_of_first(overlaps, 1).mean()),
        candidates=(*shown, *true),
    )


def _best_of_first(overlaps: NDArray[np.float64], multiple: int) -> NDArray[np.float64]:
    """(n,) the largest overlap of each annotated moment with the first `multiple` x n predictions."""
    best: NDArray[np.float64] = overlaps[: multiple * overlaps.shape[1]].max(axis=0, initial=0.0)
    return best


def _recall(moments: Sequence[NDArray[np.float64]], tiou: float) -> Line:
    multiples = range(1, _MAX_MULTIPLE + 1)
    shares = [
        100 * np.concatenate([_best_of_first(overlaps, multiple) > tiou for overlaps in moments]).mean()
        for multiple in multiples
    ]
    return Line(f"IoU > {tiou:g}", np.array(multiples, np.float64), np.array(shares, np.float64))


def _candidate(clip: MomentClip, label: str, start_s: float, end_s: float, iou: float, *, is_right: bool) -> Candidate:
    return Candidate(
        label=f"{label}, {start_s:.1f}-{end_s:.1f} s",
        similarity=iou,
        is_right=bool(is_right),
        span=Span(clip.clip_uid, start_s, end_s) if end_s > start_s else None,
    )


def _spans(moments: Sequence[Moment] | Sequence[PredictedMoment]) -> NDArray[np.float64]:
    return np.array([(one.start_s, one.end_s) for one in moments], np.float64).reshape(-1, 2)
