"""Captions with one word swapped for another of a taxonomy: what a clip must not be called.

A swap keeps the inflection ("lifts" gives "opens", "cups" gives "plates") and the article's agreement ("a cup", "an
apple"), and never takes a word that the taxonomy groups with the true one. A particle that belongs to the swapped verb
goes with it: "picks up the cup" gives "opens the cup".
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from henasy.text.gerund import gerund
from henasy.text.phrases import tag_end
from henasy.text.words import IRREGULAR_FORMS, PARTICLES, third_person, verb_of

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LONGEST_NOUN = 3
_WHO_AND_WHERE = frozenset(
    ("camera", "ground", "hand", "hands", "lady", "left hand", "leg", "man", "person", "right hand", "they", "woman")
)
"""Nouns that say who acts and where: neither swapped nor put in. Source: HelpingHands, nouns of a caption."""
_PLURAL_IN_VES = {word: re.sub(r"fe?$", "ves", word) for word in ("half", "knife", "leaf", "loaf", "scarf", "shelf")}
_SINGULAR_OF_VES = {plural: word for word, plural in _PLURAL_IN_VES.items()}
_UNCHANGED_PAST = frozenset(("beat", "cut", "hit", "let", "put", "read", "set", "shut", "spread", "split", "wet"))


class _Found(NamedTuple):
    """A word of a caption that may be swapped."""

    start: int
    end: int
    """Past the word and the particle that goes with it."""
    rows: frozenset[int]
    """Classes that the caption says, none of which may take its place."""
    inflect: Callable[[str], str | None]
    """The inflection of the word, for another base form; None where the other has none."""


class _Classes:
    """A taxonomy's classes by row, and the classes that a word may mean."""

    def __init__(self, groups: Sequence[Sequence[str]], usable: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
        self.words = [usable(tuple(group)) for group in groups]
        """What may be put into captions for each class."""
        self._rows: dict[str, list[int]] = {}
        for row, group in enumerate(groups):
            for word in dict.fromkeys(group):
                self._rows.setdefault(word, []).append(row)

    def rows_of(self, word: str) -> list[int]:
        """Every class that has this word; a word may be of several, or of none."""
        return self._rows.get(word, [])


class WordSwaps:
    """Swaps words of captions for words of a pair of taxonomies."""

    def __init__(self, verbs: Sequence[Sequence[str]], nouns: Sequence[Sequence[str]]) -> None:
        """Takes the surface words of every class, lower case, in the order of the rows."""
        self._verbs, self._nouns = _Classes(verbs, _base_verbs), _Classes(nouns, _plain_nouns)

    def verb_swaps(self, caption: str, verb_rows: Sequence[int], rng: np.random.Generator, count: int) -> list[str]:
        """Up to `count` captions with another verb, each different.

        Args:
            caption: a narration, with its tag or without.
            verb_rows: classes of the caption's verbs; where none of their words is found, no verb is swapped.
            rng: decides which.
            count: how many at most; fewer where the taxonomy has no more, none where no verb is found.
        """
        found = self._find_verb(caption, frozenset(verb_rows))
        return [] if found is None else _swapped(caption, [found], self._verbs, rng, count)

    def noun_swaps(self, caption: str, noun_rows: Sequence[int], rng: np.random.Generator, count: int) -> list[str]:
        """Up to `count` captions with one of their nouns swapped; arguments as for `verb_swaps`."""
        found = list(self._find_nouns(caption, frozenset(noun_rows)))
        return _swapped(caption, found, self._nouns, rng, count)

    def _find_verb(self, caption: str, rows: frozenset[int]) -> _Found | None:
        words = list(_WORD.finditer(caption, tag_end(caption)))
        for place, match in enumerate(words):
            word = match.group().lower()
            for base in dict.fromkeys((verb_of(word) or word, word)):
                if rows.isdisjoint(self._verbs.rows_of(base)):
                    continue
                following = words[place + 1] if place + 1 < len(words) else None
                takes_particle = following is not None and following.group().lower() in PARTICLES
                end = following.end() if following is not None and takes_particle else match.end()
                known = rows | frozenset(self._verbs.rows_of(base)) | frozenset(self._verbs.rows_of(word))
                return _Found(match.start(), end, known, _verb_form(word, base))
        return None

    def _find_nouns(self, caption: str, tagged: frozenset[int]) -> Iterator[_Found]:
        """The nouns of these classes, longest names first, none inside another."""
        words = list(_WORD.finditer(caption, tag_end(caption)))
        named = {row for match in words for row in self._nouns.rows_of(match.group().lower())}
        taken: set[int] = set()
        for length in range(_LONGEST_NOUN, 0, -1):
            for first in range(len(words) - length + 1):
                places = range(first, first + length)
                name = " ".join(words[place].group().lower() for place in places)
                singular = name if self._nouns.rows_of(name) else _singular(name)
                known = frozenset(self._nouns.rows_of(singular))
                if taken.isdisjoint(places) and tagged & known and singular not in _WHO_AND_WHERE:
                    taken.update(places)
                    form = _plural if singular != name else _as_it_is
                    yield _Found(words[first].start(), words[places[-1]].end(), tagged | known | named, form)


def _swapped(
    caption: str, found: Sequence[_Found], classes: _Classes, rng: np.random.Generator, count: int
) -> list[str]:
    """Each class once in a drawn order, then again with its further words, until there are enough."""
    if not found or count < 1:
        return []
    swapped: dict[str, None] = {}
    present = {match.group().lower() for match in _WORD.finditer(caption)}
    order, shifts = rng.permutation(len(classes.words)), rng.integers(1 << 30, size=len(classes.words))
    for turn, row in _turns(order, classes.words):
        choices, place = classes.words[row], found[(turn + int(shifts[row])) % len(found)]
        if row in place.rows or turn >= len(choices):
            continue
        word = choices[(turn + int(shifts[row])) % len(choices)]
        inflected = place.inflect(word)
        is_synonym = not place.rows.isdisjoint(classes.rows_of(word))
        if inflected is None or is_synonym or not present.isdisjoint([*word.split(), *inflected.split()]):
            continue
        swapped[_put(caption, place, inflected)] = None
        if len(swapped) == count:
            break
    return list(swapped)


def _turns(order: Iterable[int], words: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    for turn in range(max(map(len, words), default=0)):
        for row in order:
            yield turn, int(row)


def _put(caption: str, place: _Found, word: str) -> str:
    before, after = caption[: place.start], caption[place.end :]
    article = re.search(r"\b(an?)(\s+)$", before, re.IGNORECASE)
    if article is not None:
        right = "an" if word[0] in "aeio" else "a"  # as "a utensil" and "a uniform"; "umbrella" is the rarer kind
        before = before[: article.start(1)] + right + article.group(2)
    return before + word + after


def _base_verbs(group: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a verb class that are single base forms of known verbs; its first plain word where none is."""
    known = tuple(dict.fromkeys(word for word in group if verb_of(word) == word))
    plain = tuple(word for word in group if word.isalpha())
    return known or plain[:1]


def _plain_nouns(group: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a noun class that can stand in a caption: letters and blanks, singular, not who acts or where."""
    singular = (word for word in group if re.fullmatch(r"[a-z]+( [a-z]+)*", word) and _singular(word) == word)
    return tuple(dict.fromkeys(word for word in singular if word not in _WHO_AND_WHERE))


def _verb_form(word: str, base: str) -> Callable[[str], str | None]:
    if word == base:
        return _as_it_is
    if word == third_person(base):
        return third_person
    return gerund if word.endswith("ing") else _regular_past


def _as_it_is(base: str) -> str:
    return base


def _regular_past(base: str) -> str | None:
    if base in IRREGULAR_FORMS.values() or base in _UNCHANGED_PAST:
        return None
    if base.endswith("e"):
        return base + "d"
    if re.search(r"[^aeiou]y$", base):
        return base[:-1] + "ied"
    return gerund(base).removesuffix("ing") + "ed"  # doubles the consonant where "-ing" does


def _plural(noun: str) -> str:
    if noun in _PLURAL_IN_VES:
        return _PLURAL_IN_VES[noun]
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return noun + "es"
    return noun[:-1] + "ies" if re.search(r"[^aeiou]y$", noun) else noun + "s"


def _singular(noun: str) -> str:
    if noun in _SINGULAR_OF_VES:
        return _SINGULAR_OF_VES[noun]
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if re.search(r"(ss|x|z|ch|sh)es$", noun):
        return noun[:-2]
    return noun[:-1] if re.search(r"[^su]s$", noun) else noun
