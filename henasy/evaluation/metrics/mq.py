"""How well predicted moments of known classes meet annotated ones, by Ego4D's two measures for moment queries.

N annotated moments, M predictions. A moment is a class and a span of one clip; clips and classes are numbers.

Source: PROTOCOLS section 3.5; EGO4D/episodic-memory MQ/Evaluation fixed both rules.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.evaluation.metrics.spans import true_iou

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
    guessed = _rows_by_clip_and_class(predicted.clip, predicted.label)
    for key, rows in _rows_by_clip_and_class(truth.clip, truth.label).items():
        first = guessed.get(key, [])[: multiple * len(rows)]
        found[rows] = (true_iou(predicted.span_s[first], truth.span_s[rows]) > tiou).any(axis=0)
    return found


def _class_precisions(clip: Ints, span_s: Floats, predicted: ScoredMoments, tious: tuple[float, ...]) -> Floats:
    order = np.argsort(-predicted.score, kind="stable")
    is_right = np.zeros((len(tious), len(order)), bool)
    for number in np.unique(clip):
        places = np.flatnonzero(predicted.clip[order] == number)
        overlap = true_iou(predicted.span_s[order[places]], span_s[clip == number])
        for level, tiou in enumerate(tious):
            is_right[level, places] = _is_right(overlap, tiou)
    return np.array([interpolated_precision(line, len(clip)) for line in is_right])


def _is_right(overlap: Floats, tiou: float) -> Bools:
    """(P,) whether each prediction of one clip, surest first, meets a moment that is still free; overlap (P, G)."""
    is_right = np.zeros(len(overlap), bool)
    is_taken = np.zeros(overlap.shape[1], bool)
    for place, line in enumerate(overlap):
        # the last of equal ones
        choice = line.shape[0] - 1 - int(np.where(is_taken, -1.0, line)[::-1].argmax())
        if line[choice] >= tiou and not is_taken[choice]:
            is_right[place] = is_taken[choice] = True
    return is_right


def _rows_by_clip_and_class(clip: Ints, label: Ints) -> dict[tuple[int, int], list[int]]:
    rows: dict[tuple[int, int], list[int]] = {}
    for row, key in enumerate(zip(clip.tolist(), label.tolist(), strict=True)):
        rows.setdefault(key, []).append(row)
    return rows
