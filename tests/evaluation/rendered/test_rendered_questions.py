"""Shortcut-proof questions against their definition, and words against a table worked out by hand."""

from collections import Counter

import numpy as np
import pytest

from henasy.errors import AnnotationError
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.metrics.multiple_choice import INTER, INTRA
from henasy.evaluation.rendered.baselines import OURS, MethodVectors
from henasy.evaluation.rendered.layouts import RenderedClip
from henasy.evaluation.rendered.questions import shortcut_proof_questions
from henasy.evaluation.rendered.words import NOUN_SWAPS, OBJECT, OBJECT_HELD_OUT, held_out_clips, word_scores

NOUNS = ("mug", "bowl", "pan", "cup", "jug", "plate")
VERBS = ("lift", "put", "push", "pull", "turn", "shake")
THIRD = {"lift": "lifts", "put": "puts down", "push": "pushes", "pull": "pulls", "turn": "turns", "shake": "shakes"}


def _clip(video: int, start_s: float, verb: str, noun: str, colour: str = "red", hand: str = "left") -> RenderedClip:
    third = {"push": "pushes {o} away", "pull": "pulls {o} back"}.get(verb, f"{THIRD[verb]} {{o}}")
    return RenderedClip(
        span=Span(f"v{video}", start_s, start_s + 1),
        video_s=60.0,
        text="#C C " + third.format(o=f"the {noun}"),
        verb=verb,
        noun=noun,
        verb_class=VERBS.index(verb),
        noun_classes=(NOUNS.index(noun),),
        hand=hand,
        colour=colour,
        instance=NOUNS.index(noun) + 1,
        verb_phrase=f"{verb}ing the {noun}",
    )


def _archive(num_videos: int = 12, seed: int = 0) -> list[RenderedClip]:
    """Three objects a video, each in one colour, twelve actions each."""
    rng = np.random.default_rng(seed)
    clips = []
    for video in range(num_videos):
        for place, noun in enumerate(rng.permutation(NOUNS)[:3]):
            colour = str(rng.choice(("red", "blue")))
            for turn in range(12):
                hand = str(rng.choice(("left", "right")))
                clips.append(_clip(video, 20.0 * place + turn, str(rng.choice(VERBS)), str(noun), colour, hand))
    return clips


def _is_false(verb: str, of: str) -> bool:
    """What is shaken is lifted and put down, too."""
    return verb != of and (verb, of) not in (("lift", "shake"), ("put", "shake"))


def _layouts(clips: list[RenderedClip], seed: int = 5) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).uniform(size=(len(clips), 2, 3, 4)))


def test_distractors_share_what_a_shortcut_would_use() -> None:
    clips = _archive()
    clip_of = {clip.span: clip for clip in clips}
    found = shortcut_proof_questions(clips, _layouts(clips), 600)
    assert found.shortfall is None
    assert Counter(found.questions.types.tolist()) == {INTER: 300, INTRA: 300}
    for question in found.questions.questions:
        answer = clip_of[question.choices[question.answer]]
        others = [clip_of[span] for place, span in enumerate(question.choices) if place != question.answer]
        assert question.text == answer.text
        assert len({clip.span for clip in others}) == 4
        if question.type == INTER:
            assert all((clip.verb, clip.colour) == (answer.verb, answer.colour) for clip in others)
            assert all(clip.noun != answer.noun for clip in others)
            assert len({clip.span.video_id for clip in (answer, *others)}) == 5
        else:
            assert all(clip.span.video_id == answer.span.video_id for clip in others)
            assert all(clip.instance == answer.instance and _is_false(answer.verb, clip.verb) for clip in others)


def test_within_a_video_the_most_alike_come_first() -> None:
    clips = _archive()
    layouts = _layouts(clips)
    row_of = {clip.span: row for row, clip in enumerate(clips)}
    unlikeness = {}
    for row, clip in enumerate(clips):
        others = [
            other
            for other, one in enumerate(clips)
            if (one.span.video_id, one.noun) == (clip.span.video_id, clip.noun) and _is_false(clip.verb, one.verb)
        ]
        far = sorted(
            (min(np.linalg.norm(layouts[row][1] - picture) for picture in layouts[other]), other) for other in others
        )
        unlikeness[row] = (far[3][0], {other for _, other in far[:4]}) if len(far) >= 4 else (np.inf, set())
    asked = sorted(unlikeness, key=lambda row: unlikeness[row][0])[: round(0.25 * len(clips))]
    found = shortcut_proof_questions(clips, layouts, 2 * len(asked)).questions.questions
    intra = {row_of[q.choices[q.answer]]: {row_of[span] for span in q.choices} for q in found if q.type == INTRA}
    assert intra == {row: unlikeness[row][1] | {row} for row in asked}


