"""Scores of texts and clips by several ways to put a query: wordings, phrases that meet entities, the global encoder.

M texts, N clips, E entities, P phrases, Q questions of C pairs of a text and a clip, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.text.phrases import find_phrases
from henasy.text.wording import Wording, mean_direction, texts_of

PhraseKind = Literal["noun", "verb", "all"]
PHRASE_KINDS: tuple[PhraseKind, ...] = ("noun", "verb", "all")
_PAIRS_AT_ONCE = 4096


class ClipVectors(NamedTuple):
    """What a model says about clips, L2-normalised."""

    clip: NDArray[np.float32]
    """(N, D)"""
    global_clip: NDArray[np.float32]
    """(N, D) of the global encoder alone."""
    entities: NDArray[np.float32]
    """(N, E, D)"""
    is_valid: NDArray[np.bool_]
    """(N, E)"""


class QueryTexts(NamedTuple):
    """Queries and every text that stands for one of them or is a phrase of one."""

    texts: list[str]
    """Each once."""
    wordings: dict[Wording, NDArray[np.int64]]
    """(M, W) rows in `texts` of the W texts that stand for a query."""
    phrases: dict[PhraseKind, NDArray[np.int64]]
    """(M, A) rows in `texts` of a query's phrases of a kind, -1 where it has fewer than A."""


class PairScores(NamedTuple):
    """Cosines of every text with every clip that it is compared with."""

    clip: dict[Wording, NDArray[np.float64]]
    """(Q, C) with the clip."""
    global_clip: dict[Wording, NDArray[np.float64]]
    """(Q, C) with the clip as the global encoder alone has it."""
    agreement: NDArray[np.float64]
    """(Q, C) of the clip with itself as the global encoder has it."""
    phrases: dict[PhraseKind, NDArray[np.float64]]
    """(Q, C) mean over the phrases of the best entity's; NaN where the text has no phrase of that kind."""

    def only(self, rows: NDArray[np.bool_]) -> "PairScores":
        """Those of some of the questions (Q,)."""
        return PairScores(
            {name: values[rows] for name, values in self.clip.items()},
            {name: values[rows] for name, values in self.global_clip.items()},
            self.agreement[rows],
            {name: values[rows] for name, values in self.phrases.items()},
        )


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the score of a query and a clip is made of cosines.

    It is (1 - p) clip + p phrases. The clip's embedding is (1 - g) the model's + g global, normalised, beyond what
    the model itself gives to the global one (`HenasyConfig.global_share`); p counts as 0 for a query without phrases.
    """

    wording: Wording = Wording.BARE
    phrase_kind: PhraseKind = "all"
    phrase_weight: float = 0.0
    global_weight: float = 0.0


def query_texts(queries: Sequence[str]) -> QueryTexts:
    """The texts that have to be encoded to put the queries in every way."""
    row_of: dict[str, int] = {}

    def row(text: str) -> int:
        return row_of.setdefault(text, len(row_of))

    num_texts = {wording: max(len(texts_of(query, wording)) for query in queries) for wording in Wording}
    wordings = {
        wording: np.array(
            [[row(text) for text in _filled(texts_of(query, wording), num_texts[wording])] for query in queries],
            np.int64,
        )
        for wording in Wording
    }
    found = [find_phrases(query) for query in queries]
    phrases = {
        kind: _padded([[row(phrase.text) for phrase in of_query if kind in ("all", phrase.kind)] for of_query in found])
        for kind in PHRASE_KINDS
    }
    return QueryTexts(list(row_of), wordings, phrases)


def pair_scores(
    queries: QueryTexts,
    vectors: NDArray[np.float32],
    clips: ClipVectors,
    query_rows: NDArray[np.int64],
    clip_rows: NDArray[np.int64],
) -> PairScores:
    """The cosines of every pair.

    Args:
        queries: M queries.
        vectors: (len(queries.texts), D) embeddings of its texts.
        clips: N clips.
        query_rows: (Q, C) which text.
        clip_rows: (Q, C) which clip it is compared with.
    """
    shape = query_rows.shape
    worded = {wording: mean_direction(vectors[rows]) for wording, rows in queries.wordings.items()}
    found = PairScores(
        {wording: np.empty(shape) for wording in Wording},
        {wording: np.empty(shape) for wording in Wording},
        np.empty(shape),
        {kind: np.empty(shape) for kind in PHRASE_KINDS},
    )
    step = max(1, _PAIRS_AT_ONCE // shape[1])
    for part in (slice(first, first + step) for first in range(0, shape[0], step)):
        texts, of_clips = query_rows[part], clip_rows[part]
        for wording in Wording:
            text_vectors = worded[wording][texts]
            found.clip[wording][part] = _cosines(text_vectors, clips.clip[of_clips])
            found.global_clip[wording][part] = _cosines(text_vectors, clips.global_clip[of_clips])
        found.agreement[part] = _cosines(clips.clip[of_clips], clips.global_clip[of_clips])
        entities, is_valid = clips.entities[of_clips], clips.is_valid[of_clips]
        for kind, rows in queries.phrases.items():
            best = best_entity_scores(vectors[rows[texts]], entities, is_valid)
            found.phrases[kind][part] = _mean_known(best, (rows[texts] >= 0) & np.isfinite(best))
    return found


def best_entity_scores(
    phrases: NDArray[np.float32], entities: NDArray[np.float32], is_valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(..., P) each phrase's cosine with the entity of a clip that it meets best; -inf where a clip has none.

    Args:
        phrases: (..., P, D) L2-normalised.
        entities: (..., E, D) L2-normalised, with the leading axes of `phrases` or such that broadcast with them.
        is_valid: (..., E) entities without patches meet nothing.
    """
    cosines = entities.astype(np.float64) @ np.swapaxes(phrases, -1, -2).astype(np.float64)
    met = np.where(is_valid[..., None], cosines, -np.inf)
    best: NDArray[np.float64] = met.max(axis=-2, initial=-np.inf)
    return best


def mixed(scores: PairScores, way: Way) -> NDArray[np.float64]:
    """(Q, C) the scores that a way gives."""
    whole = _with_global(scores, way)
    if way.phrase_weight == 0:
        return whole
    phrases = scores.phrases[way.phrase_kind]
    return np.where(np.isnan(phrases), whole, (1 - way.phrase_weight) * whole + way.phrase_weight * phrases)


def _with_global(scores: PairScores, way: Way) -> NDArray[np.float64]:
    """(Q, C) cosines with the normalised mean of the clip's two embeddings."""
    first, second = 1 - way.global_weight, way.global_weight
    if second == 0:
        return scores.clip[way.wording]
    squared = first**2 + second**2 + 2 * first * second * scores.agreement
    mean = first * scores.clip[way.wording] + second * scores.global_clip[way.wording]
    cosines: NDArray[np.float64] = mean / np.sqrt(np.maximum(squared, 1e-12))
    return cosines


def _cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = np.einsum("qcd,qcd->qc", first, second, dtype=np.float64)
    return cosines


def _mean_known(values: NDArray[np.float64], is_known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Means over the last axis of the known values; NaN where there is none."""
    count = is_known.sum(axis=-1)
    total = np.where(is_known, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _filled(texts: tuple[str, ...], count: int) -> tuple[str, ...]:
    """A text that stands alone, repeated: the mean stays the same."""
    return texts if len(texts) == count else texts * count


def _padded(rows: list[list[int]]) -> NDArray[np.int64]:
    most = max(map(len, rows), default=0)
    return np.array([row + [-1] * (most - len(row)) for row in rows], np.int64).reshape(len(rows), most)
