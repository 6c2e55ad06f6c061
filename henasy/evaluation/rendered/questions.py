"""Questions in EgoMCQ form about a rendered archive, with distractors that defeat shortcuts.

Between videos the distractors share the answer's verb and the colour of its object, so that neither the colours of a
frame nor the motion alone tells them apart: the noun does. Of the clips that qualify, those with the answer's hand come
first, since one narration in three names it.

Within a video they share the object itself and are those whose middle frames look most like the answer's: object, hands
and tools are in nearly the same places. Clips of which the answer's verb is true as well are none of them, and only the
narrations whose distractors are most alike are asked. What is seen in one picture then tells little: what is done does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.evaluation.annotations.egomcq import NUM_CHOICES, EgoMcq, McqQuestion
from henasy.evaluation.metrics.multiple_choice import INTER, INTRA
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips
from henasy.scenes.archive import read_config
from henasy.scenes.household.story import HOUSEHOLD
from henasy.scenes.truth import Truth
from henasy.video.plan import frame_times

NUM_QUESTIONS = 4_000
RULES_VERSION = 3
"""Rises whenever equal archives would give other questions than before."""
_NUM_DISTRACTORS = NUM_CHOICES - 1
_SEED = 0
# Rounds without a new question after which an archive has given what it can.
_PATIENCE = 3
# Of the narrations those with the most alike distractors: with a third of them one frame answered 34.7 % of 5,000.
_ALIKE_SHARE = 0.25
_NUM_PARTS = 4
_MIDDLE = slice(1, 3)
"""Of the midpoints of four equal parts of a clip the two nearest to its middle."""
_OUT_OF_VIEW = -0.25

Layout = NDArray[np.float64]
"""(2, M, 4) boxes of M things, xyxy in frame widths, at the two instants nearest to a clip's middle."""
Draw = Callable[[int, int, np.random.Generator], list[int]]
"""From a narration's row and the number of the round to its distractors' rows, fewer where there are not enough."""


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


def archive_questions(archive: Path, num_questions: int = NUM_QUESTIONS, seed: int = _SEED) -> QuestionSet:
    """The questions of an archive, see `shortcut_proof_questions`."""
    clips = read_rendered_clips(archive)
    return shortcut_proof_questions(clips, middle_layouts(archive, clips), num_questions, seed)


def middle_layouts(archive: Path, clips: Sequence[RenderedClip]) -> list[Layout]:
    """Where the handled object, hands and tools of each clip are at its middle; things out of view are far away."""
    width_px, layouts = read_config(archive).width_px, []
    truth: Truth | None = None
    for clip in clips:
        if truth is None or truth.video_uid != clip.span.video_id:
            truth = Truth.open(archive, clip.span.video_id)
        things = [row.instance for row in truth.instances if row.instance == clip.instance or not row.colour]
        times_s = frame_times([[clip.span.start_s, clip.span.end_s]], _NUM_PARTS)[0][_MIDDLE]
        boxes = [[truth.box_at(float(time_s), thing) for thing in things] for time_s in times_s]
        layouts.append(
            np.array([[[_OUT_OF_VIEW] * 4 if box is None else box / width_px for box in of_time] for of_time in boxes])
        )
    return layouts


def shortcut_proof_questions(
    clips: Sequence[RenderedClip], layouts: Sequence[Layout], num_questions: int = NUM_QUESTIONS, seed: int = _SEED
) -> QuestionSet:
    """Distinct questions, half of them between videos; equal clips, numbers and seeds give equal questions.

    Every narration that is asked about at all is once before any is a second time with other distractors.

    Args:
        clips: the narrations of an archive.
        layouts: of each, as `middle_layouts` gives them.
        num_questions: how many at most.
        seed: of the order of narrations, of the distractors and of the position of the answer.

    Raises:
        AnnotationError: if the archive does not give a single question.
    """
    found: list[McqQuestion] = []
    kinds = ((INTER, _between_videos(clips)), (INTRA, _within_video(clips, layouts)))
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
    num_idle = turn = 0
    while len(seen) < wanted and num_idle < _PATIENCE:
        before = len(seen)
        for row in rng.permutation(num_clips):
            others = draw(int(row), turn, rng)
            key = (int(row), frozenset(others))
            if len(others) == _NUM_DISTRACTORS and key not in seen and len(seen) < wanted:
                seen.add(key)
                yield int(row), others
        num_idle, turn = num_idle + 1 if len(seen) == before else 0, turn + 1


def _between_videos(clips: Sequence[RenderedClip]) -> Draw:
    groups = _grouped([(clip.verb, clip.colour) for clip in clips])

    def draw(row: int, turn: int, rng: np.random.Generator) -> list[int]:
        asked, chosen = clips[row], dict[str, int]()
        for other in _same_hand_first(clips, row, groups[row], rng):
            clip = clips[other]
            is_another_noun = clip.noun != asked.noun and clip.noun_classes[0] != asked.noun_classes[0]
            if is_another_noun and clip.span.video_id not in (asked.span.video_id, *chosen):
                chosen[clip.span.video_id] = other
        return list(chosen.values())[:_NUM_DISTRACTORS]

    return draw


def _within_video(clips: Sequence[RenderedClip], layouts: Sequence[Layout]) -> Draw:
    """The four most alike in the first round; in each further one any four of one more."""
    groups = _grouped([(clip.span.video_id, clip.instance) for clip in clips])
    nearest: list[list[int]] = []
    farthest = np.full(len(clips), np.inf)
    for row, group in enumerate(groups):
        others = [int(other) for other in group if not _is_also_true(clips[row], clips[other])]
        distances = np.array([_unlikeness(layouts[row], layouts[other]) for other in others])
        order = np.argsort(distances, kind="stable")
        nearest.append([others[place] for place in order])
        if len(others) >= _NUM_DISTRACTORS:
            farthest[row] = distances[order[_NUM_DISTRACTORS - 1]]
    is_asked = np.zeros(len(clips), bool)
    is_asked[np.argsort(farthest, kind="stable")[: round(_ALIKE_SHARE * len(clips))]] = True
    is_asked &= np.isfinite(farthest)

    def draw(row: int, turn: int, rng: np.random.Generator) -> list[int]:
        if not is_asked[row]:
            return []
        pool = nearest[row][: _NUM_DISTRACTORS + turn]
        return [pool[place] for place in rng.permutation(len(pool))[:_NUM_DISTRACTORS]]

    return draw


def _is_also_true(asked: RenderedClip, other: RenderedClip) -> bool:
    """Whether the asked clip's verb may be said of another clip's motion: what is shaken is lifted, too."""
    verb = next((verb for verb in HOUSEHOLD.verbs if verb.label == other.verb), None)
    return asked.verb == other.verb or (verb is not None and asked.verb in verb.also_true)


def _unlikeness(asked: Layout, other: Layout) -> float:
    """How far the later middle frame of one clip is from the nearer of another's, which may run the other way round."""
    return float(np.sqrt(((asked[-1] - other) ** 2).sum(axis=(1, 2))).min())


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
