"""Questions in EgoMCQ form about a rendered archive, with distractors that defeat shortcuts.

Between videos the distractors share the answer's verb and the colour of its object, so that neither the colours of a
frame nor the motion alone tells them apart: the noun does. Within a video they share the object itself, so that what
is seen in a picture tells little: what is done does. Of the clips that qualify, those with the answer's hand come
first, since one narration in three names it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.evaluation.egomcq import NUM_CHOICES, EgoMcq, McqQuestion
from henasy.evaluation.multiple_choice import INTER, INTRA
from henasy.evaluation.rendered import RenderedClip

NUM_QUESTIONS = 4_000
_NUM_DISTRACTORS = NUM_CHOICES - 1
_SEED = 0
# Rounds without a new question after which an archive has given what it can.
_PATIENCE = 3

Draw = Callable[[int, np.random.Generator], list[int]]
"""From a narration's row to its distractors' rows, or to none where there are too few."""


@dataclass(frozen=True, kw_only=True)
class QuestionSet:
    """Questions of both kinds, and what was asked of the archive."""

    questions: EgoMcq
    """Half between videos, half within, if the archive gives as many."""
    num_asked: int

    @property
    def shortfall(self) -> str | None:
        """What the archive is too small for, in words; None if it gave all."""
        missing = []
        for name, kind, wanted in zip(("inter", "intra"), (INTER, INTRA), _halves(self.num_asked), strict=True):
            found = int((self.questions.types == kind).sum())
            if found < wanted:
                missing.append(f"{found:,} of {wanted:,} {name}")
        return f"the archive is too small: it gives {', '.join(missing)} questions" if missing else None


def shortcut_proof_questions(
    clips: Sequence[RenderedClip], num_questions: int = NUM_QUESTIONS, seed: int = _SEED
) -> QuestionSet:
    """Distinct questions, half of them between videos; equal clips, numbers and seeds give equal questions.

    Every narration is asked about once before any is a second time with other distractors.

    Args:
        clips: the narrations of an archive.
        num_questions: how many at most.
        seed: of the order of narrations, of the distractors and of the position of the answer.

    Raises:
        AnnotationError: if the archive does not give a single question.
    """
    found: list[McqQuestion] = []
    kinds = ((INTER, _between_videos(clips)), (INTRA, _within_video(clips)))
    for (kind, draw), wanted in zip(kinds, _halves(num_questions), strict=True):
        rng = np.random.default_rng((seed, kind))
        found += [_question(clips, row, others, kind, rng) for row, others in _drawn(len(clips), draw, wanted, rng)]
    if not found:
        raise AnnotationError(
            f"{len(clips)} narrations give no question: one needs four clips of other videos with its verb and colour "
            "but another noun, or four of its own video with its object but another verb"
        )
    return QuestionSet(questions=EgoMcq(questions=tuple(found)), num_asked=num_questions)


def _halves(num_questions: int) -> tuple[int, int]:
    return (num_questions + 1) // 2, num_questions // 2


def _drawn(num_clips: int, draw: Draw, wanted: int, rng: np.random.Generator) -> Iterator[tuple[int, list[int]]]:
    """Rows with distractors, no pair of a row and a set of distractors twice."""
    seen: set[tuple[int, frozenset[int]]] = set()
    num_idle = 0
    while len(seen) < wanted and num_idle < _PATIENCE:
        before = len(seen)
        for row in rng.permutation(num_clips):
            others = draw(int(row), rng)
            key = (int(row), frozenset(others))
            if len(others) == _NUM_DISTRACTORS and key not in seen and len(seen) < wanted:
                seen.add(key)
                yield int(row), others
        num_idle = num_idle + 1 if len(seen) == before else 0


def _between_videos(clips: Sequence[RenderedClip]) -> Draw:
    groups = _grouped([(clip.verb, clip.colour) for clip in clips])

    def draw(row: int, rng: np.random.Generator) -> list[int]:
        asked, chosen = clips[row], dict[str, int]()
        for other in _same_hand_first(clips, row, groups[row], rng):
            clip = clips[other]
            is_another_noun = clip.noun != asked.noun and clip.noun_classes[0] != asked.noun_classes[0]
            if is_another_noun and clip.span.video_id not in (asked.span.video_id, *chosen):
                chosen[clip.span.video_id] = other
        return list(chosen.values())[:_NUM_DISTRACTORS]

    return draw


def _within_video(clips: Sequence[RenderedClip]) -> Draw:
    groups = _grouped([(clip.span.video_id, clip.instance) for clip in clips])

    def draw(row: int, rng: np.random.Generator) -> list[int]:
        asked = clips[row]
        ordered = _same_hand_first(clips, row, groups[row], rng)
        return [other for other in ordered if clips[other].verb != asked.verb][:_NUM_DISTRACTORS]

    return draw


def _grouped(keys: Sequence[tuple[object, ...]]) -> list[NDArray[np.int64]]:
    """For each key the rows of all equal ones."""
    rows_of: dict[tuple[object, ...], list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    arrays = {key: np.array(rows, np.int64) for key, rows in rows_of.items()}
    return [arrays[key] for key in keys]


def _same_hand_first(
    clips: Sequence[RenderedClip], row: int, group: NDArray[np.int64], rng: np.random.Generator
) -> list[int]:
    """The group's rows in random order, those of the row's hand before the others."""
    shuffled = [int(other) for other in rng.permutation(group)]
    return sorted(shuffled, key=lambda other: clips[other].hand != clips[row].hand)


def _question(
    clips: Sequence[RenderedClip], row: int, others: list[int], kind: int, rng: np.random.Generator
) -> McqQuestion:
    answer = int(rng.integers(NUM_CHOICES))
    order = [*others[:answer], row, *others[answer:]]
    return McqQuestion(
        text=clips[row].text, choices=tuple(clips[choice].span for choice in order), answer=answer, type=kind
    )
