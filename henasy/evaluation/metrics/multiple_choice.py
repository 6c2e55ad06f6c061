"""EgoMCQ accuracy: one text, five clips, one of them right; between videos and within one.

The public evaluators print the two names swapped. Here `types` 1 is "inter" (choices from different videos, the
higher number) and 2 is "intra" (choices from one video).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

INTER, INTRA = 1, 2


class MultipleChoiceScores(NamedTuple):
    """Accuracies as fractions; NaN where there is no question of that kind."""

    inter: float
    intra: float
    num_inter: int
    num_intra: int
    num_tied: int
    """Questions in which another choice was exactly as close as the chosen one."""


def multiple_choice_scores(
    similarity: NDArray[np.floating], answers: NDArray[np.int64], types: NDArray[np.int64]
) -> MultipleChoiceScores:
    """Accuracy between videos and within one.

    Args:
        similarity: (Q, C), larger means closer; of equal choices the first is taken, as the reference does.
        answers: (Q,) in 0..C-1.
        types: (Q,) 1 for choices of different videos, 2 for choices of one video.

    Raises:
        InputError: if a shape or a value is wrong.

    Source: PROTOCOLS section 3.1 (showlab/EgoVLP issue 19 for the swapped names).
    """
    is_right = right_answers(similarity, answers)
    if types.shape != answers.shape or not np.isin(types, (INTER, INTRA)).all():
        raise InputError("types", f"must be {len(answers)} values of 1 (inter) or 2 (intra)")
    is_inter = types == INTER
    is_tied = (similarity == similarity.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return MultipleChoiceScores(
        inter=_mean(is_right[is_inter]),
        intra=_mean(is_right[~is_inter]),
        num_inter=int(is_inter.sum()),
        num_intra=int((~is_inter).sum()),
        num_tied=int(is_tied.sum()),
    )


def right_answers(similarity: NDArray[np.floating], answers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(Q,) whether the closest choice of each question is its answer."""
    if similarity.ndim != 2 or similarity.size == 0 or answers.shape != similarity.shape[:1]:
        raise InputError(
            "similarity", f"shape {similarity.shape} does not fit answers {answers.shape}: (Q, C) and (Q,)"
        )
    finite = np.isfinite(similarity).all(axis=1)
    if not finite.all():
        raise InputError("similarity", f"question {int(np.argmin(finite))} is not finite everywhere")
    if answers.min() < 0 or answers.max() >= similarity.shape[1]:
        raise InputError("answers", f"must be from 0 to {similarity.shape[1] - 1}")
    is_right: NDArray[np.bool_] = similarity.argmax(axis=1) == answers
    return is_right


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
