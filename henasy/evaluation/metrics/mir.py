"""EK100 multi-instance retrieval: mAP and nDCG of a similarity matrix under graded relevancy.

Ranks follow descending similarity. Equal similarities keep the order of the annotation file (the item of the smaller
row or column comes first), so that a result does not depend on the sorting algorithm; the seven repeated sentences
of the published test set always tie with their first occurrence.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

Float64s = NDArray[np.float64]

# Rows ranked at a time: bounds the temporaries to some tens of megabytes whatever the gallery.
_BLOCK_ROWS = 512


class QueryScores(NamedTuple):
    """The two measures of every query of one direction, each (Q,) and a fraction."""

    average_precision: Float64s
    ndcg: Float64s


class MirScores(NamedTuple):
    """The six numbers of an EK100-MIR table, as fractions."""

    map_v2t: float
    map_t2v: float
    map_avg: float
    ndcg_v2t: float
    ndcg_t2v: float
    ndcg_avg: float

    def as_fractions(self) -> dict[str, float]:
        """The numbers under the keys that benchmark files use."""
        return {name.replace("map", "mAP").replace("ndcg", "nDCG"): value for name, value in self._asdict().items()}


def mir_scores(similarity: Float64s, relevancy: Float64s) -> MirScores:
    """Mean average precision and nDCG from video to text, from text to video, and their plain means.

    Args:
        similarity: (V, S), larger means closer; rows are videos, columns sentences.
        relevancy: (V, S) in [0, 1]; every row and every column has at least one 1.

    Raises:
        InputError: if shapes differ, a value is not finite, or a query has nothing with relevancy 1.

    Source: PROTOCOLS section 3.2 (Damen et al., EPIC-KITCHENS-100, multi-instance retrieval).
    """
    videos = query_scores(similarity, relevancy)
    texts = query_scores(similarity.T, relevancy.T)
    map_v2t, map_t2v = float(videos.average_precision.mean()), float(texts.average_precision.mean())
    ndcg_v2t, ndcg_t2v = float(videos.ndcg.mean()), float(texts.ndcg.mean())
    return MirScores(map_v2t, map_t2v, (map_v2t + map_t2v) / 2, ndcg_v2t, ndcg_t2v, (ndcg_v2t + ndcg_t2v) / 2)


def query_scores(similarity: Float64s, relevancy: Float64s) -> QueryScores:
    """Average precision and nDCG of each row of `similarity` as a query over its columns.

    Average precision counts an item as found only where relevancy is exactly 1, but its precision at a rank adds up
    every relevancy above that rank, partial ones included; nDCG looks at as many ranks as the query has items with
    a relevancy above 0.
    """
    _check(similarity, relevancy)
    precisions, ndcgs = [], []
    discounts = 1.0 / np.log2(np.arange(relevancy.shape[1]) + 2.0)
    for ranked in _ranked_blocks(similarity, relevancy):
        precisions.append(_average_precision(ranked))
        ndcgs.append(_ndcg(ranked, discounts))
    return QueryScores(np.concatenate(precisions), np.concatenate(ndcgs))


def _ranked_blocks(similarity: Float64s, relevancy: Float64s) -> Iterator[Float64s]:
    """Relevancies in the order of descending similarity, some rows at a time."""
    for first in range(0, len(similarity), _BLOCK_ROWS):
        descending = -np.ascontiguousarray(similarity[first : first + _BLOCK_ROWS])
        order = _stable_argsort(descending)
        yield np.take_along_axis(np.ascontiguousarray(relevancy[first : first + _BLOCK_ROWS]), order, axis=1)


def _stable_argsort(values: Float64s) -> NDArray[np.int64]:
    """What `argsort(kind="stable")` gives, at the speed of the default kind where rows have no ties."""
    order = np.argsort(values, axis=1)
    ranked = np.take_along_axis(values, order, axis=1)
    is_tied = (ranked[:, 1:] == ranked[:, :-1]).any(axis=1)
    order[is_tied] = np.argsort(values[is_tied], axis=1, kind="stable")
    return order


def _average_precision(ranked: Float64s) -> Float64s:
    """(Q,) from relevancies (Q, N) in rank order."""
    precision = np.cumsum(ranked, axis=1) / np.arange(1, ranked.shape[1] + 1)
    is_match = ranked == 1.0
    scores: Float64s = (precision * is_match).sum(axis=1) / is_match.sum(axis=1)
    return scores


def _ndcg(ranked: Float64s, discounts: Float64s) -> Float64s:
    """(Q,) from relevancies (Q, N) in rank order; the cut-off is each query's own number of relevant items."""
    num_relevant = (ranked > 0).sum(axis=1, keepdims=True)
    is_counted = np.arange(ranked.shape[1]) < num_relevant
    gain = (ranked * is_counted) @ discounts
    ideal = np.sort(ranked, axis=1)[:, ::-1] @ discounts
    scores: Float64s = gain / ideal
    return scores


def _check(similarity: Float64s, relevancy: Float64s) -> None:
    if similarity.ndim != 2 or similarity.size == 0 or similarity.shape != relevancy.shape:
        raise InputError(
            "similarity",
            f"shape {similarity.shape} does not fit relevancy {relevancy.shape}: two equal, non-empty matrices",
        )
    finite = np.isfinite(similarity).all(axis=1)
    if not finite.all():
        raise InputError("similarity", f"row {int(np.argmin(finite))} is not finite everywhere")
    has_match = (relevancy == 1.0).any(axis=1)
    if not has_match.all():
        raise InputError("relevancy", f"query {int(np.argmin(has_match))} has no item with relevancy 1")
