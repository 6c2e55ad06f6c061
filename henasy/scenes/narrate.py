"""Narrations of actions in the manner of EgoClip: "#C C lifts the mug"."""

from typing import NamedTuple

import numpy as np

from henasy.scenes.actions import VERB_OF
from henasy.scenes.script import Event, Thing
from henasy.scenes.wording import indefinite_article

_COLOUR_SHARE = 0.09
_HAND_SHARE = 0.3


class Narration(NamedTuple):
    """One sentence and what it says."""

    text: str
    verb_phrase: str
    verb: str
    """The verb's word, which may differ from its label"""
    nouns: tuple[str, ...]
    """The object's noun, then the tool's if one is named"""


def narrate(rng: np.random.Generator, event: Event, thing: Thing) -> Narration:
    """A sentence for one action; about one in eleven names the colour, three in ten the hand."""
    verb = VERB_OF[event.verb]
    word, third, gerund = verb.wordings[int(rng.integers(len(verb.wordings)))]
    named = f"{thing.colour} {thing.kind.noun}" if rng.random() < _COLOUR_SHARE else thing.kind.noun
    article = "the" if rng.random() < 0.7 else indefinite_article(named)
    hand = f" with the {event.side} hand" if verb.tool is None and rng.random() < _HAND_SHARE else ""
    phrase = f"{article} {named}"
    nouns = (thing.kind.noun,) if verb.tool is None else (thing.kind.noun, verb.tool)
    return Narration(f"#C C {third.format(o=phrase)}{hand}", gerund.format(o=f"the {thing.kind.noun}"), word, nouns)
