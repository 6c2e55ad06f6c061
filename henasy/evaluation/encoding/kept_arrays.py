"""Arrays about spans that are computed group by group, each group kept in the cache as soon as it is done.

N spans.
"""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.encoding.embed import SpanArrays
from henasy.evaluation.encoding.embedding_cache import Arrays, Key, load_entry, store_entry
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.encoding.span_frames import RefusedSpans
from henasy.evaluation.encoding.span_groups import joined_rows, span_groups

_IS_ENCODED, _IS_CUT, _REFUSED = "is_encoded", "is_cut", "refused"


class KeptSpans(NamedTuple):
    """Arrays about all spans."""

    arrays: Arrays
    """(N, ...) each"""
    is_encoded: NDArray[np.bool_]
    """(N,)"""
    num_cut: int
    """Spans that were cut at the end of their video."""
    refused: tuple[RefusedSpans, ...]


def kept_groups(
    spans: Sequence[Span],
    max_spans: int,
    key_of: Callable[[Sequence[Span]], Key],
    compute: Callable[[Sequence[Span]], Arrays],
    *,
    is_cached: bool,
    is_partial_welcome: bool,
    on_progress: Callable[[int], None],
) -> KeptSpans:
    """The arrays of all spans.

    Args:
        spans: N spans.
        max_spans: of a group; one video is never split.
        key_of: what fixes the arrays of a group.
        compute: makes them, as `packed` gives them.
        is_cached: whether the cache is read and written.
        is_partial_welcome: whether a kept group in which spans are refused will do; otherwise it is computed again.
        on_progress: called with the number of spans of every group that comes from the cache.
    """
    groups = span_groups(spans, max_spans)
    parts: list[Arrays] = []
    refused: list[RefusedSpans] = []
    for rows in groups:
        group = [spans[row] for row in rows]
        key = key_of(group)
        arrays = load_entry(key) if is_cached else None
        if arrays is None or not (is_partial_welcome or arrays[_IS_ENCODED].all()):
            arrays = compute(group)
            if is_cached:
                store_entry(key, arrays)
        else:
            on_progress(len(group))
        listed = json.loads(arrays[_REFUSED].tobytes())
        refused += [RefusedSpans(rows[np.array(places, np.int64)], reason) for places, reason in listed]
        parts.append({name: array for name, array in arrays.items() if name != _REFUSED})
    joined = joined_rows(groups, parts)
    return KeptSpans(joined, joined.pop(_IS_ENCODED), int(joined.pop(_IS_CUT).sum()), tuple(refused))


def packed(found: SpanArrays, blank: Arrays) -> Arrays:
    """What was found, with blank arrays for what was not, as the cache keeps it."""
    refused = json.dumps([(part.rows.tolist(), part.reason) for part in found.refused]).encode()
    flags = {_IS_ENCODED: found.is_described, _IS_CUT: found.is_cut, _REFUSED: np.frombuffer(refused, np.uint8)}
    return blank | found.values | flags
