"""What is said of an action played backwards."""

from dataclasses import replace

import numpy as np
import pytest

from henasy.scenes.archive import ArchiveConfig
from henasy.scenes.household.narrate import narrate
from henasy.scenes.household.script import Event, Script
from henasy.scenes.household.undone import Undone, undone
from henasy.scenes.household.verbs import VERB_OF

PAIRS = (
    ("bring", "carry"),
    ("clear", "set"),
    ("close", "open"),
    ("fetch", "hide"),
    ("insert", "remove"),
    ("lift", "put"),
    ("pull", "push"),
)
UNDONE_BY = dict(PAIRS) | {second: first for first, second in PAIRS}


@pytest.fixture(scope="module")
def events() -> list[tuple[Script, Event]]:
    config = ArchiveConfig(seed=43, num_videos=20, video_s=120.0, fps=8)
    scripts = [config.story(number).script for number in range(config.num_videos)]  # type: ignore[attr-defined]
    return [(script, event) for script in scripts for event in script.events]


@pytest.mark.parametrize(
    ("said", "backwards"),
    [
        (("#C C opens a red jar", "opening the jar", "open"), ("#C C closes a red jar", "closing the jar", "close")),
        (
            ("#C C drops the carrot into a pot with the left hand", "dropping the carrot into the pot", "insert"),
            ("#C C takes the carrot out of a pot with the left hand", "taking the carrot out of the pot", "remove"),
        ),
        (
            ("#C C brings back the white cup", "bringing back the cup", "bring"),
            ("#C C whisks the white cup away", "whisking the cup away", "carry"),
        ),
    ],
)
def test_undone_by_hand(said: tuple[str, str, str], backwards: tuple[str, str, str]) -> None:
    assert undone(*said) == Undone(*backwards)


@pytest.mark.parametrize(
    "said",
    [
        ("#C C stirs the pot with a spoon", "stirring the pot with a spoon", "stir"),
        ("#C C juggles the cup", "juggling the cup", "lift"),
        ("#C C lifts the cup", "opening the cup", "lift"),
    ],
)
def test_undone_is_none_without_a_twin_or_in_foreign_words(said: tuple[str, str, str]) -> None:
    assert undone(*said) is None


def test_undone_says_what_would_be_told_of_the_twin(events: list[tuple[Script, Event]]) -> None:
    """The narrator, given the twin to tell with the same dice, says the same where both have as many wordings."""
    compared = set()
    for number, (script, event) in enumerate(events):
        said = narrate(np.random.default_rng(number), script, event)
        back = undone(said.text, said.verb_phrase, event.verb)
        assert (back is None) == (event.verb not in UNDONE_BY)
        if back is None:
            continue
        assert back.verb == UNDONE_BY[event.verb]
        if len(VERB_OF[event.verb].wordings) != len(VERB_OF[back.verb].wordings):
            continue
        twin = narrate(np.random.default_rng(number), script, replace(event, verb=back.verb))
        assert (back.text, back.verb_phrase) == (twin.text, twin.verb_phrase)
        compared.add(event.verb)
    assert compared == set(UNDONE_BY) - {"open", "close"}
