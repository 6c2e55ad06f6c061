"""Narrations as somebody would type them into a search."""

from collections.abc import Callable

from henasy.text.gerund import gerund
from henasy.text.phrases import find_phrases, tag_end
from henasy.text.words import verb_of


def as_sentence(narration: str) -> str:
    """The narration without its tag: "opens the jar"."""
    return narration[tag_end(narration) :]


def as_order(narration: str) -> str:
    """The narration with its first verb in the base form, "open the jar"; as a sentence where no verb opens it."""
    return _with_verb(narration, lambda base: base)


def as_gerund(narration: str) -> str:
    """The narration with its first verb in -ing, "opening the jar"; as a sentence where no verb opens it."""
    return _with_verb(narration, gerund)


def _with_verb(narration: str, form: Callable[[str], str]) -> str:
    text = as_sentence(narration)
    if not any(phrase.kind == "verb" and phrase.start == 0 for phrase in find_phrases(text)):
        return text
    word, blank, rest = text.partition(" ")
    base = verb_of(word.lower())
    return text if base is None else f"{form(base)}{blank}{rest}"
