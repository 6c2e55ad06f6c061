"""Narrations with one word swapped, worded as the archive words narrations, none of them true of their clip.

A narration is taken apart into wording, object, partner and hand, and worded again with another verb or noun.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from henasy.errors import AnnotationError
from henasy.scenes.household.story import HOUSEHOLD
from henasy.scenes.wording import VerbRow, Wording, with_article

_TAG = "#C C "
_HANDS = {"left": "right", "right": "left"}


class Said(NamedTuple):
    """A narration, and what it is about."""

    text: str
    verb: str
    """Label of its row in the verb taxonomy"""
    noun: str
    """Label of what is handled"""
    hand: str
    """left or right: the acting hand"""


class _Parts(NamedTuple):
    """What a narration is made of."""

    wording: Wording
    article: str
    colour: str
    """With the blank after it, or nothing."""
    noun: str
    partner_article: str
    partner: str
    """Noun of what the object is related to, or nothing."""
    side: str
    hand: str
    """With the blank before it, or nothing."""

    def worded(self) -> str:
        """The sentence."""
        named = with_article(f"{self.colour}{self.noun}", is_definite=self.article == "the")
        partner = with_article(self.partner, is_definite=self.partner_article == "the")
        told = self.wording.third.format(o=named, p=partner, h=self.side, g=_HANDS[self.side])
        return f"{_TAG}{told}{self.hand}"


def verb_swaps(said: Said, rng: np.random.Generator, count: int) -> list[str]:
    """Up to `count` sentences that say another action of the same object, none of them true of the clip.

    Every other verb that is not true of the motion comes once before any comes in a second wording. Verbs with a tool
    name it in place of the hand, as narrations do. Where the narration relates the object to another, so do its swaps.

    Raises:
        AnnotationError: if the narration is worded in no known way.
    """
    verb, parts = _verb(said), _parts(said)
    false = [
        other
        for other in HOUSEHOLD.verbs
        if other.label not in {verb.label, *verb.also_true}
        and other.has_partner == verb.has_partner
        # A spoon is not stirred with a spoon.
        and other.tool != said.noun
    ]
    turns = []
    for other in (false[at] for at in rng.permutation(len(false))):
        turns += [(turn, other, other.wordings[at]) for turn, at in enumerate(rng.permutation(len(other.wordings)))]
    first = sorted(turns, key=lambda choice: choice[0])[:count]
    return [
        parts._replace(wording=wording, hand=parts.hand if _may_name_hand(other, wording) else "").worded()
        for _, other, wording in first
    ]


def noun_swaps(said: Said, rng: np.random.Generator, count: int) -> list[str]:
    """Up to `count` sentences that say the same action of an object of another kind, none of them true of the clip.

    Nouns are those that narrations use, never another word of a kind's group: "fruit" is true of a banana too.

    Raises:
        AnnotationError: if the narration is worded in no known way.
    """
    parts = _parts(said)
    named = (said.noun, parts.partner, _verb(said).tool)
    others = [noun.label for noun in HOUSEHOLD.nouns if noun.label not in named]
    return [parts._replace(noun=others[at]).worded() for at in rng.permutation(len(others))[:count]]


def _verb(said: Said) -> VerbRow:
    verbs = {verb.label: verb for verb in HOUSEHOLD.verbs}
    if said.verb not in verbs:
        raise AnnotationError(f"narration {said.text!r}: verb {said.verb!r} is not one of {sorted(verbs)}")
    return verbs[said.verb]


def _may_name_hand(verb: VerbRow, wording: Wording) -> bool:
    return verb.tool is None and " hand" not in wording.third


@lru_cache(maxsize=1 << 16)  # training asks for the same narrations again and again
def _parts(said: Said) -> _Parts:
    verb = _verb(said)
    colours, nouns = "|".join(HOUSEHOLD.colours), "|".join(re.escape(noun.label) for noun in HOUSEHOLD.nouns)
    named = {
        "o": rf"(?P<article>the|an?) (?P<colour>(?:(?:{colours}) )?){re.escape(said.noun)}",
        "p": rf"(?P<partner_article>the|an?) (?P<partner>{nouns})",
        "h": re.escape(said.hand),
        "g": re.escape(_HANDS[said.hand]),
    }
    for wording in verb.wordings:
        pieces = re.split(r"\{(\w)\}", wording.third)
        told = "".join(named[piece] if at % 2 else re.escape(piece) for at, piece in enumerate(pieces))
        found = re.fullmatch(rf"{_TAG}{told}(?P<hand>(?: with the (?:left|right) hand)?)", said.text)
        if found is not None:
            of = found.groupdict(default="")
            return _Parts(
                wording=wording,
                article=of["article"],
                colour=of["colour"],
                noun=said.noun,
                partner_article=of.get("partner_article", "the"),
                partner=of.get("partner", ""),
                side=said.hand,
                hand=of["hand"],
            )
    raise AnnotationError(f"narration {said.text!r} does not say {said.verb!r} of {said.noun!r} in a known wording")
