"""Detection and recall of moments against the golden table, by hand, and for ties."""

import json
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import InputError
from henasy.evaluation.annotations.egomq import load_egomq
from henasy.evaluation.metrics.mq import (
    Moments,
    ScoredMoments,
    average_precisions,
    found_in_first,
    interpolated_precision,
)
from henasy.evaluation.metrics.spans import true_iou
from henasy.evaluation.span_tasks.mq_predictions import as_scored, read_predictions


def moments(rows: list[tuple[int, int, float, float]]) -> Moments:
    table = np.array(rows, np.float64).reshape(-1, 4)
    return Moments(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:])


def scored(rows: list[tuple[int, int, float, float, float]]) -> ScoredMoments:
    table = np.array(rows, np.float64).reshape(-1, 5)
    return ScoredMoments(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:4], table[:, 4])


def test_both_measures_equal_the_golden_numbers_through_both_files(golden_dir: Path, tmp_path: Path) -> None:
    golden = json.loads((golden_dir / "mq_small.json").read_text())
    (tmp_path / "truth.json").write_text(json.dumps(golden["ground_truth"]))
    content = {"version": "x", "results": golden["predictions"], "external_data": {}}
    (tmp_path / "predicted.json").write_text(json.dumps(content))

    classes = tuple(golden["class_index"])
    annotations = load_egomq(tmp_path / "truth.json", "val", classes)
    truth = annotations.moments(classes)
    predicted = as_scored(read_predictions(tmp_path / "predicted.json", classes).detection, annotations, classes)
    precisions = average_precisions(truth, predicted, tious=tuple(golden["tiou_thresholds_map"]))
    recall = [
        [found_in_first(truth, predicted, multiple=k, tiou=tiou).mean() for k in golden["retrieval_k"]]
        for tiou in golden["retrieval_tious"]
    ]

    table = np.stack([precisions[label] for label in range(len(classes))], axis=1)
    np.testing.assert_allclose(table, golden["ap_threshold_by_class"], rtol=1e-12)
    np.testing.assert_allclose(table.mean(axis=1), golden["mAP_per_threshold"], rtol=1e-12)
    np.testing.assert_allclose(table.mean(), golden["average_mAP"], rtol=1e-12)
    np.testing.assert_allclose(recall, golden["recall_tiou_by_k"], rtol=1e-12)


def test_precision_worked_by_hand() -> None:
    # right, wrong, right of 3: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3; the third is never found
    assert interpolated_precision(np.array([True, False, True]), 3) == pytest.approx(1 / 3 + 2 / 3 / 3)
    assert interpolated_precision(np.zeros(0, bool), 2) == 0
    # what comes later at a larger recall lifts what came before
    assert interpolated_precision(np.array([False, True, True]), 2) == pytest.approx(2 / 3)


def test_a_moment_is_matched_once_and_the_surer_prediction_has_it() -> None:
    truth = moments([(0, 0, 0, 10)])
    twice = scored([(0, 0, 0, 10, 0.5), (0, 0, 0, 9, 0.9)])
    np.testing.assert_allclose(average_precisions(truth, twice)[0], 1.0)
    first_wrong = scored([(0, 0, 50, 60, 0.9), (0, 0, 0, 10, 0.5)])
    np.testing.assert_allclose(average_precisions(truth, first_wrong)[0], 0.5)


def test_detection_counts_an_overlap_equal_to_the_threshold_and_recall_does_not() -> None:
    truth, predicted = moments([(0, 0, 0, 10)]), scored([(0, 0, 0, 5, 1.0)])
    np.testing.assert_allclose(average_precisions(truth, predicted, tious=(0.5,))[0], 1.0)
    assert not found_in_first(truth, predicted, multiple=1, tiou=0.5).any()


def test_a_prediction_takes_another_free_moment_when_its_best_is_taken() -> None:
    truth = moments([(0, 0, 0, 10), (0, 0, 2, 12)])
    predicted = scored([(0, 0, 0, 10, 0.9), (0, 0, 0, 10, 0.8)])
    np.testing.assert_allclose(average_precisions(truth, predicted, tious=(0.5, 0.7))[0], [1.0, 0.5])


