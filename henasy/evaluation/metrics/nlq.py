"""EgoNLQ's numbers: how often the first found spans of a question meet the one that answers it. Pure numpy.

Q questions, P found spans of a question, best first; spans are (start, end) in seconds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.evaluation.metrics.spans import hull_iou, recalls, top_overlaps

Floats = NDArray[np.float64]

RANKS = (1, 5)
THRESHOLDS = (0.3, 0.5)


class NlqScores(NamedTuple):
    """Fractions over the questions that were scored."""

    recall: dict[tuple[int, float], float]
    """By (k, threshold): share of questions with an overlap above the threshold among the first k spans."""
    mean_iou: float
    """Mean overlap of the first span."""
    num_points: int
    """Questions whose annotated answer is an instant: no span overlaps it, so nobody can answer them."""

    def as_fractions(self) -> dict[str, float]:
        """R@1 and R@5 at 0.3, then at 0.5, then the mean IoU: the order of the published tables."""
        ordered = {f"r{k}@{threshold:g}": self.recall[k, threshold] for threshold in THRESHOLDS for k in RANKS}
        return ordered | {"miou": self.mean_iou}


def query_overlaps(found: Floats, answer: tuple[float, float]) -> Floats:
    """(P,) convex-hull IoU of each found span (P, 2) with the answer; 0 for an answer without length.

    The reference divides 0 by 0 where a found span is the very instant that is annotated; here that is 0 too.

    Raises:
        InputError: a span is not finite or ends before it starts.
    """
    return hull_iou(found, np.array([answer], np.float64))[:, 0]


def nlq_scores(found: Sequence[Floats], answers: Floats) -> NlqScores:
    """The scores of Q questions.

    An overlap equal to a threshold is no hit. What the reference calls mIoU is the mean over the first spans: it
    averages "the three best" of a row that holds one value.

    Args:
        found: of each question its spans (P, 2), ranked; fewer than five, or none, are allowed.
        answers: (Q, 2) the annotated spans.

    Raises:
        InputError: there is no question, the numbers differ, or a span is not finite or ends before it starts.

    Source: EGO4D/episodic-memory NLQ/VSLNet/utils/evaluate_ego4d_nlq.py (PROTOCOLS section 3.5).
    """
    if len(answers) == 0 or len(found) != len(answers):
        raise InputError("found", f"has {len(found)} questions, must be as many as answers, {len(answers)}, and not 0")
    overlaps = [
        query_overlaps(ranked, (float(row[0]), float(row[1]))) for ranked, row in zip(found, answers, strict=True)
    ]
    recall = {(k, threshold): float(recalls(overlaps, k, threshold).mean()) for k in RANKS for threshold in THRESHOLDS}
    return NlqScores(recall, float(top_overlaps(overlaps).mean()), int((answers[:, 1] <= answers[:, 0]).sum()))
