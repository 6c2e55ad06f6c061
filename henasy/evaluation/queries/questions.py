"""EgoMCQ's and EgoHOIBench's questions as pairs of a text and a clip.

N spans, M narrations, Q questions of C pairs.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.egohoi import EgoHoi
from henasy.evaluation.annotations.egomcq import EgoMcq
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.metrics.multiple_choice import INTER, INTRA
from henasy.evaluation.queries.phrasing import QuestionKind, QuestionSet
from henasy.evaluation.queries.scores import ClipVectors, QueryTexts, pair_scores

_Key = TypeVar("_Key", bound=Hashable)


class QuestionPairs(NamedTuple):
    """Questions of one kind: which texts are compared with which clips."""

    kind: QuestionKind
    answers: NDArray[np.int64]
    """(Q,) the right pair."""
    query_rows: NDArray[np.int64]
    """(Q, C) rows among the narrations."""
    clip_rows: NDArray[np.int64]
    """(Q, C) rows among the spans."""
    videos: NDArray[np.str_]
    """(Q,) the video of the right pair."""


class Questions(NamedTuple):
    """Everything that is asked of some videos."""

    spans: list[Span]
    """N, each once."""
    narrations: list[str]
    """M, each once."""
    pairs: list[QuestionPairs]


def question_pairs(mcq: EgoMcq, swaps: EgoHoi | None) -> Questions:
    """The questions between videos, within one, and the word swaps if there are any; kinds without any are left out."""
    spans: dict[Span, int] = {}
    texts: dict[str, int] = {}
    pairs = _choice_pairs(mcq, spans, texts)
    if swaps is not None:
        pairs.append(_swap_pairs(swaps, spans, texts))
    return Questions(list(spans), list(texts), pairs)


def question_sets(
    pairs: Sequence[QuestionPairs],
    queries: QueryTexts,
    vectors: NDArray[np.float32],
    clips: ClipVectors,
    is_encoded: NDArray[np.bool_],
) -> list[QuestionSet]:
    """The questions with the cosines of their pairs, without those that lack a clip and kinds that lack all.

    Args:
        pairs: the questions.
        queries: M narrations, as they are typed.
        vectors: embeddings of the queries' texts.
        clips: N clips.
        is_encoded: (N,) which of them there are.
    """
    sets = []
    for kind in pairs:
        kept = is_encoded[kind.clip_rows].all(axis=1)
        if kept.any():
            scores = pair_scores(queries, vectors, clips, kind.query_rows[kept], kind.clip_rows[kept])
            sets.append(QuestionSet(kind.kind, kind.answers[kept], scores, kind.videos[kept]))
    return sets


def _choice_pairs(mcq: EgoMcq, spans: dict[Span, int], texts: dict[str, int]) -> list[QuestionPairs]:
    kinds: tuple[tuple[QuestionKind, int], ...] = (("inter", INTER), ("intra", INTRA))
    pairs = []
    for name, number in kinds:
        questions = [question for question in mcq.questions if question.type == number]
        if not questions:
            continue
        clip_rows = np.array([[_row(span, spans) for span in question.choices] for question in questions], np.int64)
        query_rows = np.array([[_row(question.text, texts)] for question in questions], np.int64)
        answers = np.array([question.answer for question in questions], np.int64)
        videos = np.array([question.choices[question.answer].video_id for question in questions])
        pairs.append(QuestionPairs(name, answers, np.broadcast_to(query_rows, clip_rows.shape), clip_rows, videos))
    return pairs


def _swap_pairs(swaps: EgoHoi, spans: dict[Span, int], texts: dict[str, int]) -> QuestionPairs:
    query_rows = np.array([[_row(text, texts) for text in item.captions] for item in swaps.items], np.int64)
    clip_rows = np.array([[_row(item.span, spans)] for item in swaps.items], np.int64)
    videos = np.array([item.span.video_id for item in swaps.items])
    answers = np.zeros(len(swaps.items), np.int64)
    return QuestionPairs("swaps", answers, query_rows, np.broadcast_to(clip_rows, query_rows.shape), videos)


def _row(key: _Key, rows: dict[_Key, int]) -> int:
    return rows.setdefault(key, len(rows))
