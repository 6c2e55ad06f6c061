"""Verbs in "-ing" form, and the short verb phrases made of them where no language model wrote any.

"take" gives "taking", "take" and "cup" give "taking the cup".
"""

import re
from collections.abc import Sequence

from henasy.text.words import IRREGULAR_FORMS, verb_of

_KEEPS_E = re.compile(r"(ee|oe|ye|nge)$")
_DROPS_E_AFTER_NG = frozenset({"arrange", "change", "exchange", "rearrange", "plunge", "sponge"})
_ONE_SYLLABLE_CVC = re.compile(r"^[^aeiou]+(?:u(?=[aeiou]))?[aeiou][bdfgklmnprtvz]$")
_STRESSED_AT_THE_END = frozenset({"begin", "commit", "forget", "permit", "prefer", "refer", "submit", "transfer"})
_PREFIXES = ("un", "re")
_IS_GERUND = re.compile(r"[aeiouy].*ing$")


def gerund(verb: str) -> str:
    """The "-ing" form of a verb, of which only the first word changes: "pick up" gives "picking up".

    Args:
        verb: lower case; the base form, or a form from which it can be told ("picks", "took"). One that is in "-ing"
            form already stays as it is. Empty gives empty.
    """
    word, space, rest = verb.strip().partition(" ")
    if not word or _IS_GERUND.search(word):
        return verb.strip()
    return _with_ing(_base(word)) + space + rest


def action_phrase(verb: str, objects: Sequence[str]) -> str:
    """What is done to what: "taking the cup" of "take" and ["cup", "table"]; the first object alone is named.

    Args:
        verb: as in `gerund`; empty gives an empty phrase, for objects alone are no action.
        objects: the narration's objects in the order of its words; may be empty.
    """
    doing = gerund(verb)
    return f"{doing} the {objects[0]}" if doing and objects else doing


def _base(word: str) -> str:
    """The base form of a known verb's form, or of one that looks like a third person; else the word."""
    known = verb_of(word)
    if known is not None or word in IRREGULAR_FORMS:
        return known or IRREGULAR_FORMS[word]
    if re.search(r"(ss|sh|ch|x|zz)es$", word):
        return word[:-2]
    if re.search(r"[^aeiou]ies$", word):
        return word[:-3] + "y"
    return word[:-1] if re.search(r"[^siu]s$", word) else word


def _with_ing(base: str) -> str:
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if base.endswith("e") and len(base) > 2 and (base in _DROPS_E_AFTER_NG or not _KEEPS_E.search(base)):
        return base[:-1] + "ing"
    return base + (base[-1] if _doubles(base) else "") + "ing"


def _doubles(base: str) -> bool:
    """Whether the last consonant is doubled: its syllable is stressed, as in "cut" and "unplug" but not in "open"."""
    stems = [base, *(base.removeprefix(prefix) for prefix in _PREFIXES if base.startswith(prefix))]
    return base in _STRESSED_AT_THE_END or any(_ONE_SYLLABLE_CVC.match(stem) for stem in stems)
