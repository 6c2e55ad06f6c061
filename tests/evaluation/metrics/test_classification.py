"""Classification metrics against the golden numbers, a table worked out by hand, and naive loops."""

from pathlib import Path

import numpy as np
import pytest

from henasy.errors import InputError
from henasy.evaluation.metrics.classification import (
    best_of_groups,
    class_accuracies,
    confusion_matrix,
    mean_class_accuracy,
    target_ranks,
    top_k_accuracy,
)
from henasy.evaluation.tasks.class_texts import class_texts, class_vectors


def test_equals_golden(golden_dir: Path) -> None:
    golden = np.load(golden_dir / "cls_small.npz")
    ranks = target_ranks(golden["logits"], golden["targets"])
    # the golden percentages went through float32
    assert 100 * top_k_accuracy(ranks, 1) == pytest.approx(float(golden["top1"]), rel=1e-6)
    assert 100 * top_k_accuracy(ranks, 5) == pytest.approx(float(golden["top5"]), rel=1e-6)
    confusion = confusion_matrix(golden["logits"].argmax(axis=1), golden["targets"], 7)
    np.testing.assert_array_equal(confusion, golden["confusion"])
    assert 100 * mean_class_accuracy(confusion) == pytest.approx(float(golden["mean_class_acc"]), abs=1e-9)


def test_ties_go_to_the_smaller_class() -> None:
    scores = np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0], [0.0, 1.0, 2.0, 3.0]])
    assert target_ranks(scores, np.array([2, 0, 0])).tolist() == [1, 0, 3]
    assert target_ranks(scores, np.array([1, 3, 3])).tolist() == [0, 3, 0]


def test_a_class_without_items_counts_as_zero_in_the_mean() -> None:
    confusion = confusion_matrix(np.array([0, 0, 2]), np.array([0, 2, 2]), 3)
    assert confusion.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1]]
    np.testing.assert_array_equal(class_accuracies(confusion), [1.0, np.nan, 0.5])
    assert mean_class_accuracy(confusion) == pytest.approx((1 + 0 + 0.5) / 3)


def test_best_of_groups_is_each_group_s_largest() -> None:
    rng = np.random.default_rng(0)
    scores, groups = rng.standard_normal((5, 9)), np.array([2, 0, 1, 1, 2, 0, 3, 3, 0])
    wanted = [[max(row[groups == group]) for group in range(4)] for row in scores]
    np.testing.assert_array_equal(best_of_groups(scores, groups), wanted)


def test_class_vectors_are_means_of_the_texts_of_a_class() -> None:
    texts = class_texts([["a", "b"], ["c"], ["d", "e", "f"]])
    assert texts.texts == ("a", "b", "c", "d", "e", "f")
    vectors = np.random.default_rng(0).standard_normal((6, 4))
    means = np.stack([vectors[:2].mean(axis=0), vectors[2], vectors[3:].mean(axis=0)])
    np.testing.assert_allclose(class_vectors(vectors, texts.owners, "dot"), means)
    unit = means / np.linalg.norm(means, axis=1)[:, None]
    np.testing.assert_allclose(class_vectors(vectors, texts.owners, "cosine"), unit)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (np.zeros((2, 3)), np.array([0]), "does not fit"),
        (np.zeros((0, 3)), np.zeros(0, int), "does not fit"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), np.array([0, 1]), "item 1 is not finite"),
        (np.zeros((2, 3)), np.array([0, 3]), "allowed: 0 to 2"),
        (np.zeros((2, 3)), np.array([-1, 0]), "allowed: 0 to 2"),
    ],
)
def test_refuses(scores: np.ndarray, targets: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        target_ranks(scores, targets)
