"""How a query is put to a model that was trained on narrations: as it is typed, tagged as one, or both."""

import re
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

WEARER_TAG = "#C C "
"""What opens a narration of what the camera's wearer does."""
_ANY_TAG = re.compile(r"\s*#\s*(?:unsure\b\s*|[a-z]\b\s*(?:[a-z]\b\s*)?)", re.IGNORECASE)
"""Ego4D's tags: of the wearer, of others, of what the annotator was not sure of."""


class Wording(StrEnum):
    """Which texts stand for a query. A query that has a narration tag of its own is taken as it is."""

    BARE = "bare"
    """The query."""
    NARRATION = "narration"
    """The query behind the wearer's tag, "#C C opens the jar"."""
    BOTH = "both"
    """Both; their embeddings are averaged."""


def texts_of(query: str, wording: Wording) -> tuple[str, ...]:
    """The texts whose mean embedding stands for a query."""
    if has_tag(query) or wording is Wording.BARE:
        return (query,)
    tagged = f"{WEARER_TAG}{query}"
    return (tagged,) if wording is Wording.NARRATION else (query, tagged)


def has_tag(text: str) -> bool:
    """Whether a text opens with a narration tag."""
    return tag_end(text) > 0


def tag_end(text: str) -> int:
    """Where the text behind a leading narration tag begins; 0 without one."""
    found = _ANY_TAG.match(text)
    return found.end() if found else 0


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., D) the normalised mean over the second last axis of L2-normalised vectors (..., W, D)."""
    if vectors.shape[-2] == 1:
        only: NDArray[np.float32] = vectors[..., 0, :]
        return only
    mean = vectors.astype(np.float64).mean(axis=-2)
    unit: NDArray[np.float32] = (mean / np.linalg.norm(mean, axis=-1, keepdims=True)).astype(np.float32)
    return unit
