"""What finders of moments are worth on a set of queries: in each query's own video, and among all videos.

Q queries, N clips of a video, D width of the joint space.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.metrics.spans import end_errors, met_spans, recalls, top_overlaps
from henasy.evaluation.moments.baselines import MAX_MOMENTS, DenseClips, Finder, Level, RankedSpans, candidate_levels
from henasy.evaluation.moments.queries import MomentQuery
from henasy.search.moments import clip_evidence

Floats = NDArray[np.float64]

Score = Callable[[int, str], Floats]
"""From the row of a query and the uid of a video to the scores (N,) of its clips."""

RANKS = (1, 5)
THRESHOLDS = (0.3, 0.5, 0.7)
LENGTH_EDGES_S = (0.0, 2.0, 4.0, 12.0, np.inf)
"""Actions shorter than a clip, about as long as one, and longer ones."""
_ROUNDING = 1e-9
"""A mean may come out this much above its largest value."""


class MomentSet(NamedTuple):
    """Queries and the videos that they are asked of."""

    clips: dict[str, DenseClips]
    """By video"""
    queries: list[MomentQuery]
    texts: NDArray[np.float32]
    """(Q, D) L2-normalised"""

    def scores(self, query: int, video_uid: str) -> Floats:
        """(N,) cosines of a query with the clips of a video."""
        similarity: Floats = (self.clips[video_uid].vectors @ self.texts[query]).astype(np.float64)
        return similarity

    def evidence(self, query: int, video_uid: str) -> Floats:
        """(N,) what a search finds moments from: those cosines, and those of the entities where there are any."""
        clips, scores = self.clips[video_uid], self.scores(query, video_uid).astype(np.float32)
        if clips.entities is None or clips.is_valid is None:
            return clip_evidence(scores)
        return clip_evidence(scores, np.where(clips.is_valid, clips.entities @ self.texts[query], -np.inf))

    def video_numbers(self) -> NDArray[np.int64]:
        """(Q,) a number for each query's own video."""
        number_of = {uid: number for number, uid in enumerate(self.clips)}
        return np.array([number_of[query.video_uid] for query in self.queries], np.int64)


class Measures(NamedTuple):
    """How well one finder answered each query."""

    top_iou: Floats
    """(Q,) overlap of the first moment with the true span that it meets best; 0 where it meets none"""
    best_iou: Floats
    """(Q,) the largest overlap of any of the found moments, at most ten, with any true span"""
    is_recalled: dict[tuple[int, float], Floats]
    """By (k, threshold), (Q,) 1 where one of the first k moments overlaps a true span by more than the threshold"""
    end_errors_s: Floats
    """(Q, 2) how far the ends of the first moment are from those of the true span it meets; NaN where it meets none"""

    def median_end_error_s(self, above: float = 0.0) -> float:
        """Median over both ends of the first moments that meet a true span by more than `above`; NaN without any."""
        met = self.end_errors_s[self.top_iou > above]
        return float(np.median(met)) if len(met) else float("nan")

    def only(self, is_kept: NDArray[np.bool_]) -> "Measures":
        """The same for some of the queries."""
        recalled = {key: values[is_kept] for key, values in self.is_recalled.items()}
        return Measures(self.top_iou[is_kept], self.best_iou[is_kept], recalled, self.end_errors_s[is_kept])


def found_in_own_video(moments: MomentSet, find: Finder, score: Score) -> list[RankedSpans]:
    """What a finder answers to each query in its own video, from clips scored by `score`."""
    return [
        find(moments.clips[query.video_uid], score(row, query.video_uid)) for row, query in enumerate(moments.queries)
    ]


def measure_own(queries: Sequence[MomentQuery], found: Sequence[RankedSpans]) -> Measures:
    """The measures of answers from each query's own video; any of several true spans counts."""
    return _measures(
        [_Ranked([query.video_uid] * len(one.spans), one.spans) for query, one in zip(queries, found, strict=True)],
        queries,
    )


def measure_all_videos(moments: MomentSet, find: Finder, score: Score) -> Measures:
    """The measures when every video is searched and moments are ranked by score over all of them.

    Of equal scores the video that stands first is ranked first.

    Args:
        moments: queries and videos.
        find: gives no moment a score above that of the video's best clip, so that some videos need no look.
        score: of clips.
    """
    ranked = []
    for row in range(len(moments.queries)):
        found = _found_anywhere(moments, find, {uid: score(row, uid) for uid in moments.clips})
        spans = np.concatenate([one.spans for one in found.values()])
        uids = [uid for uid, one in found.items() for _ in one.spans]
        best = np.argsort(-np.concatenate([one.scores for one in found.values()]), kind="stable")[:MAX_MOMENTS]
        ranked.append(_Ranked([uids[at] for at in best.tolist()], spans[best]))
    return _measures(ranked, moments.queries)


