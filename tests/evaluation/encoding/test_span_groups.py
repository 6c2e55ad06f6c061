"""Groups of spans by whole videos, and arrays put together again in the order of the spans."""

import numpy as np

from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.encoding.span_groups import joined_rows, span_groups

SPANS = [Span(video, float(row), row + 1.0) for row, video in enumerate("abacbbddd")]


def test_what_fits_is_one_group_in_its_own_order() -> None:
    assert [rows.tolist() for rows in span_groups(SPANS, 9)] == [list(range(9))]
    assert [rows.tolist() for rows in span_groups([], 9)] == [[]]


def test_groups_hold_whole_videos() -> None:
    # a: rows 0, 2; b: 1, 4, 5; c: 3; d: 6, 7, 8
    assert [rows.tolist() for rows in span_groups(SPANS, 4)] == [[0, 2], [1, 4, 5, 3], [6, 7, 8]]
    assert [rows.tolist() for rows in span_groups(SPANS, 1)] == [[0, 2], [1, 4, 5], [3], [6, 7, 8]]


def test_joined_rows_undo_the_grouping() -> None:
    wanted = {"clip": np.random.default_rng(0).standard_normal((9, 2, 3)), "is_valid": np.arange(9) % 2 == 0}
    for max_spans in (1, 4, 9):
        groups = span_groups(SPANS, max_spans)
        parts = [{name: array[rows] for name, array in wanted.items()} for rows in groups]
        found = joined_rows(groups, parts)
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)
