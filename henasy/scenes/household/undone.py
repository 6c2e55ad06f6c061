"""Narrations of actions played backwards: "#C C opens the jar" becomes "#C C closes the jar".

Actions that undo each other are each other's time reversal here (motions.py), so a clip of one, backwards, is a true
clip of the other. One kind is not shown forwards: what is carried away out of the hand comes back, backwards, into it.

Source: Price and Damen, Retro-Actions (2019): learning "close" from videos of "open" in reverse.
"""

import re
from typing import NamedTuple

from henasy.scenes.household.verbs import TWINS, VERB_OF

_UNDONE_BY = TWINS | {twin: verb for verb, twin in TWINS.items()}
_HAND = "(?P<hand> with the (?:left|right) hand)?"


class Undone(NamedTuple):
    """What is said of a clip played backwards."""

    text: str
    verb_phrase: str
    verb: str
    """Label of the verb"""


def undone(text: str, verb_phrase: str, verb: str) -> Undone | None:
    """The narration of an action backwards, as definite, coloured and particular about the hand as it was forwards.

    Args:
        verb: label of the narrated verb.

    Returns:
        None where no verb undoes it, or the sentence is none of the verb's wordings.
    """
    if verb not in _UNDONE_BY:
        return None
    twin = _UNDONE_BY[verb]
    wordings, others = VERB_OF[verb].wordings, VERB_OF[twin].wordings
    for row, wording in enumerate(wordings):
        said, phrased = _read(f"#C C {wording.third}", text), _read(wording.gerund, verb_phrase)
        if said is not None and phrased is not None:
            other = others[row % len(others)]
            return Undone(
                f"#C C {other.third.format(**said)}{said['hand']}",
                other.gerund.format(**phrased),
                twin,
            )
    return None


def _read(wording: str, sentence: str) -> dict[str, str] | None:
    """What stands in the blanks of a wording, and the hand named behind it."""
    pattern = re.escape(wording).replace(r"\{o\}", "(?P<o>.+?)").replace(r"\{p\}", "(?P<p>.+?)")
    match = re.fullmatch(pattern + _HAND, sentence)
    return None if match is None else {name: part or "" for name, part in match.groupdict().items()}
