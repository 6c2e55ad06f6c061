"""The sentences of an EK100 multi-instance retrieval run, one by one, for its report.

V clips, S sentences.
"""

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.epic100 import EpicClip, EpicRetrieval
from henasy.evaluation.metrics.mir import query_scores
from henasy.evaluation.pages.details import Candidate, Chart, Details, QueryItem, found_within, sorted_scores

_CLOSEST = 5


def mir_details(
    annotations: EpicRetrieval,
    similarity: NDArray[np.float64],
    relevancy: NDArray[np.float64],
    clip_rows: NDArray[np.int64],
    sentence_rows: NDArray[np.int64],
) -> Details:
    """The sentences by the average precision with which they find clips.

    Args:
        annotations: clips and sentences.
        similarity: (V, S) of those that were scored.
        relevancy: (V, S)
        clip_rows: (V,) the rows of `annotations.clips` that were scored.
        sentence_rows: (S,) the sentences that were scored.
    """
    scores = query_scores(similarity.T, relevancy.T)
    is_right = relevancy == 1
    items = tuple(
        _item(annotations, row, similarity[:, at], is_right[:, at], clip_rows, float(scores.average_precision[at]))
        for at, row in enumerate(sentence_rows.tolist())
    )
    clips = query_scores(similarity, relevancy)
    charts = (
        Chart(
            title="first item of relevancy 1",
            x_label="rank",
            y_label="queries that found one, %",
            is_log_x=True,
            lines=(
                found_within("text to video", _first_ranks(similarity.T, is_right.T), len(similarity)),
                found_within("video to text", _first_ranks(similarity, is_right), len(similarity.T)),
            ),
        ),
        Chart(
            title="average precision of queries",
            x_label="queries, %, best first",
            y_label="average precision, %",
            lines=(
                sorted_scores("text to video", scores.average_precision),
                sorted_scores("video to text", clips.average_precision),
            ),
        ),
    )
    return Details(score_name="average precision", items=items, charts=charts)


def _item(
    annotations: EpicRetrieval,
    sentence: int,
    similarity: NDArray[np.float64],
    is_right: NDArray[np.bool_],
    clip_rows: NDArray[np.int64],
    score: float,
) -> QueryItem:
    """One sentence with its closest clips, and the closest right one where none of them is."""
    order = np.argsort(-similarity, kind="stable")
    shown = order[:_CLOSEST].tolist()
    if not is_right[shown].any():
        shown.append(int(order[is_right[order].argmax()]))
    candidates = tuple(
        Candidate(
            label=_label(annotations.clips[clip_rows[at]]),
            similarity=float(similarity[at]),
            is_right=bool(is_right[at]),
            span=annotations.clips[clip_rows[at]].span,
        )
        for at in shown
    )
    text = annotations.clips[annotations.sentence_rows[sentence]].narration
    return QueryItem(text=text, kind="", score=score, candidates=candidates)


def _label(clip: EpicClip) -> str:
    return f"{clip.narration}: {clip.span.video_id} {clip.span.start_s:.1f}-{clip.span.end_s:.1f} s"


def _first_ranks(similarity: NDArray[np.float64], is_right: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(Q,) rank of each row's closest right item, from 1."""
    best = np.where(is_right, similarity, -np.inf).max(axis=1, keepdims=True)
    ranks: NDArray[np.int64] = 1 + (similarity > best).sum(axis=1)
    return ranks
