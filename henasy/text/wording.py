"""How a query is put to a model that was trained on narrations: as it is typed, as a narration, or both.

Narrations say what the camera's wearer does in the third person behind a tag, "#C C opens the jar"; people type
"open the jar".
"""

import re
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from henasy.text.phrases import find_phrases, tag_end
from henasy.text.words import (
    ADJECTIVE_LIKE,
    ALSO_NOUNS,
    DETERMINERS,
    PARTICLES,
    PREPOSITIONS,
    PRONOUNS,
    SUBJECTS,
    is_adverb,
    third_person,
    verb_of,
)

_PLEASE = re.compile(r"^please\b[\s,]*", re.IGNORECASE)
WEARER_TAG = "#C C "
"""What opens a narration of what the camera's wearer does."""


class Wording(StrEnum):
    """Which texts stand for a query."""

    BARE = "bare"
    """The query as it is typed."""
    NARRATION = "narration"
    """The query as a narration; see `as_narration`."""
    BOTH = "both"
    """Both; their embeddings are averaged."""


def texts_of(query: str, wording: Wording) -> tuple[str, ...]:
    """The texts, one or two, whose mean embedding stands for a query."""
    narration = as_narration(query)
    if wording is Wording.BARE or narration == query:
        return (query,)
    return (narration,) if wording is Wording.NARRATION else (query, narration)


def as_narration(query: str) -> str:
    """The query as EgoClip's annotators would have written it: "open the jar" gives "#C C opens the jar".

    That needs a query that surely opens with a verb, or with how it is done ("slowly pour the milk"); a "please" before
    it is left out. One that has a tag or a subject of its own, has no verb, or may
    name a thing ("water bottle") stays as it is.
    """
    text = _PLEASE.sub("", query.strip(), count=1).rstrip(".!?").rstrip()
    verbs = [phrase for phrase in find_phrases(text) if phrase.kind == "verb"]
    if tag_end(query) or not verbs:
        return query
    is_verb_first = all(is_adverb(word) for word in text[: verbs[0].start].lower().split())
    if not is_verb_first or not _is_surely_verb(text[verbs[0].start :]):
        return query
    pieces, done = [], 0
    for verb in verbs:
        word = verb.text.split(maxsplit=1)[0]
        is_infinitive = text[: verb.start].lower().split()[-1:] in (["to"], *([subject] for subject in SUBJECTS))
        is_kept = is_infinitive or not _is_surely_verb(text[verb.start :])
        pieces += [text[done : verb.start], word if is_kept else _third_person(word.lower())]
        done = verb.start + len(word)
    return WEARER_TAG + "".join(pieces) + text[done:]


def _is_surely_verb(text: str) -> bool:
    """Whether a text that may open with a verb can hardly open with a thing's name."""
    word, following = [*text.lower().split(maxsplit=2), ""][:2]
    base = verb_of(word)
    if following in DETERMINERS | PRONOUNS:
        return True
    if following == "of" or base in ALSO_NOUNS:
        return False
    if word in ADJECTIVE_LIKE:
        return following in PARTICLES
    is_participle = base != word and not word.endswith("s")
    return not is_participle or following in PARTICLES | PREPOSITIONS


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., D) the normalised mean over the second last axis of L2-normalised vectors (..., W, D)."""
    if vectors.shape[-2] == 1:
        only: NDArray[np.float32] = vectors[..., 0, :]
        return only
    mean = vectors.astype(np.float64).mean(axis=-2)
    unit: NDArray[np.float32] = (mean / np.linalg.norm(mean, axis=-1, keepdims=True)).astype(np.float32)
    return unit


def _third_person(word: str) -> str:
    """The form of any form of a verb; a verb that the lists lack is changed only if it looks like its base form."""
    base = verb_of(word)
    if base is None:
        return word if word.endswith(("s", "ing", "ed")) else third_person(word)
    return third_person(base)
