"""Verbs as narrations word them, the same for every repertoire."""

from typing import NamedTuple


class Wording(NamedTuple):
    """One way to tell an action; {o} is the object, {p} its partner, {h} the acting hand, {g} the other hand."""

    word: str
    """The verb's word, one of its taxonomy row"""
    third: str
    gerund: str


class VerbRow(NamedTuple):
    """One class of actions."""

    label: str
    words: tuple[str, ...]
    """Surface words of its taxonomy row"""
    wordings: tuple[Wording, ...]
    tool: str | None
    """Noun of what the hand holds; wordings name it"""
    has_partner: bool
    """Whether wordings relate the object to another"""
    also_true: frozenset[str]
    """Labels of verbs that one may truly say of its motion too"""


def with_article(named: str, *, is_definite: bool) -> str:
    """A noun, or a colour and a noun, with its article."""
    return f"the {named}" if is_definite else f"{indefinite_article(named)} {named}"


def indefinite_article(named: str) -> str:
    """The article of one of the archives' nouns, or of its colour where that comes first."""
    return "an" if named[:1] in tuple("aeio") else "a"
