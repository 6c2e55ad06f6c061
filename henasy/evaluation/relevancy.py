"""How much each sentence says about each clip, from verb and noun classes."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.epic100 import EpicClip, EpicRetrieval

PUBLISHED_DIGEST = "fc3bfdc6e828746b06d3e75ea7b3ad9a9a7c57a122ab84843f104761af62d956"
"""`matrix_digest` of the published EPIC-KITCHENS-100 retrieval test set: only there do the papers' rows compare."""


def relevancy_matrix(annotations: EpicRetrieval) -> NDArray[np.float64]:
    """(V, S) in [0, 1]: half for the same verb class, half for the overlap of the sets of noun classes.

    Columns follow the sentence file; a column's classes are those of the clip with its narration id.

    Source: PROTOCOLS section 3.2.
    """
    sentences = [annotations.clips[row] for row in annotations.sentence_rows]
    verbs = np.array([clip.verb_class for clip in annotations.clips])
    is_same_verb = verbs[:, None] == verbs[annotations.sentence_rows][None]
    matrix: NDArray[np.float64] = 0.5 * is_same_verb + 0.5 * _noun_overlap(annotations.clips, sentences)
    return matrix


def matrix_digest(matrix: NDArray[np.float64]) -> str:
    """sha256 of the matrix as float32 in C order: the same wherever the annotations are the same."""
    return hashlib.sha256(np.ascontiguousarray(matrix, dtype="<f4").tobytes()).hexdigest()


def _noun_overlap(clips: Sequence[EpicClip], sentences: Sequence[EpicClip]) -> NDArray[np.float64]:
    """(V, S) intersection over union of noun classes."""
    classes = sorted({noun for clip in clips for noun in clip.noun_classes})
    column_of = {noun: column for column, noun in enumerate(classes)}
    clip_nouns, sentence_nouns = _multi_hot(clips, column_of), _multi_hot(sentences, column_of)
    # Counts are small integers: exact in float32, where the product is fastest.
    shared = clip_nouns @ sentence_nouns.T
    union = clip_nouns.sum(axis=1)[:, None] + sentence_nouns.sum(axis=1)[None] - shared
    overlap: NDArray[np.float64] = np.divide(shared, union, dtype=np.float64)
    return overlap


def _multi_hot(clips: Sequence[EpicClip], column_of: dict[int, int]) -> NDArray[np.float32]:
    hot = np.zeros((len(clips), len(column_of)), np.float32)
    for row, clip in enumerate(clips):
        hot[row, [column_of[noun] for noun in clip.noun_classes]] = 1
    return hot
