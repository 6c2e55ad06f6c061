"""The questions of an EgoNLQ run, one by one, for its report."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.egonlq import NlqQuery
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.metrics.nlq import THRESHOLDS, query_overlaps
from henasy.evaluation.metrics.spans import recalls
from henasy.evaluation.pages.details import Candidate, Chart, Details, Line, QueryItem, sorted_scores
from henasy.evaluation.span_tasks.nlq_predictions import Predictions

_SHOWN = 4
_MAX_RANK = 10


def nlq_details(queries: Sequence[NlqQuery], predictions: Predictions) -> Details:
    """The questions by how well their first span overlaps the answer; spans are on the clock of their clip.

    Args:
        queries: those that were answered, each with a text.
        predictions: of every one of them.
    """
    overlaps = [query_overlaps(predictions[query.key], (query.start_s, query.end_s)) for query in queries]
    first = [float(values[0]) if len(values) else 0.0 for values in overlaps]
    items = tuple(
        QueryItem(
            text=query.text or "", kind=query.key.clip_uid, score=score, candidates=_candidates(query, spans, iou)
        )
        for query, spans, iou, score in zip(
            queries, (predictions[query.key] for query in queries), overlaps, first, strict=True
        )
    )
    charts = (
        Chart(
            title="answered within",
            x_label="spans taken",
            y_label="questions, %",
            lines=tuple(_recall(overlaps, threshold) for threshold in THRESHOLDS),
        ),
        Chart(
            title="IoU of the first span",
            x_label="questions, %, best first",
            y_label="IoU, %",
            lines=(sorted_scores("questions", first),),
        ),
    )
    return Details(score_name="IoU of the first span", items=items, charts=charts)


def _recall(overlaps: Sequence[NDArray[np.float64]], threshold: float) -> Line:
    ranks = np.arange(1, _MAX_RANK + 1)
    shares = [100 * float(recalls(overlaps, int(rank), threshold).mean()) for rank in ranks]
    return Line(f"IoU > {threshold:g}", ranks.astype(np.float64), np.array(shares))


def _candidates(query: NlqQuery, spans: NDArray[np.float64], iou: NDArray[np.float64]) -> tuple[Candidate, ...]:
    """The first spans with their overlap, and the annotated one."""
    found = [
        _candidate(f"{rank}. span, IoU", query, span, float(value), is_right=value > THRESHOLDS[0])
        for rank, (span, value) in enumerate(zip(spans[:_SHOWN].tolist(), iou[:_SHOWN], strict=True), 1)
    ]
    return (*found, _candidate("the answer", query, [query.start_s, query.end_s], 1.0, is_right=True))


def _candidate(label: str, query: NlqQuery, span: list[float], iou: float, *, is_right: bool) -> Candidate:
    start_s, end_s = span
    return Candidate(
        label=f"{label}, {start_s:.1f}-{end_s:.1f} s",
        similarity=iou,
        is_right=bool(is_right),
        span=Span(query.key.clip_uid, start_s, end_s) if end_s > start_s else None,
    )
