"""The queries of a run of the benchmark of moments, one by one, and its curves, for a report.

Q queries.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.metrics.spans import met_spans, recalls
from henasy.evaluation.moments.baselines import RankedSpans
from henasy.evaluation.moments.queries import MomentQuery
from henasy.evaluation.pages.details import Candidate, Chart, Details, Line, QueryItem, sorted_scores

_SHOWN = 4
_MAX_RANK = 10
_IOUS = np.arange(0.05, 1.0, 0.05)
_RANKED_IOU = 0.5


def moments_details(queries: Sequence[MomentQuery], found: dict[str, Sequence[RankedSpans]], finder: str) -> Details:
    """The queries by how well the first moment of one finder overlaps a true one, in each query's own video.

    Args:
        queries: Q queries.
        found: by finder, (Q,) what it answered.
        finder: whose answers are shown query by query.
    """
    overlaps = {
        name: [_overlaps(query, one) for query, one in zip(queries, spans, strict=True)]
        for name, spans in found.items()
    }
    first = [float(values[0]) if len(values) else 0.0 for values in overlaps[finder]]
    items = tuple(
        QueryItem(text=query.text, kind=query.video_uid, score=score, candidates=_candidates(query, one, values))
        for query, one, values, score in zip(queries, found[finder], overlaps[finder], first, strict=True)
    )
    charts = (
        *(_recall_over_iou(overlaps, rank) for rank in (1, 5)),
        Chart(
            title=f"found within, IoU > {_RANKED_IOU:g}",
            x_label="moments taken",
            y_label="queries, %",
            lines=tuple(_recall_over_rank(name, values) for name, values in overlaps.items()),
        ),
        Chart(
            title="IoU of the first moment",
            x_label="queries, %, best first",
            y_label="IoU, %",
            lines=tuple(
                sorted_scores(name, [float(one[0]) if len(one) else 0.0 for one in values])
                for name, values in overlaps.items()
            ),
        ),
    )
    return Details(score_name=f"IoU of the first moment of {finder}", items=items, charts=charts)


def _overlaps(query: MomentQuery, found: RankedSpans) -> NDArray[np.float64]:
    return met_spans(found.spans, query.own_answers).overlap


def _recall_over_iou(overlaps: dict[str, list[NDArray[np.float64]]], rank: int) -> Chart:
    lines = tuple(
        Line(name, _IOUS, np.array([100 * float(recalls(values, rank, iou).mean()) for iou in _IOUS.tolist()]))
        for name, values in overlaps.items()
    )
    return Chart(title=f"R@{rank}", x_label="IoU above", y_label="queries, %", lines=lines)


def _recall_over_rank(name: str, overlaps: list[NDArray[np.float64]]) -> Line:
    ranks = np.arange(1, _MAX_RANK + 1)
    shares = [100 * float(recalls(overlaps, int(rank), _RANKED_IOU).mean()) for rank in ranks]
    return Line(name, ranks.astype(np.float64), np.array(shares))


def _candidates(query: MomentQuery, found: RankedSpans, overlaps: NDArray[np.float64]) -> tuple[Candidate, ...]:
    """The first moments with their overlap, and the true one that the narration is of."""
    moments = [
        _candidate(f"{rank}. moment, IoU", query, span, float(iou), is_right=bool(iou > _RANKED_IOU))
        for rank, (span, iou) in enumerate(zip(found.spans[:_SHOWN].tolist(), overlaps, strict=False), 1)
    ]
    return (*moments, _candidate("the narrated action", query, list(query.own_s), 1.0, is_right=True))


def _candidate(label: str, query: MomentQuery, span: list[float], iou: float, *, is_right: bool) -> Candidate:
    start_s, end_s = span
    return Candidate(
        label=f"{label}, {start_s:.1f}-{end_s:.1f} s",
        similarity=iou,
        is_right=is_right,
        span=Span(query.video_uid, start_s, end_s),
    )
