"""How much each sentence says about each clip, from verb and noun classes."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.epic100 import EpicClip, EpicRetrieval

PUBLISHED_DIGEST = "fc3bfdc6e828746b06d3e75ea7b3ad9a9a7c57a122ab84843f104761af62d956"
"""`matrix_digest` of the published EPIC-KITCHENS-100 retrieval test set: only there do the papers' rows compare."""


# Rows computed at a time: the temporaries stay in the processor's cache.
_BLOCK_ROWS = 256


def relevancy_matrix(annotations: EpicRetrieval) -> NDArray[np.float64]:
    """(V, S) in [0, 1]: half for the same verb class, half for the overlap of the sets of noun classes.

    Columns follow the sentence file; a column's classes are those of the clip with its narration id.

    Source: PROTOCOLS section 3.2.
    """
    sentences = [annotations.clips[row] for row in annotations.sentence_rows]
    clip_verbs, clip_nouns = _classes(annotations.clips, annotations.clips)
    verbs, nouns = _classes(sentences, annotations.clips)
    matrix = np.empty((len(annotations.clips), len(sentences)))
    for first in range(0, len(matrix), _BLOCK_ROWS):
        rows = slice(first, first + _BLOCK_ROWS)
        # Counts are small integers: exact in float32, where the product is fastest.
        shared = clip_nouns[rows] @ nouns.T
        union = clip_nouns[rows].sum(axis=1)[:, None] + nouns.sum(axis=1)[None] - shared
        np.divide(shared, union, dtype=np.float64, out=matrix[rows])
        matrix[rows] += clip_verbs[rows, None] == verbs[None]
        matrix[rows] *= 0.5
    return matrix


def matrix_digest(matrix: NDArray[np.float64]) -> str:
    """sha256 of the matrix as float32 in C order: the same wherever the annotations are the same."""
    return hashlib.sha256(np.ascontiguousarray(matrix, dtype="<f4").tobytes()).hexdigest()


def _classes(clips: Sequence[EpicClip], all_clips: Sequence[EpicClip]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Verb classes (N,) and noun classes (N, C) as ones among the C that occur anywhere."""
    columns = sorted({noun for clip in all_clips for noun in clip.noun_classes})
    column_of = {noun: column for column, noun in enumerate(columns)}
    hot = np.zeros((len(clips), len(columns)), np.float32)
    for row, clip in enumerate(clips):
        hot[row, [column_of[noun] for noun in clip.noun_classes]] = 1
    return np.array([clip.verb_class for clip in clips], np.int64), hot
