"""Asking a chat model for captions with one word swapped, and reading its answer.

EgoNCE++ has a language model write its captions with another verb or noun; its prompts are in no repository, so these
are ours.
"""

import re
from collections.abc import Sequence

from henasy.text.chat_model import Prompt
from henasy.text.phrases import find_phrases, tag_end
from henasy.text.verb_answers import SYSTEM, bare, read_list

_TASK = (
    "Task: You are given an input sentence about what a person does. Your job is to output {count} sentences that "
    "differ from it in one {kind} alone, and that are plausible but false if the input sentence is true: never a "
    "synonym. Keep every other word."
)
_WORD = re.compile(r"[^\W_]+")


def swap_prompt(narration: str, kind: str, count: int) -> Prompt:
    """What the model is asked about a narration; `kind` is verb or noun."""
    return Prompt(SYSTEM, f"{_TASK.format(count=count, kind=kind)}\nInput sentence: {bare(narration)}")


def read_swaps(answer: str, narration: str, kind: str) -> list[str] | None:
    """The captions of an answer, under the narration's own tag; None where none can be read.

    Sentences are left out in which the wrong part was changed: of a verb swap every noun phrase's words must still be
    there, of a noun swap the verb.
    """
    found = read_list(answer)
    if found is None:
        return None
    start = tag_end(narration)
    true, kept = _words(bare(narration)), _words(" ".join(_unchanged(narration, kind)))
    good = []
    for sentence in found:
        own = sentence[tag_end(sentence) :].strip().rstrip(".")
        words = _words(own)
        if words and words != true and set(kept) <= set(words):
            good.append(f"{narration[:start]}{own}")
    return list(dict.fromkeys(good)) or None


def _unchanged(narration: str, kind: str) -> Sequence[str]:
    phrases = find_phrases(narration)
    if kind == "verb":
        return [phrase.text for phrase in phrases if phrase.kind == "noun"]
    return [phrase.text.split()[0] for phrase in phrases if phrase.kind == "verb"]


def _words(text: str) -> list[str]:
    return [match.group().lower() for match in _WORD.finditer(text)]
