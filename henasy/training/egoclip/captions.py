"""What a narration names: its nouns as surface words of the taxonomy, and its action as a verb phrase.

Source of the nouns: HelpingHands data_loader/EgoClip_EgoMCQ_dataset.py (`extract_noun`). Theirs cuts a final "s" off
every word before looking it up, and so finds neither "glass" nor "boxes"; here a word is looked up as it is, then as a
singular.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from henasy.text.gerund import action_phrase
from henasy.text.phrases import find_phrases
from henasy.text.words import verb_of
from henasy.training.egoclip.taxonomy import Taxonomy

MAX_NOUNS = 4
STOP_WORDS = frozenset(
    ["hand", "leg", "left hand", "right hand", "man", "woman", "person", "lady", "they", "ground", "camera"]
)


class Named(NamedTuple):
    """A noun where it stands in a narration."""

    place: int
    """Number of its first word."""
    word: str
    """As the taxonomy spells it."""


def caption_nouns(text: str, noun_tags: Sequence[int], taxonomy: Taxonomy) -> list[Named]:
    """At most four surface words of the first four tags' groups that a narration has, those of two words first.

    Hands, people and the ground are passed over; a word is named once, and not again as part of two.
    """
    known = {word for tag in noun_tags[:MAX_NOUNS] for word in taxonomy.nouns.groups[tag]} - STOP_WORDS
    tokens = [token.replace(".", "").replace(",", "") for token in text.lower().split()]
    found: dict[str, Named] = {}
    taken: set[str] = set()
    for place, (left, right) in enumerate(pairwise(tokens)):
        word = _known(known, [f"{a} {b}" for b in _forms(right) for a in _forms(left)])
        if word is not None:
            found.setdefault(word, Named(place, word))
            taken.update(word.split())
    for place, token in enumerate(tokens):
        word = _known(known - taken, _forms(token))
        if word is not None:
            found.setdefault(word, Named(place, word))
    return list(found.values())[:MAX_NOUNS]


def plain_phrase(text: str, verb_tags: Sequence[int], noun_tags: Sequence[int], taxonomy: Taxonomy) -> str:
    """The verb phrase of a narration where no language model wrote one: "picking the knife"; empty without a verb.

    The verb is the word of the first verb tag's group that the narration has, else the tag's label; without a tag the
    narration's own first verb. The object is the first noun that the narration names.
    """
    nouns = sorted(caption_nouns(text, noun_tags, taxonomy))
    return action_phrase(_verb(text, verb_tags, taxonomy), [noun.word for noun in nouns])


def phrase_number(phrase: str) -> int:
    """A number below 2**63 that equal phrases share, in every process and run; -1 for an empty one."""
    words = " ".join(phrase.lower().split())
    if not words:
        return -1
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "little") >> 1


def _verb(text: str, verb_tags: Sequence[int], taxonomy: Taxonomy) -> str:
    if not len(verb_tags):
        own = [phrase.text.lower().split()[0] for phrase in find_phrases(text) if phrase.kind == "verb"]
        return own[0] if own else ""
    group = set(taxonomy.verbs.groups[verb_tags[0]])
    tokens = text.lower().replace(".", "").replace(",", "").split()
    bases = [verb_of(token) or token for token in tokens]
    pairs = [f"{base} {token}" for base, token in zip(bases, tokens[1:], strict=False)]  # bases has one more
    said = next((word for word in [*pairs, *bases, *tokens] if word in group), None)
    return said or taxonomy.verbs.labels[verb_tags[0]]


def _forms(token: str) -> list[str]:
    """A word as it is, then as the singulars that it may be the plural of."""
    return [token, *(token.removesuffix(end) for end in ("s", "es") if token.endswith(end) and len(token) > len(end))]


def _known(known: set[str], forms: list[str]) -> str | None:
    return next((form for form in forms if form in known), None)
