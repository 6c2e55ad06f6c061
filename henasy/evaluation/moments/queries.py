"""Narrations of an archive as queries for moments, and every span that answers each.

G spans that answer a query in one video.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.evaluation.rendered.spans import Action


class MomentQuery(NamedTuple):
    """A text that was narrated in a video."""

    text: str
    video_uid: str
    own_s: tuple[float, float]
    """The span of the narrated action itself"""
    answers: dict[str, NDArray[np.float64]]
    """By video, (G, 2) seconds: everything that the text is true of, the narrated action among it"""

    @property
    def own_answers(self) -> NDArray[np.float64]:
        """(G, 2) the answers in the query's own video."""
        return self.answers[self.video_uid]


def narrated_queries(actions: Sequence[Action]) -> list[MomentQuery]:
    """One query for each text of each video, in the order of the actions; a text said twice in a video is asked once.

    A text is true of every action of its verb on its noun; where it names a colour or a hand, of that colour or hand.

    Raises:
        AnnotationError: there is no action.
    """
    if not actions:
        raise AnnotationError("the archive narrates no action, so there is nothing to ask for")
    asked: dict[tuple[str, str], MomentQuery] = {}
    for action in actions:
        key = action.video_uid, action.text
        if key not in asked:
            answers = _answers(action, actions)
            asked[key] = MomentQuery(action.text, action.video_uid, (action.start_s, action.end_s), answers)
    return list(asked.values())


def _answers(action: Action, actions: Sequence[Action]) -> dict[str, NDArray[np.float64]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for other in actions:
        if _is_true_of(action, other):
            found.setdefault(other.video_uid, []).append((other.start_s, other.end_s))
    return {uid: np.array(spans, np.float64) for uid, spans in found.items()}


def _is_true_of(action: Action, other: Action) -> bool:
    names_colour = f"{action.colour} {action.noun}" in action.text
    names_hand = f"with the {action.hand} hand" in action.text
    return (
        (other.verb, other.noun) == (action.verb, action.noun)
        and (not names_colour or other.colour == action.colour)
        and (not names_hand or other.hand == action.hand)
    )
