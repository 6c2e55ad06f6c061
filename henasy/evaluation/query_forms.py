"""Narrations as somebody would type them into a search."""

from henasy.text.phrases import find_phrases
from henasy.text.wording import tag_end
from henasy.text.words import verb_of


def as_sentence(narration: str) -> str:
    """The narration without its tag: "opens the jar"."""
    return narration[tag_end(narration) :]


def as_order(narration: str) -> str:
    """The narration with its verb in the base form: "open the jar"; as a sentence where no verb opens it."""
    text = as_sentence(narration)
    if not any(phrase.kind == "verb" and phrase.start == 0 for phrase in find_phrases(text)):
        return text
    word, blank, rest = text.partition(" ")
    return f"{verb_of(word.lower()) or word}{blank}{rest}"