def test_questions_are_distinct_spread_and_the_same_again() -> None:
    clips = _archive()
    layouts = _layouts(clips)
    questions = shortcut_proof_questions(clips, layouts, 1000).questions.questions
    assert questions == shortcut_proof_questions(clips, layouts, 1000).questions.questions
    assert questions != shortcut_proof_questions(clips, layouts, 1000, seed=1).questions.questions
    assert len({(q.choices[q.answer], frozenset(q.choices)) for q in questions}) == len(questions)
    for kind in (INTER, INTRA):
        asked = Counter(q.choices[q.answer] for q in questions if q.type == kind)
        # a draw that was there before is left out of its round
        assert max(asked.values()) - min(asked.values()) <= 4
        assert len({q.answer for q in questions if q.type == kind}) == 5


def test_what_an_archive_is_too_small_for_is_said() -> None:
    clips = _archive(4)
    found = shortcut_proof_questions(clips, _layouts(clips), 400)
    assert found.shortfall is not None
    assert found.shortfall.startswith("the archive is too small: it gives 0 of 200 inter")
    assert set(found.questions.types.tolist()) == {INTRA}
    few = [_clip(0, turn, "lift", "mug") for turn in range(3)]
    with pytest.raises(AnnotationError, match="3 narrations give no question: one needs four clips"):
        shortcut_proof_questions(few, _layouts(few), 4)


def test_held_out_combinations_are_those_that_training_never_shows() -> None:
    train = [_clip(0, 0, "lift", "mug", "red"), _clip(0, 1, "put", "bowl", "blue")]
    asked = [
        _clip(1, 0, "lift", "mug", "red"),
        _clip(1, 1, "lift", "bowl", "blue"),
        _clip(1, 2, "put", "bowl", "red"),
        _clip(1, 3, "put", "bowl", "blue"),
    ]
    assert held_out_clips(asked, train).tolist() == [False, True, True, False]


def _embed(texts: list[str]) -> np.ndarray:
    """A text's only direction is that of its noun: verbs are not told apart."""
    return np.array([[float(noun in text.split()) for noun in NOUNS] for text in texts])


def test_words_worked_out_by_hand() -> None:
    clips = [_clip(0, 0, "lift", "mug"), _clip(0, 1, "put", "bowl"), _clip(1, 0, "push", "pan")]
    eye = np.eye(len(NOUNS))
    methods = {
        "first": MethodVectors(eye[[0, 2, 3]], lambda texts: texts),
        OURS: MethodVectors(eye[[0, 1, 3]], lambda texts: texts),
    }
    is_held_out = np.array([False, True, True])
    words = [*NOUNS, "left hand", "right hand"]
    found = word_scores(methods, _embed, clips, nouns=words, is_held_out=is_held_out)  # type: ignore[arg-type]
    assert found["first"][OBJECT].accuracy == pytest.approx(1 / 3)
    assert found[OURS][OBJECT].accuracy == pytest.approx(2 / 3)
    assert (found[OURS][OBJECT_HELD_OUT].accuracy, found[OURS][OBJECT_HELD_OUT].num_clips) == (0.5, 2)
    gain = found["first"][OBJECT].gain
    assert gain is not None
    assert list(gain) == pytest.approx([1 / 3, 0.0, 0.5])
    assert found[OURS][OBJECT].gain is None
    assert found[OURS][NOUN_SWAPS].accuracy >= found["first"][NOUN_SWAPS].accuracy
    with pytest.raises(AnnotationError, match=r"nouns \['bowl', 'pan'\], which the archive's noun taxonomy lacks"):
        word_scores(methods, _embed, clips, nouns=["mug"], is_held_out=is_held_out)  # type: ignore[arg-type]
