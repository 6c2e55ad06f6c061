"""One vector per class from the texts that describe it.

M texts, C classes, D width of the joint space.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.encoding.features import compared
from henasy.evaluation.encoding.source import Similarity


class ClassTexts(NamedTuple):
    """The texts of all classes in one list."""

    texts: tuple[str, ...]
    """(M,)"""
    owners: NDArray[np.int64]
    """(M,) the class of each text, ascending; every class has at least one."""


def class_texts(texts_of: Sequence[Sequence[str]]) -> ClassTexts:
    """The texts of each class, one after the other."""
    owners = np.repeat(np.arange(len(texts_of)), [len(texts) for texts in texts_of])
    return ClassTexts(tuple(text for texts in texts_of for text in texts), owners)


def class_vectors(
    embeddings: NDArray[np.floating], owners: NDArray[np.int64], similarity: Similarity
) -> NDArray[np.float64]:
    """(C, D) mean of each class's text embeddings, for cosine brought to length 1 again.

    Args:
        embeddings: (M, D), of length 1 for cosine.
        owners: (M,) as in `ClassTexts`.
        similarity: how the vectors will be compared.

    Source: facebookresearch/LaViLa eval_zeroshot.py, which takes cosine.
    """
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    sums = np.add.reduceat(embeddings.astype(np.float64), starts, axis=0)
    return compared(sums / np.bincount(owners)[:, None], similarity)
