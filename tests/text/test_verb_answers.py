"""What a chat model is asked, and answers as chat models give them."""

from pathlib import Path

import pytest

from henasy.text.verb_answers import SYSTEM, TASK, bare, read_verb_phrases, verb_prompt


def test_prompt_is_the_papers(shared_dir: Path) -> None:
    paper = (shared_dir / "paper" / "henasy-neurips2024.md").read_text()
    assert f'- System: "{SYSTEM}"' in paper
    assert f'- User: "{TASK}"' in paper
    prompt = verb_prompt("#C C picks up the knife")
    assert prompt.system == SYSTEM
    assert prompt.user == f"{TASK}\nInput sentence: picks up the knife"


def test_bare_narrations_lose_their_tag_alone() -> None:
    assert bare("#C C picks a cup") == "picks a cup"
    assert bare("picks # a cup") == "picks # a cup"
    assert bare("#unsure") == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('["picking up the knife"]', ["picking up the knife"]),
        ("['Cutting the onion.', 'placing it on the board']", ["cutting the onion", "placing it on the board"]),
        (' Sure! Here is the output:\n\n["holding the cup"]\n\nLet me know if [you] need more!', ["holding the cup"]),
        ("```python\n['opening  the\\n door']\n```", ["opening the door"]),
        ("[“wiping the table”, ‘rinsing the cloth’]", ["wiping the table", "rinsing the cloth"]),
        ('["picking up the knife", "cutting the on', ["picking up the knife"]),
        ("['picking the man's cup']", ["picking the man's cup"]),
        ('["picking a cup", "the table", "picking a cup"]', ["picking a cup"]),
        ("[]", []),
        ('["hand-stitching the cloth"]', ["hand-stitching the cloth"]),
    ],
)
def test_answers_with_a_list_are_read(answer: str, expected: list[str]) -> None:
    assert read_verb_phrases(answer) == expected


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "picking up the knife",
        "I'm sorry, but I cannot help with that.",
        '["pick up the knife"]',
        "[the knife]",
        "[1, 2]",
        "[[",
        "[__import__('os').system('true')]",
        '["king of the hill"]',
        '["picking ' + "and then picking " * 10 + '"]',
    ],
)
def test_answers_without_a_verb_phrase_are_not_guessed_at(answer: str) -> None:
    assert read_verb_phrases(answer) is None
