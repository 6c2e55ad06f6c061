"""EK100 metrics against golden numbers, a naive loop, and a table worked out by hand."""

import json
from math import log2
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import InputError
from henasy.evaluation.annotations.epic100 import load_epic_retrieval
from henasy.evaluation.metrics.mir import mir_scores, query_scores
from henasy.evaluation.metrics.relevancy import PUBLISHED_DIGEST, matrix_digest, relevancy_matrix


def naive_average_precision(similarity: list[float], relevancy: list[float]) -> float:
    order = sorted(range(len(similarity)), key=lambda item: (-similarity[item], item))
    total, found, score = 0.0, 0, 0.0
    for rank, item in enumerate(order, 1):
        total += relevancy[item]
        if relevancy[item] == 1:
            found, score = found + 1, score + total / rank
    return score / found


def naive_ndcg(similarity: list[float], relevancy: list[float]) -> float:
    order = sorted(range(len(similarity)), key=lambda item: (-similarity[item], item))
    cut = sum(value > 0 for value in relevancy)
    gain = sum(relevancy[item] / log2(rank + 1) for rank, item in enumerate(order[:cut], 1))
    ideal = sum(value / log2(rank + 1) for rank, value in enumerate(sorted(relevancy, reverse=True)[:cut], 1))
    return gain / ideal


def test_query_scores_hand_worked_table() -> None:
    # Ranked relevancies of the only query: 0.5, 1, 0, 1. Precisions at the ones: 1.5 / 2 and 2.5 / 4.
    scores = query_scores(np.array([[0.9, 0.1, 0.8, 0.2]]), np.array([[0.5, 1.0, 1.0, 0.0]]))
    assert scores.average_precision[0] == pytest.approx((0.75 + 0.625) / 2, abs=1e-15)
    gain = 0.5 / log2(2) + 1 / log2(3)
    ideal = 1 / log2(2) + 1 / log2(3) + 0.5 / log2(4)
    assert scores.ndcg[0] == pytest.approx(gain / ideal, abs=1e-15)


def test_query_scores_equal_naive_with_ties() -> None:
    rng = np.random.default_rng(3)
    similarity = rng.integers(0, 6, (700, 40)) / 5
    relevancy = rng.choice([0.0, 0.25, 0.5, 1.0], (700, 40))
    relevancy[np.arange(700), rng.integers(0, 40, 700)] = 1.0
    scores = query_scores(similarity, relevancy)
    for row in range(0, 700, 7):
        pair = similarity[row].tolist(), relevancy[row].tolist()
        assert scores.average_precision[row] == pytest.approx(naive_average_precision(*pair), abs=1e-12)
        assert scores.ndcg[row] == pytest.approx(naive_ndcg(*pair), abs=1e-12)


def test_mir_scores_small_golden(golden_dir: Path) -> None:
    golden = np.load(golden_dir / "ek100_mir_small.npz")
    scores = mir_scores(golden["sim"], golden["rel"])
    wanted = [golden[f"{side}_{name}"] for name in ("mAP", "nDCG") for side in ("vis", "txt", "avg")]
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-12)
    videos, texts = query_scores(golden["sim"], golden["rel"]), query_scores(golden["sim"].T, golden["rel"].T)
    np.testing.assert_allclose(videos.ndcg, golden["nDCG_v_per_query"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(texts.ndcg, golden["nDCG_t_per_query"], rtol=0, atol=1e-12)


def test_real_annotations_golden_relevancy_and_similarity(shared_dir: Path, golden_dir: Path) -> None:
    golden = json.loads((golden_dir / "ek100_mir_real.json").read_text())
    annotations = load_epic_retrieval(shared_dir / "data" / "epic100")
    assert annotations.num_other_wordings == 6
    relevancy = relevancy_matrix(annotations)
    assert list(relevancy.shape) == golden["relevancy"]["shape"]
    assert int((relevancy == 1).sum()) == golden["relevancy"]["n_equal_one"]
    assert matrix_digest(relevancy) == golden["relevancy"]["sha256_float32_C_order"] == PUBLISHED_DIGEST
    similarity = np.random.default_rng(0).standard_normal(relevancy.shape)
    fractions = mir_scores(similarity, relevancy).as_fractions()
    assert list(fractions) == ["mAP_v2t", "mAP_t2v", "mAP_avg", "nDCG_v2t", "nDCG_t2v", "nDCG_avg"]
    for name, value in fractions.items():
        assert value == pytest.approx(golden["random_similarity"]["seed0"][name], abs=1e-9)


@pytest.mark.parametrize(
    ("similarity", "relevancy", "message"),
    [
        (np.zeros((2, 3)), np.ones((3, 2)), "shape"),
        (np.zeros((0, 3)), np.ones((0, 3)), "non-empty"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), np.ones((2, 2)), "row 1 is not finite"),
        (np.zeros((2, 2)), np.array([[1.0, 0.5], [0.5, 0.5]]), "query 1 has no item with relevancy 1"),
    ],
)
def test_query_scores_refuses(similarity: np.ndarray, relevancy: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        query_scores(similarity, relevancy)
