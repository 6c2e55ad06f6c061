"""What runs of EgoMCQ and EgoHOIBench say of the files that they score."""

import numpy as np
import pytest

from henasy.evaluation import egohoi_run, egomcq_run
from henasy.evaluation.egohoi import NUM_CAPTIONS, NUM_SWAPS, EgoHoi, HoiItem
from henasy.evaluation.egomcq import EgoMcq, McqQuestion
from henasy.evaluation.frame_rules import Span

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
