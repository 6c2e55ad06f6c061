"""Which way to put a query answers most questions: chosen on some questions, judged on others.

Q questions of C pairs of a text and a clip.
"""

from collections.abc import Sequence
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.evaluation.metrics.intervals import Difference, paired_difference
from henasy.evaluation.metrics.multiple_choice import right_answers
from henasy.evaluation.metrics.word_swaps import right_words
from henasy.evaluation.queries.scores import PHRASE_KINDS, PairScores, Way, mixed
from henasy.text.wording import Wording

QuestionKind = Literal["inter", "intra", "swaps"]
Right = dict[str, NDArray[np.float64]]
"""(Q,) 1 where right and 0 where wrong, by measure."""
WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
OBJECTIVE = ("intra", "action")
"""Measures whose mean decides on validation questions: what one video and one word leave open."""

_BARE = Way(wording=Wording.BARE)


class QuestionSet(NamedTuple):
    """Questions of one kind with what every way needs to answer them."""

    kind: QuestionKind
    answers: NDArray[np.int64]
    """(Q,) which of the C pairs is right; always the first of word swaps."""
    scores: PairScores
    videos: NDArray[np.str_]
    """(Q,) questions of one video depend on each other."""

    def only(self, rows: NDArray[np.bool_]) -> "QuestionSet":
        """Some of the questions."""
        return QuestionSet(self.kind, self.answers[rows], self.scores.only(rows), self.videos[rows])

    def right(self, way: Way) -> Right:
        """What a way answers rightly; ties as in EgoMCQ and in EgoHOIBench."""
        similarity = mixed(self.scores, way)
        if self.kind != "swaps":
            return {self.kind: right_answers(similarity, self.answers).astype(np.float64)}
        right = right_words(similarity)
        by_measure = {"verb": right.verb, "noun": right.noun, "action": right.action}
        return {name: values.astype(np.float64) for name, values in by_measure.items()}


class WayRow(NamedTuple):
    """One way's accuracies, and by how much it beats another way on the same questions."""

    name: str
    way: Way
    accuracy: dict[str, float]
    """Fractions, by measure."""
    against: str
    """Name of the other way; empty for none."""
    gain: dict[str, Difference]


def accuracies(sets: Sequence[QuestionSet], way: Way) -> dict[str, float]:
    """The share of right answers by measure."""
    return {name: float(right.mean()) for name, (right, _) in _answers(sets, way).items()}


def choose_way(ways: Sequence[Way], sets: Sequence[QuestionSet]) -> Way:
    """The way with the best mean of the deciding measures that the questions have; of equal ones the first.

    Raises:
        InputError: there is no such question.
    """
    # max() keeps the first of equal ones
    return max(ways, key=lambda way: _quality(way, sets))


def choose_wording(forms: Sequence[Sequence[QuestionSet]]) -> Wording:
    """The wording with the best mean of the deciding measures over all forms in which the queries are typed."""
    return max(Wording, key=lambda wording: float(np.mean([_quality(Way(wording=wording), sets) for sets in forms])))


def wording_rows(test: Sequence[QuestionSet], prefix: str = "") -> list[WayRow]:
    """A row per wording, each compared with the bare query; `prefix` opens their names."""
    return [
        _row(f"{prefix}{wording}", Way(wording=wording), None if wording is Wording.BARE else _BARE, test, prefix)
        for wording in Wording
    ]


def evidence_rows(
    wording: Wording,
    validation: Sequence[QuestionSet],
    test: Sequence[QuestionSet],
    *,
    has_entities: bool,
    has_global: bool,
) -> list[WayRow]:
    """A row per kind of evidence beside the clip's own score, with the weight that answers most validation questions.

    Args:
        wording: which texts the evidence is added to, and compared with.
        validation: questions to choose by.
        test: questions of other videos.
        has_entities: whether the model has entities.
        has_global: whether its clip embedding is another than the global encoder's.
    """
    alone = Way(wording=wording)
    candidates: dict[str, list[Way]] = {}
    if has_entities:
        for kind in PHRASE_KINDS:
            name = "phrases" if kind == "all" else f"{kind} phrases"
            candidates[name] = [Way(wording=wording, phrase_kind=kind, phrase_weight=weight) for weight in WEIGHTS]
    if has_global:
        candidates["global"] = [Way(wording=wording, global_weight=weight) for weight in WEIGHTS]
    if has_entities and has_global:
        candidates["both of these"] = [
            Way(wording=wording, phrase_kind=kind, phrase_weight=phrases, global_weight=whole)
            for kind, phrases, whole in product(PHRASE_KINDS, WEIGHTS, WEIGHTS)
        ]
    return [_row(f"{wording} + {name}", choose_way(ways, validation), alone, test) for name, ways in candidates.items()]


def _quality(way: Way, sets: Sequence[QuestionSet]) -> float:
    found = accuracies(sets, way)
    deciding = [found[name] for name in OBJECTIVE if name in found]
    if not deciding:
        raise InputError("questions", f"none is of a kind that decides: {', '.join(OBJECTIVE)}")
    return float(np.mean(deciding))


def _row(name: str, way: Way, against: Way | None, sets: Sequence[QuestionSet], prefix: str = "") -> WayRow:
    ours = _answers(sets, way)
    accuracy = {measure: float(right.mean()) for measure, (right, _) in ours.items()}
    if against is None:
        return WayRow(name, way, accuracy, "", {})
    theirs = _answers(sets, against)
    gain = {
        measure: paired_difference(right, theirs[measure][0], groups=groups)
        for measure, (right, groups) in ours.items()
    }
    return WayRow(name, way, accuracy, f"{prefix}{against.wording}", gain)


def _answers(sets: Sequence[QuestionSet], way: Way) -> dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """By measure what is right (Q,) and the video of each question (Q,)."""
    found = {}
    for questions in sets:
        groups = np.unique(questions.videos, return_inverse=True)[1].astype(np.int64)
        for measure, right in questions.right(way).items():
            found[measure] = right, groups
    return found
