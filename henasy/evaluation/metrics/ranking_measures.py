"""The usual measures of ranked retrieval, query by query. Owner of ir_measures.

Q queries. Gains of nDCG are the relevances themselves; a document that nobody judged counts as not relevant, and
Judged@k says how many of the first k somebody looked at.
"""

import re
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError, missing_extra

DEFAULT_MEASURES = ("nDCG@10", "AP", "RR", "P@5", "P@10", "R@10", "R@100", "Judged@10")
_NAME = re.compile(r"(?:nDCG|AP|RR)(?:@(?P<cutoff>\d{1,5}))?|(?:P|R|Success|Judged)@(?P<needed>\d{1,5})", re.ASCII)
_MAX_CUTOFF = 1000


def check_measures(names: Sequence[str]) -> None:
    """Passes for names of measures that need a ranking and judgements alone.

    ir_measures knows more of them, some of which end the process for a wrong parameter.

    Raises:
        InputError: a name is unknown, its cut-off is not from 1 to 1000, or it is there twice.
    """
    if not names:
        raise InputError("--measure", "none given")
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None or (not 1 <= int(match["cutoff"] or match["needed"] or 1) <= _MAX_CUTOFF):
            raise InputError(
                "--measure",
                f"{name!r} is none of nDCG, AP, RR, with or without @k, and P@k, R@k, Success@k, Judged@k; "
                f"k from 1 to {_MAX_CUTOFF}",
            )
    if len(set(names)) < len(names):
        raise InputError("--measure", f"the same one twice: {', '.join(names)}")


def cutoff_of(name: str) -> int | None:
    """How many hits a measure of `check_measures` looks at; None for all."""
    match = _NAME.fullmatch(name)
    assert match is not None
    cutoff = match["cutoff"] or match["needed"]
    return None if cutoff is None else int(cutoff)


def measure_queries(
    measures: Sequence[str], relevance: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, NDArray[np.float64]]:
    """The value (Q,) of each measure for each query, in the order of `relevance`; 0 where nothing was found.

    Args:
        measures: names as ir_measures writes them.
        relevance: per query, how relevant each judged document is.
        rankings: per query, documents, best first; without repetitions.

    Raises:
        InputError: as `check_measures`.
        ConfigError: if ir_measures is not installed.
    """
    check_measures(measures)
    ir_measures = _library()
    parsed = {ir_measures.parse_measure(name): name for name in measures}
    row_of = {query_id: row for row, query_id in enumerate(relevance)}
    values = {name: np.zeros(len(row_of)) for name in measures}
    # Scores that fall from rank to rank: trec_eval would order equal ones by the names of the documents.
    run = {
        query_id: {doc: float(len(docs) - rank) for rank, doc in enumerate(docs)}
        for query_id, docs in rankings.items()
        if docs
    }
    judged = {query_id: dict(docs) for query_id, docs in relevance.items()}
    for found in ir_measures.iter_calc(list(parsed), judged, run):
        values[parsed[found.measure]][row_of[found.query_id]] = found.value
    return values


def _library() -> ModuleType:
    try:
        import ir_measures
    except ModuleNotFoundError as error:
        raise missing_extra("ir_measures is not installed", "eval") from error
    return ir_measures
