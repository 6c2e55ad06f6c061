"""The questions of a multiple-choice run, one by one, for its report.

Q questions, C choices.
"""

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.egomcq import EgoMcq, McqQuestion
from henasy.evaluation.metrics.multiple_choice import INTER, INTRA
from henasy.evaluation.pages.details import Candidate, Chart, Details, Line, QueryItem, sorted_values

_KINDS = {INTER: "inter", INTRA: "intra"}


def mcq_details(annotations: EgoMcq, similarity: NDArray[np.float64], kept: NDArray[np.bool_]) -> Details:
    """The questions by how far the right choice is ahead of the best wrong one.

    Args:
        annotations: Q questions.
        similarity: (Q, C)
        kept: (Q,) questions that were scored.
    """
    rows = np.flatnonzero(kept)
    margins = _margins(similarity[rows], annotations.answers[rows])
    items = tuple(
        _item(annotations.questions[row], similarity[row], float(margin))
        for row, margin in zip(rows.tolist(), margins, strict=True)
    )
    types = annotations.types[rows]
    by_kind = {name: margins[types == kind] for kind, name in _KINDS.items() if (types == kind).any()}
    ranks = _ranks(similarity[rows], annotations.answers[rows])
    within = tuple(_within(name, ranks[types == kind]) for kind, name in _KINDS.items() if (types == kind).any())
    charts = (
        Chart(title="answer among the closest", x_label="choices taken", y_label="questions, %", lines=within),
        Chart(
            title="lead of the right choice",
            x_label="questions, %, best first",
            y_label="similarity ahead",
            lines=tuple(sorted_values(name, values) for name, values in by_kind.items()),
        ),
    )
    return Details(score_name="lead of the right choice", items=items, charts=charts)


def _item(question: McqQuestion, similarity: NDArray[np.float64], margin: float) -> QueryItem:
    order = np.argsort(-similarity, kind="stable").tolist()
    candidates = tuple(
        Candidate(
            label=f"{span.video_id} {span.start_s:.1f}-{span.end_s:.1f} s",
            similarity=float(similarity[choice]),
            is_right=choice == question.answer,
            span=span,
        )
        for choice, span in ((choice, question.choices[choice]) for choice in order)
    )
    return QueryItem(text=question.text, kind=_KINDS[question.type], score=margin, candidates=candidates)


def _margins(similarity: NDArray[np.float64], answers: NDArray[np.int64]) -> NDArray[np.float64]:
    """(Q,) similarity of the answer minus that of the closest other choice."""
    at = np.arange(len(answers))
    others = similarity.copy()
    others[at, answers] = -np.inf
    margins: NDArray[np.float64] = similarity[at, answers] - others.max(axis=1)
    return margins


def _ranks(similarity: NDArray[np.float64], answers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(Q,) from 1; of equal choices the first is closer, as it is for the accuracy."""
    order = np.argsort(-similarity, axis=1, kind="stable")
    ranks: NDArray[np.int64] = 1 + (order == answers[:, None]).argmax(axis=1)
    return ranks


def _within(name: str, ranks: NDArray[np.int64]) -> Line:
    x = np.arange(1.0, 6.0)
    return Line(name, x, 100 * (ranks[None, :] <= x[:, None]).mean(axis=1))
