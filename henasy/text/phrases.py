"""Noun and verb phrases of a query by rules, with no language model.

A clause has one verb: the first word that can be one. What follows it, up to the next clause, belongs to its verb
phrase; runs of content words between small words are noun phrases.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from henasy.text.words import (
    ADJECTIVE_LIKE,
    ADVERBS,
    ALSO_NOUNS,
    AUXILIARIES,
    COORDINATORS,
    DEGREES,
    DETERMINERS,
    ING_NOUNS,
    JOINED_AFTER,
    JOINED_BEFORE,
    JOINED_BETWEEN,
    PARTICLES,
    PERFECT,
    PREPOSITIONS,
    PRONOUNS,
    QUESTION_WORDS,
    RESULTS,
    SEPARATORS,
    SUBJECTS,
    is_adverb,
    is_inflected,
    is_ing_compound,
    is_participle,
    verb_of,
)

_TAG = re.compile(r"\s*#\s*(?:unsure\b\s*|[a-z]\b\s*(?:[a-z]\b\s*)?)", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[,;.:!?]")
_MIN_UNKNOWN_ING = 6
_SMALL = DETERMINERS | PRONOUNS | AUXILIARIES | ADVERBS | PREPOSITIONS | QUESTION_WORDS

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
    if _is_small(word, before, after, is_after_noun=previous == "noun", has_verb=has_verb):
        return "small"
    if before in SUBJECTS and verb_of(word) is not None:
        return "verb"
    if before == "to" and verb_of(word) == word and after in DETERMINERS:
        return "verb"
    is_verb = not has_verb and before not in DETERMINERS and _can_be_verb(word, after, previous)
    return "verb" if is_verb else "noun"


def _is_small(word: str, before: str, after: str, *, is_after_noun: bool, has_verb: bool) -> bool:
    """Whether a word is part neither of a thing's name nor a verb, by itself or where it stands."""
    if word in _SMALL or word.isdigit() or is_adverb(word):
        return True
    if word in PERFECT:
        return after == "been" or is_participle(after)
    if word == "can":
        return after in SUBJECTS
    if JOINED_BEFORE.get(word, "") == after != "":
        return is_after_noun or before in AUXILIARIES
    is_last = after == "" or not after[0].isalnum() or after in PREPOSITIONS | SEPARATORS
    if word in JOINED_BETWEEN:
        return (before, after) == JOINED_BETWEEN[word]
    if word in JOINED_AFTER:
        return before == JOINED_AFTER[word] and is_last
    # In front of a thing such a word is part of its name; behind it, it says what became of it.
    return word in RESULTS and is_last and (before in DEGREES or (is_after_noun and has_verb))


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
            last = _end_of_clause(place, words, roles)
            while last > place and words[last].text in (DETERMINERS | PRONOUNS | {"to", "of", "with"}):
                last -= 1
            yield _phrase(query, words[place], words[last], "verb")


def _end_of_clause(verb: int, words: list[_Word], roles: list[Role]) -> int:
    """The last word that belongs to a verb: things joined by "and" belong to it as long as no other verb follows."""
    last = place = verb
    while place + 1 < len(words) and roles[place + 1] != "verb":
        place += 1
        if roles[place] == "break":
            if words[place].text not in COORDINATORS or "noun" not in _up_to_break(roles, place + 1):
                return last
        else:
            last = place
    return last


def _up_to_break(roles: list[Role], first: int) -> list[Role]:
    """The roles up to the next break; none where a verb is among them, since that begins a clause of its own."""
    part = list(itertools.takewhile(lambda role: role != "break", roles[first:]))
    return [] if "verb" in part else part


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
