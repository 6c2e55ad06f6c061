"""Soft suppression against a loop that does one thing at a time."""

import numpy as np

from henasy.heads.soft_nms import soft_nms


def plain(spans: np.ndarray, scores: np.ndarray, sigma: float) -> list[tuple[int, float]]:
    left = {row: float(score) for row, score in enumerate(scores)}
    taken = []
    while left:
        best = max(left, key=lambda row: (left[row], -row))
        taken.append((best, left.pop(best)))
        for row in left:
            shared = max(0.0, min(spans[row, 1], spans[best, 1]) - max(spans[row, 0], spans[best, 0]))
            union = np.ptp(spans[row]) + np.ptp(spans[best]) - shared
            left[row] *= np.exp(-((shared / union) ** 2) / sigma)
    return taken


def test_it_equals_a_plain_loop_in_every_class() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 20, (3, 15))
    spans = np.stack([start, start + rng.uniform(1, 8, start.shape)], axis=-1)
    scores = rng.uniform(size=start.shape)
    scores[0, 4] = scores[0, 2]
    found = soft_nms(spans, scores, sigma=0.4)
    for number in range(3):
        expected = plain(spans[number], scores[number], 0.4)
        assert found.order[number].tolist() == [row for row, _ in expected]
        np.testing.assert_allclose(found.scores[number], [score for _, score in expected])
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_what_does_not_overlap_keeps_its_score_and_copies_lose_theirs() -> None:
    spans = np.array([[[0.0, 2.0], [0.0, 2.0], [5.0, 6.0]]])
    found = soft_nms(spans, np.array([[0.9, 0.8, 0.5]]), sigma=0.5)
    assert found.order[0].tolist() == [0, 2, 1]
    np.testing.assert_allclose(found.scores[0], [0.9, 0.5, 0.8 * np.exp(-2)])


def test_no_guesses_give_no_guesses() -> None:
    found = soft_nms(np.zeros((2, 0, 2)), np.zeros((2, 0)))
    assert found.order.shape == found.scores.shape == (2, 0)
