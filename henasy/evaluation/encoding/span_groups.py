"""A long list of spans in groups of whole videos, so that what a killed run had finished need not be done again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.encoding.frame_rules import Span

Rows = NDArray[np.int64]


def span_groups(spans: Sequence[Span], max_spans: int) -> list[Rows]:
    """The rows of each group; together every row once.

    A group is closed by the video with which it would exceed `max_spans`; one video is never split. Spans that fit
    into one group keep their order.
    """
    if len(spans) <= max_spans:
        return [np.arange(len(spans))]
    rows_of: dict[str, list[int]] = {}
    for row, span in enumerate(spans):
        rows_of.setdefault(span.video_id, []).append(row)
    groups: list[list[int]] = [[]]
    for rows in rows_of.values():
        if groups[-1] and len(groups[-1]) + len(rows) > max_spans:
            groups.append([])
        groups[-1].extend(rows)
    return [np.array(rows, np.int64) for rows in groups]


def joined_rows(groups: Sequence[Rows], parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Arrays over all rows from the same arrays over the rows of each group."""
    if len(parts) == 1:
        return dict(parts[0])
    place = np.argsort(np.concatenate(groups))
    return {name: np.concatenate([part[name] for part in parts])[place] for name in parts[0]}
