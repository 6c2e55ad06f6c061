"""Asking a chat model for a narration's verb phrases, and reading its answer.

Source: HENASY appendix C, system and task word for word. It does not say how the narration is put to the model; here
it follows on a line of its own, without its "#C C".
"""

import ast
import re

from henasy.text.chat_model import Prompt
from henasy.text.phrases import tag_end
from henasy.text.words import ING_NOUNS

SYSTEM = "Act as if you are a robot that only outputs python list of strings."
TASK = (
    "Task: You are given an input sentence. Your job is to output the action verb phrases, which are always starting "
    "by a verb-ing."
)
MAX_PHRASE_WORDS = 12
"""A longer "phrase" is the model talking."""
_STRAIGHT_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "`": "'"})
_VERB_ING = re.compile(r"[a-z-]*[aeiouy][a-z-]*ing")
_ITEM = re.compile(r"""(?<!\w)(["'])(.+?)\1(?!\w)""", re.DOTALL)


def verb_prompt(narration: str) -> Prompt:
    """What the model is asked about a narration."""
    return Prompt(SYSTEM, f"{TASK}\nInput sentence: {bare(narration)}")


def bare(narration: str) -> str:
    """A narration without its leading tag, as the model is given it."""
    return narration[tag_end(narration) :].strip()


def read_verb_phrases(answer: str) -> list[str] | None:
    """The phrases of an answer in lower case; an empty list where the model found none, None where it cannot be told.

    The answer's first list counts, whatever is said around it; it may have been cut off after its first phrase. What
    does not open with a verb in "-ing" form is no phrase.
    """
    found = read_list(answer)
    if found is None:
        return None
    phrases = [" ".join(text.lower().split()).strip(" .,;:") for text in found]
    good = [phrase for phrase in phrases if _is_phrase(phrase)]
    return None if found and not good else list(dict.fromkeys(good))


def read_list(answer: str) -> list[str] | None:
    """The first list of strings in an answer, or those of its items that are whole; None where there is none."""
    answer = answer.translate(_STRAIGHT_QUOTES)
    start = answer.find("[")
    if start < 0:
        return None
    end = answer.find("]", start)
    try:
        found = ast.literal_eval(answer[start : end + 1] if end >= 0 else "")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        # cut off, or a quote inside the quotes: whole items are still worth having
        items = [item.group(2) for item in _ITEM.finditer(answer[start + 1 : end if end >= 0 else None])]
        return items or None
    is_list = isinstance(found, list) and all(isinstance(text, str) for text in found)
    return found if is_list else None


def _is_phrase(phrase: str) -> bool:
    words = phrase.split()
    opens = bool(words) and _VERB_ING.fullmatch(words[0]) is not None and words[0] not in ING_NOUNS
    return opens and len(words) <= MAX_PHRASE_WORDS
