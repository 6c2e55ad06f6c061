"""Which combinations of noun, verb and colour a training archive never shows.

A fixed function of the taxonomies, so that any test archive can tell what a model has not seen.
"""

from henasy.scenes.actions import VERBS
from henasy.scenes.mesh import Colour
from henasy.scenes.shapes import KINDS

COLOURS: dict[str, Colour] = {
    "red": (0.82, 0.1, 0.1),
    "green": (0.1, 0.58, 0.18),
    "blue": (0.12, 0.28, 0.82),
    "yellow": (0.95, 0.82, 0.12),
    "orange": (0.95, 0.48, 0.06),
    "purple": (0.5, 0.16, 0.62),
    "pink": (0.95, 0.52, 0.68),
    "white": (0.93, 0.93, 0.91),
    "grey": (0.42, 0.43, 0.45),
}

_NOUN_ROW = {kind.noun: row for row, kind in enumerate(KINDS)}
_COLOUR_ROW = {name: row for row, name in enumerate(COLOURS)}
# An action and the one that undoes it are held out together: a scene that may lift must also be able to put down.
_VERB_ROW = {verb.label: row for row, verb in enumerate(VERBS)} | {
    verb.twin: row for row, verb in enumerate(VERBS) if verb.twin
}


def is_held_out_action(noun: str, verb: str) -> bool:
    """Whether training archives never show this verb done to this noun.

    One possible pair in six, spread over nearly every noun and every verb.
    """
    return (_NOUN_ROW[noun] + 4 * _VERB_ROW[verb]) % 7 == 2


def is_held_out_colour(noun: str, colour: str) -> bool:
    """Whether training archives never show this noun in this colour; one pair in nine."""
    return (_NOUN_ROW[noun] * 4 + _COLOUR_ROW[colour]) % 9 == 5
