"""How well predicted moments of known classes meet annotated ones, by Ego4D's two measures for moment queries.

N annotated moments, M predictions. A moment is a class and a span of one clip; clips and classes are numbers.

Source: PROTOCOLS section 3.5; EGO4D/episodic-memory MQ/Evaluation fixed both rules.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

DETECTION_TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Thresholds of the detection mAP and of its average."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Moments(NamedTuple):
    """Annotated moments, in the order of their file."""

    clip: Ints
    """(N,) number of the clip."""
    label: Ints
    """(N,) number of the class."""
    span_s: Floats
    """(N, 2) start and end in the clip."""


class ScoredMoments(NamedTuple):
    """Predicted moments, in the order of their file."""

    clip: Ints
    label: Ints
    span_s: Floats
    score: Floats
    """(M,) larger is surer."""

    def of_class(self, label: int) -> "ScoredMoments":
        """Those of one class, in the same order."""
        return ScoredMoments(*(column[self.label == label] for column in self))


def span_overlap(span_s: Floats, others_s: Floats) -> Floats:
    """(N,) intersection over union of one span (2,) with others (N, 2); 0 where both have no length."""
    shared = np.minimum(span_s[1], others_s[:, 1]) - np.maximum(span_s[0], others_s[:, 0])
    shared = np.maximum(shared, 0.0)
    union = (others_s[:, 1] - others_s[:, 0]) + (span_s[1] - span_s[0]) - shared
    overlap: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def average_precisions(
    truth: Moments, predicted: ScoredMoments, *, tious: tuple[float, ...] = DETECTION_TIOUS
) -> dict[int, Floats]:
    """Per class that is annotated at all, its average precision at every threshold, fractions (len(tious),).

    Predictions of a class are taken over all clips by descending score; equal scores keep their order in the file. Each
    looks for the annotated moment of its clip and class with the largest overlap that no earlier one has taken; it is
    right when that overlap is at least the threshold. Of equal overlaps the later annotation is taken. Precision is
    interpolated as in VOC 2011. A class without a prediction has 0; one without an annotation has no place in the mean.

    Raises:
        InputError: nothing is annotated.
    """
    if len(truth.label) == 0:
        raise InputError("annotations", "not one moment is annotated, so there is nothing to find")
    return {
        int(label): _class_precisions(truth.clip[truth.label == label], truth.span_s[truth.label == label], part, tious)
        for label in np.unique(truth.label)
        for part in (predicted.of_class(int(label)),)
    }


def interpolated_precision(is_right: Bools, num_annotated: int) -> float:
    """VOC-2011 average precision of predictions in descending order of score.

    Args:
        is_right: (M,)
        num_annotated: how many there are to find, at least 1.
    """
    right = np.cumsum(is_right)
    recall = np.concatenate([[0.0], right / num_annotated])
    precision = right / np.arange(1, len(is_right) + 1)
    # the best precision at this recall or a larger one
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))


def found_in_first(truth: Moments, predicted: ScoredMoments, *, multiple: int, tiou: float) -> Bools:
    """(N,) whether each annotated moment is among the first predictions, "Rank kx" once averaged.

    Of a clip and a class with n annotated moments the first `multiple * n` predictions count, in the order of the file
    and not of the scores. A moment is found when one of them overlaps it by more than `tiou`; one prediction may find
    several.
    """
    found = np.zeros(len(truth.label), bool)
    groups: dict[tuple[int, int], list[int]] = {}
    for row, key in enumerate(zip(truth.clip.tolist(), truth.label.tolist(), strict=True)):
        groups.setdefault(key, []).append(row)
    predicted_rows: dict[tuple[int, int], list[int]] = {}
    for row, key in enumerate(zip(predicted.clip.tolist(), predicted.label.tolist(), strict=True)):
        predicted_rows.setdefault(key, []).append(row)
    for key, rows in groups.items():
        for row in predicted_rows.get(key, [])[: multiple * len(rows)]:
            found[rows] |= span_overlap(predicted.span_s[row], truth.span_s[rows]) > tiou
    return found


def _class_precisions(clip: Ints, span_s: Floats, predicted: ScoredMoments, tious: tuple[float, ...]) -> Floats:
    order = np.argsort(-predicted.score, kind="stable")
    rows_of_clip = {int(number): np.nonzero(clip == number)[0] for number in np.unique(clip)}
    is_right = np.zeros((len(tious), len(order)), bool)
    is_taken = np.zeros((len(tious), len(clip)), bool)
    for place, row in enumerate(order):
        rows = rows_of_clip.get(int(predicted.clip[row]))
        if rows is None:
            continue
        overlap = span_overlap(predicted.span_s[row], span_s[rows])
        nearest = np.argsort(overlap, kind="stable")[::-1]
        for level, tiou in enumerate(tious):
            free = [choice for choice in nearest if overlap[choice] >= tiou and not is_taken[level, rows[choice]]]
            if free:
                is_right[level, place] = is_taken[level, rows[free[0]]] = True
    return np.array([interpolated_precision(line, len(clip)) for line in is_right])