def test_equal_scores_keep_their_order() -> None:
    truth = moments([(0, 0, 0, 10)])
    right_first = scored([(0, 0, 0, 10, 0.5), (0, 0, 20, 30, 0.5)])
    wrong_first = scored([(0, 0, 20, 30, 0.5), (0, 0, 0, 10, 0.5)])
    assert average_precisions(truth, right_first, tious=(0.5,))[0] == 1.0
    assert average_precisions(truth, wrong_first, tious=(0.5,))[0] == 0.5


def test_clips_and_classes_are_kept_apart() -> None:
    truth = moments([(0, 0, 0, 10), (1, 1, 0, 10)])
    elsewhere = scored([(1, 0, 0, 10, 1.0), (0, 1, 0, 10, 1.0), (0, 2, 0, 10, 1.0)])
    precisions = average_precisions(truth, elsewhere)
    assert set(precisions) == {0, 1}
    assert all((values == 0).all() for values in precisions.values())
    assert not found_in_first(truth, elsewhere, multiple=5, tiou=0.1).any()


def test_recall_looks_at_the_first_k_times_n_in_the_order_given() -> None:
    truth = moments([(0, 0, 0, 10), (0, 0, 20, 30)])
    predicted = scored([(0, 0, 50, 60, 0.1), (0, 0, 0, 10, 0.2), (0, 0, 20, 30, 0.3)])
    np.testing.assert_array_equal(found_in_first(truth, predicted, multiple=1, tiou=0.5), [True, False])
    np.testing.assert_array_equal(found_in_first(truth, predicted, multiple=2, tiou=0.5), [True, True])


def test_no_prediction_at_all_finds_nothing() -> None:
    truth = moments([(0, 0, 0, 10)])
    assert (average_precisions(truth, scored([]))[0] == 0).all()
    assert not found_in_first(truth, scored([]), multiple=1, tiou=0.3).any()


def test_a_moment_without_length_is_never_found() -> None:
    truth, predicted = moments([(0, 0, 5, 5)]), scored([(0, 0, 5, 5, 1.0), (0, 0, 4, 6, 0.5)])
    assert (average_precisions(truth, predicted)[0] == 0).all()
    assert not found_in_first(truth, predicted, multiple=1, tiou=0.0).any()


def test_nothing_annotated_is_refused() -> None:
    with pytest.raises(InputError, match="not one moment is annotated"):
        average_precisions(moments([]), scored([(0, 0, 0, 1, 1.0)]))


@pytest.mark.parametrize("seed", range(3))
def test_detection_equals_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def spans(count: int) -> np.ndarray:
        start = rng.uniform(0, 40, count)
        return np.stack([start, start + rng.uniform(1, 15, count)], axis=1)

    truth = Moments(rng.integers(0, 3, 30), rng.integers(0, 4, 30), spans(30))
    predicted = ScoredMoments(rng.integers(0, 4, 80), rng.integers(0, 5, 80), spans(80), rng.uniform(size=80))
    found = average_precisions(truth, predicted)
    for label in np.unique(truth.label):
        for level, tiou in enumerate((0.1, 0.2, 0.3, 0.4, 0.5)):
            assert found[int(label)][level] == pytest.approx(plain_precision(truth, predicted, int(label), tiou))


def plain_precision(truth: Moments, predicted: ScoredMoments, label: int, tiou: float) -> float:
    """VOC 2011 written as its text says: area under the best precision at this recall or a larger one."""
    wanted = [row for row in range(len(truth.label)) if truth.label[row] == label]
    guesses = sorted(
        (row for row in range(len(predicted.label)) if predicted.label[row] == label), key=lambda r: -predicted.score[r]
    )
    taken: set[int] = set()
    points = []
    for count, guess in enumerate(guesses, start=1):
        overlaps = {
            row: true_iou(predicted.span_s[guess : guess + 1], truth.span_s[row : row + 1])[0, 0]
            for row in wanted
            if truth.clip[row] == predicted.clip[guess] and row not in taken
        }
        best = max(overlaps, key=lambda row: overlaps[row], default=None)
        if best is not None and overlaps[best] >= tiou:
            taken.add(best)
        points.append((len(taken) / len(wanted), len(taken) / count))
    area, last = 0.0, 0.0
    for place, (recall, _) in enumerate(points):
        area += (recall - last) * max(precision for _, precision in points[place:])
        last = recall
    return area
