"""Noun and verb phrases of a query by rules, with no language model.

A clause has one verb: the first word that can be one. What follows it, up to the next clause, belongs to its verb
phrase; runs of content words between small words are noun phrases.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from henasy.text.words import (
    ADJECTIVE_LIKE,
    ADVERBS,
    ALSO_NOUNS,
    AUXILIARIES,
    DETERMINERS,
    ING_NOUNS,
    PARTICLES,
    PREPOSITIONS,
    PRONOUNS,
    SEPARATORS,
    is_inflected,
    is_ing_compound,
    verb_of,
)

_TAG = re.compile(r"\s*#\s*(?:unsure\b\s*|[a-z]\b\s*(?:[a-z]\b\s*)?)", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[,;.:!?]")
_MIN_UNKNOWN_ING = 6
_SMALL = DETERMINERS | PRONOUNS | AUXILIARIES | ADVERBS | PREPOSITIONS

Role = Literal["verb", "noun", "small", "break"]


class Phrase(NamedTuple):
    """Part of a query that can be shown to meet an entity."""

    text: str
    """The words as the query has them: `query[start:end]`."""
    kind: Literal["noun", "verb"]
    start: int
    end: int


class _Word(NamedTuple):
    text: str
    start: int
    end: int


def find_phrases(query: str) -> list[Phrase]:
    """Noun and verb phrases of a query, in the order of their first characters, verbs before their nouns.

    A leading narration tag such as "#C C" is no part of any phrase. A noun phrase has no determiner; a verb phrase runs
    from its verb to the last word of its clause.
    """
    words = list(_words(query))
    roles = _roles([word.text for word in words])
    phrases = [*_verb_phrases(query, words, roles), *_noun_phrases(query, words, roles)]
    return sorted(phrases, key=lambda phrase: (phrase.start, phrase.kind != "verb"))


def tag_end(text: str) -> int:
    """Where the text behind a leading narration tag begins; 0 without one."""
    found = _TAG.match(text)
    return found.end() if found else 0


def _words(query: str) -> Iterator[_Word]:
    for found in _WORD.finditer(query, tag_end(query)):
        yield _Word(found.group().lower(), found.start(), found.end())


def _roles(words: list[str]) -> list[Role]:
    roles: list[Role] = []
    has_verb = False
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        after = words[place + 1] if place + 1 < len(words) else ""
        role = _role(word, before, after, previous=roles[-1] if roles else "break", has_verb=has_verb)
        has_verb = role == "verb" or (has_verb and role != "break")
        roles.append(role)
    return roles


def _role(word: str, before: str, after: str, *, previous: Role, has_verb: bool) -> Role:
    if not word[0].isalnum() or word in SEPARATORS:
        return "break"
    if word in _SMALL:
        return "small"
    if before == "to" and verb_of(word) == word and after in DETERMINERS:
        return "verb"
    is_verb = not has_verb and before not in DETERMINERS and _can_be_verb(word, after, previous)
    return "verb" if is_verb else "noun"


def _can_be_verb(word: str, after: str, previous: Role) -> bool:
    """Whether a word outside the lists of small words acts as its clause's verb."""
    if is_ing_compound(word, after) or (word in ING_NOUNS and after not in DETERMINERS):
        return False
    starts = previous in ("break", "small")
    if word in ADJECTIVE_LIKE:
        return starts and (after in DETERMINERS or after in PARTICLES or verb_of(word) == word)
    if is_inflected(word):
        return True
    if verb_of(word) is not None:
        return starts and (after != "" or word not in ALSO_NOUNS)
    is_unknown_ing = word.endswith("ing") and len(word) >= _MIN_UNKNOWN_ING
    return starts and (is_unknown_ing or after in DETERMINERS or after in ("up", "away"))


def _verb_phrases(query: str, words: list[_Word], roles: list[Role]) -> Iterator[Phrase]:
    for place, role in enumerate(roles):
        if role == "verb":
            last = place
            while last + 1 < len(words) and roles[last + 1] not in ("break", "verb"):
                last += 1
            while last > place and words[last].text in (DETERMINERS | PRONOUNS | {"to", "of", "with"}):
                last -= 1
            yield _phrase(query, words[place], words[last], "verb")


def _noun_phrases(query: str, words: list[_Word], roles: list[Role]) -> Iterator[Phrase]:
    first: int | None = None
    for place, role in enumerate([*roles, "break"]):
        if role == "noun" and first is None:
            first = place
        elif role != "noun" and first is not None:
            yield _phrase(query, words[first], words[place - 1], "noun")
            first = None


def _phrase(query: str, first: _Word, last: _Word, kind: Literal["noun", "verb"]) -> Phrase:
    return Phrase(query[first.start : last.end], kind, first.start, last.end)
