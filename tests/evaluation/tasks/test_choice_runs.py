"""What runs of EgoMCQ and EgoHOIBench say of the files that they score."""

from dataclasses import replace

import numpy as np
import pytest

from henasy.evaluation.annotations.egohoi import NUM_CAPTIONS, NUM_SWAPS, EgoHoi, HoiItem
from henasy.evaluation.annotations.egomcq import EgoMcq, McqQuestion
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.tasks import egohoi_run, egomcq_run

CHOICES = tuple(Span(f"v{at}", 0.0, 1.0) for at in range(5))
ITEM = HoiItem(
    span=CHOICES[0],
    text="#C C opens the jar",
    verb_swaps=tuple(f"verb {at}" for at in range(NUM_SWAPS)),
    noun_swaps=tuple(f"noun {at}" for at in range(NUM_SWAPS)),
)


def question(number: int) -> McqQuestion:
    return McqQuestion(text=f"#C C opens jar {number}", choices=CHOICES, answer=0, type=1 + number % 2)


@pytest.mark.parametrize(
    ("num_items", "num_kept", "remark"),
    [
        (3, 3, "not the whole published set, which has 29,651 items"),
        (29_650, 29_650, "not the whole published set, which has 29,651 items"),
        (29_652, 29_652, "not the whole published set, which has 29,651 items"),
        (29_651, 29_651, None),
        (29_651, 29_650, "not the whole test set"),
    ],
)
def test_another_number_of_swap_items_is_remarked(num_items: int, num_kept: int, remark: str | None) -> None:
    similarity = np.zeros((num_items, NUM_CAPTIONS))
    scored = egohoi_run.score_similarity(
        EgoHoi(items=(ITEM,) * num_items), similarity, {}, kept=np.arange(num_items) < num_kept
    )
    assert scored.remark == remark


@pytest.mark.parametrize(
    ("num_questions", "num_kept", "remark"),
    [
        (37_999, 37_999, "not the whole published set, which has about 39,000 questions (24K inter, 15K intra)"),
        (39_000, 39_000, None),
        (39_000, 38_999, "not the whole test set"),
    ],
)
def test_far_fewer_questions_are_remarked(num_questions: int, num_kept: int, remark: str | None) -> None:
    annotations = EgoMcq(questions=tuple(map(question, range(num_questions))))
    kept = np.arange(num_questions) < num_kept
    assert egomcq_run.score_similarity(annotations, np.zeros((num_questions, 5)), {}, kept=kept).remark == remark


def test_repeated_items_and_questions_are_counted() -> None:
    others = (replace(ITEM, text="#C C shuts the jar"), replace(ITEM, span=CHOICES[1]))
    similarity = np.zeros((4, NUM_CAPTIONS))
    facts = egohoi_run.score_similarity(EgoHoi(items=(ITEM, *others, ITEM)), similarity, {}).facts
    assert facts["repeated"] == "1 items have the clip and the caption of an earlier one: counted"
    assert "repeated" not in egohoi_run.score_similarity(EgoHoi(items=(ITEM, *others)), similarity[:3], {}).facts

    first, second = question(0), question(1)
    moved = replace(first, choices=CHOICES[::-1], answer=4)
    elsewhere = replace(first, answer=2)
    asked = EgoMcq(questions=(first, second, moved, elsewhere))
    facts = egomcq_run.score_similarity(asked, np.zeros((4, 5)), {}).facts
    assert facts["repeated"] == "1 questions have the text and the right clip of an earlier one: counted"
    assert "choices" not in facts


def test_a_clip_that_is_two_choices_of_a_question_is_counted() -> None:
    twice = replace(question(0), choices=(*CHOICES[:4], CHOICES[0]))
    facts = egomcq_run.score_similarity(EgoMcq(questions=(twice, question(1))), np.zeros((2, 5)), {}).facts
    assert facts["choices"] == "1 questions have the same clip twice among their choices: counted"
    assert "repeated" not in facts
