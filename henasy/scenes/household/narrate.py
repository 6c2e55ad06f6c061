"""Narrations of the household repertoire: "#C C drops the carrot into a pot with the left hand"."""

from typing import NamedTuple

import numpy as np

from henasy.scenes.household.script import Event, Script
from henasy.scenes.household.states import Thing, other
from henasy.scenes.household.verbs import VERB_OF
from henasy.scenes.wording import with_article

_COLOUR_SHARE = 0.09
_HAND_SHARE = 0.3
_THE_SHARE = 0.7


class Narration(NamedTuple):
    """One sentence and what it says."""

    text: str
    verb_phrase: str
    verb: str
    """The verb's word, which may differ from its label"""
    nouns: tuple[str, ...]
    """The object's noun, then those of its partner and the tool if named"""


def narrate(rng: np.random.Generator, script: Script, event: Event) -> Narration:
    """A sentence for one action; about one in eleven names the colour, three in ten the hand."""
    verb = VERB_OF[event.verb]
    thing = script.things[event.thing]
    wording = verb.wordings[int(rng.integers(len(verb.wordings)))]
    is_coloured, has_hand = rng.random() < _COLOUR_SHARE, rng.random() < _HAND_SHARE
    is_definite, is_partner_definite = rng.random() < _THE_SHARE, rng.random() < _THE_SHARE
    names_hand = verb.tool is not None or " hand" in wording.third
    hand = f" with the {event.side} hand" if has_hand and not names_hand else ""
    partner = script.things[event.partner].kind.noun if event.partner is not None else ""
    sides = {"h": event.side, "g": other(event.side)}
    text = wording.third.format(
        o=_named(thing, is_coloured=is_coloured, is_definite=is_definite),
        p=with_article(partner, is_definite=is_partner_definite),
        **sides,
    )
    phrase = wording.gerund.format(o=f"the {thing.kind.noun}", p=f"the {partner}", **sides)
    nouns = tuple(noun for noun in (thing.kind.noun, partner, verb.tool) if noun)
    return Narration(f"#C C {text}{hand}", phrase, wording.word, nouns)


def _named(thing: Thing, *, is_coloured: bool, is_definite: bool) -> str:
    named = f"{thing.colour} {thing.kind.noun}" if is_coloured else thing.kind.noun
    return with_article(named, is_definite=is_definite)
