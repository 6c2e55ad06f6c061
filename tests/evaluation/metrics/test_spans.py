"""Overlaps of spans against a table worked out by hand and a count of milliseconds."""

import numpy as np
import pytest

from henasy.errors import InputError
from henasy.evaluation.metrics.spans import end_errors, hull_iou, met_spans, recalls, top_overlaps, true_iou


def _spans(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 2)


def test_overlaps_worked_out_by_hand() -> None:
    found = _spans((0, 4), (2, 3), (4, 6), (1, 1))
    truth = _spans((2, 6), (0, 1))
    expected = np.array([[2 / 6, 1 / 4], [1 / 4, 0], [2 / 4, 0], [0, 0]])
    np.testing.assert_allclose(true_iou(found, truth), expected, rtol=1e-12)
    np.testing.assert_allclose(hull_iou(found, truth), expected, rtol=1e-12)


def test_both_unions_agree_with_a_count_of_milliseconds() -> None:
    rng = np.random.default_rng(0)
    found, truth = (np.sort(rng.integers(0, 60, (40, 2)), axis=1) for _ in range(2))
    for row, (start, end) in enumerate(found):
        for column, (true_start, true_end) in enumerate(truth):
            ours, theirs = set(range(start, end)), set(range(true_start, true_end))
            expected = len(ours & theirs) / len(ours | theirs) if ours | theirs else 0.0
            for iou in (true_iou, hull_iou):
                got = iou(found[row : row + 1] / 1000, truth[column : column + 1] / 1000)[0, 0]
                assert got == pytest.approx(expected, abs=1e-9)


def test_the_best_of_several_true_spans_counts_and_the_first_of_equal_ones() -> None:
    met = met_spans(_spans((0, 2), (5, 7), (20, 21)), _spans((0, 4), (4, 8), (6, 8), (0, 4)))
    assert met.truth.tolist() == [0, 1, -1]
    np.testing.assert_allclose(met.overlap, np.array([0.5, 0.5, 0.0]))
    assert met_spans(_spans(), _spans((0, 1))).overlap.shape == (0,)


def test_recall_needs_more_than_the_threshold_among_the_first_k() -> None:
    overlaps = [np.array([0.3, 0.9]), np.array([0.31]), np.zeros(0), np.array([0.0, 0.0, 1.0])]
    assert recalls(overlaps, 1, 0.3).tolist() == [0, 1, 0, 0]
    assert recalls(overlaps, 2, 0.3).tolist() == [1, 1, 0, 0]
    assert recalls(overlaps, 5, 0.7).tolist() == [1, 0, 0, 1]
    assert top_overlaps(overlaps).tolist() == [0.3, 0.31, 0.0, 0.0]


def test_end_errors_are_distances_of_both_ends() -> None:
    assert end_errors(_spans((1, 3), (5, 5)), _spans((0.5, 4), (5, 9))).tolist() == [[0.5, 1], [0, 4]]


@pytest.mark.parametrize("spans", [_spans((2, 1)), _spans((0, np.nan)), _spans((0, np.inf)), np.zeros((2, 3))])
def test_spans_that_are_none_are_refused(spans: np.ndarray) -> None:
    for measure in (true_iou, hull_iou):
        with pytest.raises(InputError, match="found"):
            measure(spans, _spans((0, 1)))
        with pytest.raises(InputError, match="truth"):
            measure(_spans((0, 1)), spans)


def test_unscorable_questions_are_refused() -> None:
    with pytest.raises(InputError, match="truth: has no span"):
        met_spans(_spans((0, 1)), _spans())
    with pytest.raises(InputError, match="k: is 0"):
        recalls([], 0, 0.5)
    with pytest.raises(InputError, match=r"threshold 1\.5"):
        recalls([], 1, 1.5)
    with pytest.raises(InputError, match="has 1 spans, must be 2"):
        end_errors(_spans((0, 1)), _spans((0, 1), (1, 2)))
