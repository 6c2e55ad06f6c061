"""What a chat model is asked for captions with a swapped word, and what of its answers is kept."""

import pytest

from henasy.text.swap_answers import read_swaps, swap_prompt

NARRATION = "#C C picks up the knife from the table"


def test_prompt_names_kind_and_count() -> None:
    prompt = swap_prompt(NARRATION, "verb", 10)
    assert "output 10 sentences that differ from it in one verb alone" in prompt.user
    assert prompt.user.endswith("Input sentence: picks up the knife from the table")


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        (
            "verb",
            '["drops the knife from the table.", "lifts a spoon from the table", "picks up the knife from the table"]',
            ["#C C drops the knife from the table"],
        ),
        (
            "noun",
            "Sure:\n['picks up the spoon from the table', 'drops the spoon from the table', '']",
            ["#C C picks up the spoon from the table"],
        ),
        ("verb", '["#C C washes the knife from the table"]', ["#C C washes the knife from the table"]),
        ("verb", "I cannot.", None),
        ("noun", '["picks up the knife from the table"]', None),
    ],
)
def test_only_captions_with_the_right_part_changed_are_kept(kind: str, answer: str, expected: list[str] | None) -> None:
    assert read_swaps(answer, NARRATION, kind) == expected
