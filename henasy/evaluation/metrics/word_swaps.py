"""EgoHOIBench accuracy: one clip, its true caption, captions with another verb, captions with another noun.

N items, K swapped captions of a kind. Columns of an item: the true caption, K verb swaps, K noun swaps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError


class RightWords(NamedTuple):
    """Which items were answered rightly."""

    verb: NDArray[np.bool_]
    """(N,) the true caption is as close to the clip as any of its verb swaps"""
    noun: NDArray[np.bool_]
    """(N,) the same among its noun swaps"""

    @property
    def action(self) -> NDArray[np.bool_]:
        """(N,) both."""
        both: NDArray[np.bool_] = self.verb & self.noun
        return both


class WordSwapScores(NamedTuple):
    """Accuracies as fractions."""

    verb: float
    noun: float
    action: float
    num_tied: int
    """Items whose closest swap of a kind is exactly as close as the true caption."""


def right_words(similarity: NDArray[np.floating]) -> RightWords:
    """For each item whether its true caption beats its verb swaps, and whether it beats its noun swaps.

    Ties go to the true caption: the reference takes the first of equal maxima and puts the true caption first. That
    holds for each of its two code paths (one argmax per kind and both right; one argmax over all 2K + 1), so their
    action accuracies agree in ties too.

    Args:
        similarity: (N, 1 + 2K), larger means closer.

    Raises:
        InputError: if the shape is another or a value is not finite.

    Source: PROTOCOLS section 3.6 (xuboshen/EgoNCEpp: EgoVLP/model/metric.py, LaViLa/lavila/utils/evaluation_egomcq.py).
    """
    if similarity.ndim != 2 or len(similarity) == 0 or similarity.shape[1] < 3 or similarity.shape[1] % 2 == 0:
        raise InputError("similarity", f"shape {similarity.shape}, must be (N, 1 + 2K) with at least one item and swap")
    finite = np.isfinite(similarity).all(axis=1)
    if not finite.all():
        raise InputError("similarity", f"item {int(np.argmin(finite))} is not finite everywhere")
    best_verb, best_noun = _best_swaps(similarity)
    return RightWords(verb=similarity[:, 0] >= best_verb, noun=similarity[:, 0] >= best_noun)


def word_swap_scores(similarity: NDArray[np.floating]) -> WordSwapScores:
    """Verb, noun and action accuracy; arguments, ties and errors as for `right_words`."""
    right = right_words(similarity)
    best_verb, best_noun = _best_swaps(similarity)
    is_tied = (similarity[:, 0] == best_verb) | (similarity[:, 0] == best_noun)
    return WordSwapScores(
        verb=float(right.verb.mean()),
        noun=float(right.noun.mean()),
        action=float(right.action.mean()),
        num_tied=int(is_tied.sum()),
    )


def _best_swaps(similarity: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(N,) each: the closest verb swap and the closest noun swap."""
    num_swaps = (similarity.shape[1] - 1) // 2
    return similarity[:, 1 : 1 + num_swaps].max(axis=1), similarity[:, 1 + num_swaps :].max(axis=1)
