"""The queries of one's own archive, one by one, for a report."""

import math
from collections.abc import Sequence

from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.own.archive import OwnArchive, Scored, ScoreRules, Usable
from henasy.evaluation.own.found_spans import FoundSpan
from henasy.evaluation.own.qrels import Judgement
from henasy.evaluation.pages.details import Candidate, Chart, Details, QueryItem, found_within, sorted_scores

_SHOWN = 5


def own_details(own: OwnArchive, usable: Usable, scored: Scored, rules: ScoreRules) -> Details:
    """The queries by the first of the measures, with their first hits and the first right one."""
    measure = rules.measures[0]
    values = scored.values[measure]
    grades = {
        query_id: [_grade(hit, usable.judged[query_id], rules.min_iou) for hit in scored.found[query_id]]
        for query_id in scored.query_ids
    }
    items = tuple(
        QueryItem(
            text=own.queries[query_id],
            kind=query_id,
            score=float(value),
            candidates=_candidates(scored.found[query_id], grades[query_id]),
        )
        for query_id, value in zip(scored.query_ids, values, strict=True)
    )
    ranks = [_first_right(grades[query_id]) for query_id in scored.query_ids]
    charts = (
        Chart(
            title="first relevant hit",
            x_label="rank",
            y_label="queries that found one, %",
            is_log_x=True,
            lines=(found_within("queries", ranks, rules.top_k),),
        ),
        Chart(
            title=f"{measure} of queries",
            x_label="queries, %, best first",
            y_label=f"{measure}, %",
            lines=(sorted_scores("queries", values),),
        ),
    )
    return Details(score_name=measure, items=items, charts=charts)


def _grade(hit: FoundSpan, judged: Sequence[Judgement], min_iou: float) -> int | None:
    """The highest relevance of what a hit overlaps enough; None where nobody judged."""
    overlaps = (
        (judgement.relevance, judgement.doc.overlap(hit.start_s, hit.end_s))
        for judgement in judged
        if judgement.doc.video in (hit.video_id, hit.path)
    )
    return max((relevance for relevance, overlap in overlaps if overlap > 0 and overlap >= min_iou), default=None)


def _first_right(grades: Sequence[int | None]) -> float:
    """Rank of the first relevant hit, from 1; infinite where there is none."""
    return next((float(rank) for rank, grade in enumerate(grades, 1) if grade), math.inf)


def _candidates(found: Sequence[FoundSpan], grades: Sequence[int | None]) -> tuple[Candidate, ...]:
    first_right = _first_right(grades)
    rows = list(range(min(_SHOWN, len(found))))
    if _SHOWN < first_right < math.inf:
        rows.append(int(first_right) - 1)
    return tuple(_candidate(found[row], grades[row], row + 1) for row in rows)


def _candidate(hit: FoundSpan, grade: int | None, rank: int) -> Candidate:
    judged = "not judged" if grade is None else f"relevance {grade}"
    return Candidate(
        label=f"hit {rank}: {hit.path} {hit.start_s:.1f}-{hit.end_s:.1f} s, {judged}",
        similarity=hit.score,
        is_right=None if grade is None else grade > 0,
        span=Span(hit.video_id, hit.start_s, hit.end_s),
    )
