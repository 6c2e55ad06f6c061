"""Which combinations of noun, verb and colour a training archive of this repertoire never shows.

A fixed function of the taxonomies, so that any test archive can tell what a model has not seen.
"""

from collections.abc import Callable

from henasy.scenes.household.kinds import KINDS, Kind
from henasy.scenes.household.verbs import TWINS, VERBS
from henasy.scenes.mesh import Colour

COLOURS: dict[str, Colour] = {
    "red": (0.8, 0.12, 0.11),
    "green": (0.13, 0.56, 0.2),
    "blue": (0.14, 0.3, 0.8),
    "yellow": (0.95, 0.82, 0.14),
    "orange": (0.95, 0.5, 0.1),
    "purple": (0.48, 0.18, 0.6),
    "pink": (0.95, 0.55, 0.7),
    "white": (0.93, 0.93, 0.91),
    "grey": (0.42, 0.43, 0.45),
    "brown": (0.45, 0.27, 0.14),
}

_NOUN_ROW = {kind.noun: row for row, kind in enumerate(KINDS)}
_COLOUR_ROW = {name: row for row, name in enumerate(COLOURS)}
# An action and the one that undoes it are held out together: a scene that may lift must also be able to put down.
_VERB_ROW = {verb.label: row for row, verb in enumerate(VERBS)}
_VERB_ROW |= {undone: _VERB_ROW[verb] for verb, undone in TWINS.items()}
_ABLE: dict[str, Callable[[Kind], bool]] = {
    "open": lambda kind: kind.build_lid is not None,
    "close": lambda kind: kind.build_lid is not None,
    "insert": lambda kind: kind.is_small,
    "remove": lambda kind: kind.is_small,
    "pour": lambda kind: kind.lip is not None,
    "stir": lambda kind: kind.is_vessel,
    "cut": lambda kind: kind.is_food,
    "wipe": lambda kind: kind.is_hard,
}


def able_nouns(verb: str) -> tuple[str, ...]:
    """Nouns of what a verb can be done to."""
    is_able = _ABLE.get(verb)
    return tuple(kind.noun for kind in KINDS if is_able is None or is_able(kind))


_HELD_OUT = {
    (noun, verb.label)
    for verb in VERBS
    for rank, noun in enumerate(able_nouns(verb.label))
    if (rank + 5 * _VERB_ROW[verb.label]) % 6 == 2
}


def is_held_out_action(noun: str, verb: str) -> bool:
    """Whether training archives never show this verb done to this noun: one possible pair in six, of every verb."""
    return (noun, verb) in _HELD_OUT


def is_held_out_colour(noun: str, colour: str) -> bool:
    """Whether training archives never show this noun in this main colour; one pair in ten."""
    return (_NOUN_ROW[noun] * 3 + _COLOUR_ROW[colour]) % 10 == 5