def _found_anywhere(moments: MomentSet, find: Finder, scores: dict[str, Floats]) -> dict[str, RankedSpans]:
    """What is found in the videos that may hold one of the best moments, in the order of the videos."""
    found: dict[str, RankedSpans] = {}
    best = np.zeros(0)
    for uid in sorted(scores, key=lambda uid: -float(scores[uid].max())):
        if len(best) == MAX_MOMENTS and best[-1] > scores[uid].max() + _ROUNDING:
            break
        found[uid] = find(moments.clips[uid], scores[uid])
        best = -np.sort(-np.concatenate([best, found[uid].scores]))[:MAX_MOMENTS]
    return {uid: found[uid] for uid in scores if uid in found}


def tuned_level(train: MomentSet, find: Callable[[DenseClips, Floats, Level], RankedSpans]) -> tuple[Level, float]:
    """The level with the highest mean overlap of the top moment on a training set, and that overlap.

    Of equal levels the first is taken.
    """
    scores = [train.scores(row, query.video_uid) for row, query in enumerate(train.queries)]
    best: tuple[Level, float] | None = None
    for level in candidate_levels(scores):
        tops = [
            RankedSpans(*(column[:1] for column in find(train.clips[query.video_uid], one, level)))
            for query, one in zip(train.queries, scores, strict=True)
        ]
        mean = float(measure_own(train.queries, tops).top_iou.mean())
        if best is None or mean > best[1]:
            best = level, mean
    assert best is not None
    return best


def true_labels(clips: DenseClips, answers: Floats) -> Floats:
    """(N,) share of each clip's time that true spans cover."""
    covered = np.zeros(len(clips.starts_s))
    for start_s, end_s in _disjoint(answers).tolist():
        shared = np.minimum(clips.ends_s, end_s) - np.maximum(clips.starts_s, start_s)
        covered += np.maximum(shared, 0.0)
    labels: Floats = covered / (clips.ends_s - clips.starts_s)
    return labels


def length_buckets(queries: Sequence[MomentQuery]) -> dict[str, NDArray[np.bool_]]:
    """(Q,) masks of the queries by the length of the narrated action, shortest first, by name; empty ones left out."""
    lengths = np.array([query.own_s[1] - query.own_s[0] for query in queries])
    buckets = {}
    for low, high in itertools.pairwise(LENGTH_EDGES_S):
        is_inside = (lengths > low) & (lengths <= high)
        name = f"over {low:g} s" if np.isinf(high) else f"up to {high:g} s" if low == 0 else f"{low:g} to {high:g} s"
        if is_inside.any():
            buckets[name] = is_inside
    return buckets


class _Ranked(NamedTuple):
    video_uids: list[str]
    spans: Floats


def _measures(ranked: Sequence[_Ranked], queries: Sequence[MomentQuery]) -> Measures:
    overlaps, errors = [], np.full((len(queries), 2), np.nan)
    for row, (one, query) in enumerate(zip(ranked, queries, strict=True)):
        overlap = np.zeros(len(one.spans))
        for at, uid in enumerate(one.video_uids):
            answers = query.answers.get(uid)
            if answers is None:
                continue
            met = met_spans(one.spans[at : at + 1], answers)
            overlap[at] = met.overlap[0]
            if at == 0 and met.truth[0] >= 0:
                errors[row] = end_errors(one.spans[:1], answers[met.truth[:1]])[0]
        overlaps.append(overlap)
    recalled = {(k, threshold): recalls(overlaps, k, threshold) for k in RANKS for threshold in THRESHOLDS}
    best = np.array([overlap.max(initial=0.0) for overlap in overlaps], np.float64)
    return Measures(top_overlaps(overlaps), best, recalled, errors)


def _disjoint(spans: Floats) -> Floats:
    """The same time as spans that do not overlap."""
    joined: list[list[float]] = []
    for start_s, end_s in sorted(spans.tolist()):
        if joined and start_s <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end_s)
        else:
            joined.append([start_s, end_s])
    return np.array(joined, np.float64).reshape(-1, 2)
