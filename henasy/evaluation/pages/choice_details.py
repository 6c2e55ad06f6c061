"""Clips that were given one of several texts, one by one, for a report: classes, or captions with a word swapped.

N clips, C texts.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.egohoi import EgoHoi
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.pages.details import Candidate, Chart, Details, QueryItem, found_within, sorted_values

_CLOSEST = 4
_LEAD = "lead of the right text"


def class_details(
    texts: Sequence[str],
    names: Sequence[str],
    similarity: NDArray[np.float64],
    targets: NDArray[np.int64],
    spans: Sequence[Span],
) -> Details:
    """The clips of a classification by how far the right class is ahead of the closest wrong one.

    Args:
        texts: (N) what each clip is called in the report.
        names: (C) of the classes.
        similarity: (N, C)
        targets: (N,) the right class.
        spans: (N)
    """
    leads = _leads(similarity, targets)
    items = tuple(
        _item(text, names, row, int(target), span, float(lead))
        for text, row, target, span, lead in zip(texts, similarity, targets, spans, leads, strict=True)
    )
    own = np.take_along_axis(similarity, targets[:, None], axis=1)
    ranks = 1 + (similarity > own).sum(axis=1)
    return Details(
        score_name=_LEAD,
        items=items,
        charts=_charts({"clips": leads}, {"clips": ranks}, similarity.shape[1], "rank of the right class"),
    )


def swap_details(annotations: EgoHoi, similarity: NDArray[np.float64], kept: NDArray[np.bool_]) -> Details:
    """The items of a word-swap run by how far the true caption is ahead of the closest swap.

    Args:
        annotations: N items.
        similarity: (N, 21) to the true caption, the verb swaps and the noun swaps.
        kept: (N,) items that were scored.
    """
    rows = np.flatnonzero(kept)
    scored = similarity[rows]
    items = []
    for row, closeness in zip(rows.tolist(), scored, strict=True):
        item = annotations.items[row]
        lead = float(closeness[0] - closeness[1:].max())
        items.append(_item(item.text, item.captions, closeness, 0, item.span, lead))
    num_swaps = (scored.shape[1] - 1) // 2
    kinds = {"verb swaps": scored[:, 1 : 1 + num_swaps], "noun swaps": scored[:, 1 + num_swaps :]}
    leads = {name: scored[:, 0] - swaps.max(axis=1) for name, swaps in kinds.items()}
    ranks = {name: 1 + (swaps > scored[:, :1]).sum(axis=1) for name, swaps in kinds.items()}
    charts = _charts(leads, ranks, 1 + num_swaps, "rank of the true caption")
    return Details(score_name=_LEAD, items=tuple(items), charts=charts)


def _item(
    text: str, labels: Sequence[str], similarity: NDArray[np.float64], target: int, span: Span, lead: float
) -> QueryItem:
    """A clip with its closest texts and the right one; the clip is shown once, with the closest."""
    order = np.argsort(-similarity, kind="stable")[:_CLOSEST].tolist()
    if target not in order:
        order.append(target)
    candidates = tuple(
        Candidate(
            label=labels[choice],
            similarity=float(similarity[choice]),
            is_right=choice == target,
            span=span if place == 0 else None,
        )
        for place, choice in enumerate(order)
    )
    return QueryItem(text=text, kind="", score=lead, candidates=candidates)


def _leads(similarity: NDArray[np.float64], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) similarity of the right class minus that of the closest other one."""
    at = np.arange(len(targets))
    own = similarity[at, targets]
    others = similarity.copy()
    others[at, targets] = -np.inf
    leads: NDArray[np.float64] = own - others.max(axis=1)
    return leads


def _charts(
    leads: Mapping[str, NDArray[np.float64]], ranks: Mapping[str, NDArray[np.int64]], num_ranks: int, title: str
) -> tuple[Chart, ...]:
    return (
        Chart(
            title=title,
            x_label="rank",
            y_label="clips within, %",
            is_log_x=True,
            lines=tuple(found_within(name, values, num_ranks) for name, values in ranks.items()),
        ),
        Chart(
            title=_LEAD,
            x_label="clips, %, best first",
            y_label="similarity ahead",
            lines=tuple(sorted_values(name, values) for name, values in leads.items()),
        ),
    )
