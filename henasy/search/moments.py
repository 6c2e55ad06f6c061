"""Moments of one video: spans with sub-stride ends, from how well each of its clips fits a text. numpy alone.

A clip's score is, about, the background's level plus a gain times the share of the clip that the moment covers. So a
moment ends where the scores cross a level between its background and its own height, and that crossing, between the
centres of two clips, is finer than the stride. Scores by a text are noisy within a long action, while its clips look
alike; with `vectors`, likeness to the moment found so far counts beside the text, and the moment is found again.

N clips, D width, M moments, n clips of a stretch.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import ConfigError, InputError

ENTITY_WEIGHT = 0.5
"""Of the best entity, beside the clip's 1. Fixed by hand: docs/benchmarks.md compares no other weights of moments."""
_MAX_ROUNDS = 4
_STEADY = (0.15, 0.7, 0.15)
"""Weights of a clip and its neighbours while a moment grows: one odd clip does not end a long action."""
_SPARE_SEEDS = 6
_FIRST_REACH = 128
_NUM_LANDMARKS = 32
_NUM_SCORED = 3
"""Clips that a moment's score is the mean of. 2 to 5 rank about as well, all of them worse; docs/moments_study.md."""
_SAME_S = 1e-6
"""Times that differ by less are the same."""
_SHORTEST_SHARE = 0.25
"""No moment is shorter than this share of a clip: nothing measured could tell."""


class Moments(NamedTuple):
    """Spans found in one video, best first."""

    spans: NDArray[np.float64]
    """(M, 2) start and end in seconds."""
    scores: NDArray[np.float64]
    """(M,) the mean of the best three clips of the moment, or of as many as it has."""
    peaks: NDArray[np.int64]
    """(M,) the best clip of each, counted as the scores are."""


@dataclass(frozen=True, kw_only=True)
class MomentRule:
    """How moments are cut out of scores."""

    max_moments: int = 10
    """At most so many are found."""
    max_iou: float = 0.0
    """A span that overlaps a better one by more (intersection over union) is left out; 0 gives disjoint spans."""
    level: float = 0.7
    """Where a moment ends between its background (0) and its own height (1). Above a half: a clip that a moment half
    covers has an embedding of unit length too, and is nearer to the moment than half way."""
    likeness: float = 0.5
    """Weight of how much a clip resembles the moment; the rest is the text's. Counts only where vectors are given."""
    context_s: float = 90.0
    """How far around a moment its background is looked at."""

    def __post_init__(self) -> None:
        if self.max_moments < 1:
            raise ConfigError(f"max_moments is {self.max_moments}, must be at least 1")
        for name, low, high in (("max_iou", 0.0, 1.0), ("level", 0.05, 0.95), ("likeness", 0.0, 1.0)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be from {low:g} to {high:g}")
        if not (np.isfinite(self.context_s) and self.context_s > 0):
            raise ConfigError(f"context_s is {self.context_s}, must be a number of seconds above 0")


class _Clips(NamedTuple):
    """What moments are made of."""

    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    centres_s: NDArray[np.float64]
    scores: NDArray[np.float64]
    vectors: NDArray[np.float32] | None
    is_landmark: NDArray[np.bool_]
    """Some clips evenly over the whole time: around a very long moment nothing else is its background."""

    def take(self, rows: NDArray[np.int64]) -> "_Clips":
        """Some of the clips."""
        return _Clips(*(None if column is None else column[rows] for column in self))  # type: ignore[arg-type]


class _Run(NamedTuple):
    """Neighbouring clips that belong to a moment, and how high every clip of their stretch stands (0 = its end)."""

    first: int
    last: int
    heights: NDArray[np.float64]


def clip_evidence(
    clip_scores: NDArray[np.float32], entity_scores: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """(N,) the scores that moments are found from.

    Args:
        clip_scores: (N,) cosine of the text and each clip.
        entity_scores: (N, E) cosine of the text and each entity, -inf for entities without patches; None or E = 0
            leaves the clips alone.

    Raises:
        InputError: arrays of different lengths, an entity score that is neither finite nor -inf.
    """
    clips = np.asarray(clip_scores, np.float64)
    if entity_scores is None:
        return clips
    entities = np.asarray(entity_scores, np.float64)
    if entities.ndim != 2 or len(entities) != len(clips):
        raise InputError("entity_scores", f"have shape {entities.shape}, needed is ({len(clips)}, E)")
    is_wrong = (np.isnan(entities) | np.isposinf(entities)).any(axis=1)
    if is_wrong.any():
        raise InputError("entity_scores", f"clip {int(np.argmax(is_wrong))} has one that is neither finite nor -inf")
    if not entities.shape[1]:
        return clips
    best = entities.max(axis=1)
    # A clip without any entity says what its own vector says.
    best = np.where(np.isneginf(best), clips, best)
    weighted: NDArray[np.float64] = (clips + ENTITY_WEIGHT * best) / (1 + ENTITY_WEIGHT)
    return weighted


def find_moments(
    starts_s: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    scores: NDArray[np.float64],
    *,
    vectors: NDArray[np.float32] | None = None,
    rule: MomentRule = MomentRule(),
) -> Moments:
    """The best spans of one video for one text, best first.

    Each begins at the best clip that no moment before it overlaps; twice as many as wanted are found and the best kept.
    A shift of all times shifts the spans; scores that are scaled or shifted together leave them where they are.

    Args:
        starts_s: (N,) starts of the clips, ascending.
        ends_s: (N,) their ends; clips may overlap, leave gaps, and differ in length.
        scores: (N,) how well each fits the text, higher is better; see `clip_evidence`.
        vectors: (N, D) the clips' embeddings, of any length; zeros are like nothing.
        rule: how many, and how they are cut.

    Raises:
        InputError: arrays of different lengths, values that are not finite, clips out of order or without length.
    """
    clips = _checked(starts_s, ends_s, scores, vectors)
    spans: list[tuple[float, float]] = []
    peaks: list[int] = []
    is_open = np.ones(len(clips.scores), np.bool_)
    for peak in np.argsort(-clips.scores, kind="stable").tolist():
        if len(peaks) == 2 * rule.max_moments + _SPARE_SEEDS:
            break
        if not is_open[peak]:
            continue
        span = _span_around(clips, peak, rule)
        if rule.max_iou == 0:
            span = _clear_of(spans, span, float(clips.centres_s[peak]))
        is_open &= ~_is_under(clips, span, rule)
        is_open[peak] = False
        if all(_iou(span, better) <= rule.max_iou for better in spans):
            spans.append(span)
            peaks.append(peak)
    return _ranked(clips, spans, peaks, rule.max_moments)


def find_moment_at(
    starts_s: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    scores: NDArray[np.float64],
    clip: int,
    *,
    vectors: NDArray[np.float32] | None = None,
    rule: MomentRule = MomentRule(),
) -> Moments:
    """The one moment that a clip leads to: the one around the best clip that can be reached from it uphill.

    Args:
        clip: where to begin, counted as the scores are.

    The other arguments are those of `find_moments`.

    Raises:
        InputError: as `find_moments`; there is no such clip.
    """
    clips = _checked(starts_s, ends_s, scores, vectors)
    if not 0 <= clip < len(clips.scores):
        raise InputError("clip", f"{clip} is not one of the video's {len(clips.scores)} clips, counted from 0")
    while True:
        span = _span_around(clips, clip, rule)
        under = np.flatnonzero((clips.ends_s > span[0]) & (clips.starts_s < span[1]))
        best = int(under[np.argmax(clips.scores[under])])
        if clips.scores[best] <= clips.scores[clip]:
            return _ranked(clips, [span], [clip], 1)
        clip = best


def best_clip(
    starts_s: NDArray[np.float64], ends_s: NDArray[np.float64], scores: NDArray[np.float32], span: tuple[float, float]
) -> int:
    """The best of the clips that have their middle in a span; where none has, the one of which most lies in it.

    A clip of which a sliver lies in the span may show what is beside it, and only that.

    Args:
        starts_s: (n,) of at least one clip; `ends_s` and `scores` alike.
    """
    centres_s = (starts_s + ends_s) / 2
    is_inside = (centres_s >= span[0]) & (centres_s < span[1])
    if is_inside.any():
        return int(np.argmax(np.where(is_inside, scores, -np.inf)))
    shared_s = np.minimum(ends_s, span[1]) - np.maximum(starts_s, span[0])
    return int(np.argmax(shared_s / (ends_s - starts_s)))


def _ranked(clips: _Clips, spans: list[tuple[float, float]], peaks: list[int], most: int) -> Moments:
    """The best of the moments that were found; equal ones in the order in which they were."""
    scores = np.array([_score(clips, span) for span in spans], np.float64)
    order = np.argsort(-scores, kind="stable")[:most]
    return Moments(np.array(spans, np.float64).reshape(-1, 2)[order], scores[order], np.array(peaks, np.int64)[order])


def _score(clips: _Clips, span: tuple[float, float]) -> float:
    """The mean of the best clips that a moment has most of, compared with the clip that it has most of."""
    covered_s = np.minimum(clips.ends_s, span[1]) - np.maximum(clips.starts_s, span[0])
    scores = clips.scores[covered_s > covered_s.max() / 2 + _SAME_S]
    # A single clip may be lucky, and of a long action only some clips are clear.
    return float(np.sort(scores)[-_NUM_SCORED:].mean())


def _checked(
    starts_s: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    scores: NDArray[np.float64],
    vectors: NDArray[np.float32] | None,
) -> _Clips:
    columns = {"starts_s": starts_s, "ends_s": ends_s, "scores": scores}
    checked = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    for name, column in checked.items():
        if column.shape != (len(checked["starts_s"]),):
            raise InputError(name, f"has shape {column.shape}, needed is ({len(checked['starts_s'])},)")
        if not np.isfinite(column).all():
            raise InputError(name, f"clip {int(np.argmin(np.isfinite(column)))} is not finite")
    if not (checked["ends_s"] > checked["starts_s"]).all():
        raise InputError("ends_s", f"clip {int(np.argmin(ends_s > starts_s))} does not end after its start")
    centres_s = (checked["starts_s"] + checked["ends_s"]) / 2
    if not (np.diff(centres_s) > 0).all():
        raise InputError("starts_s", "clips must be in the order of time, each once")
    unit = None if vectors is None else _unit(vectors, len(centres_s))
    return _Clips(**checked, centres_s=centres_s, vectors=unit, is_landmark=are_landmarks(centres_s))


def are_landmarks(centres_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) at most 32 clips evenly over the time of a video, by which the background of any moment in it is judged.

    Args:
        centres_s: (N,) middles of its clips, ascending.
    """
    is_landmark = np.zeros(len(centres_s), np.bool_)
    if len(centres_s):
        times_s = np.linspace(centres_s[0], centres_s[-1], _NUM_LANDMARKS)
        is_landmark[np.searchsorted(centres_s, times_s).clip(0, len(centres_s) - 1)] = True
    return is_landmark


def _unit(vectors: NDArray[np.float32], num_clips: int) -> NDArray[np.float32]:
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or len(vectors) != num_clips:
        raise InputError("vectors", f"have shape {vectors.shape}, needed is ({num_clips}, D)")
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    if not np.isfinite(norms).all():
        raise InputError("vectors", f"clip {int(np.argmin(np.isfinite(norms)))} is not finite")
    return np.asarray(vectors / np.where(norms > 0, norms, 1)[:, None], np.float32)


def _span_around(clips: _Clips, peak: int, rule: MomentRule) -> tuple[float, float]:
    """The moment that a clip belongs to, looking as far as it reaches."""
    reach = _FIRST_REACH
    while True:
        first, stop = max(0, peak - reach), min(len(clips.scores), peak + reach + 1)
        is_read = clips.is_landmark.copy()
        is_read[first:stop] = True
        rows = np.flatnonzero(is_read)
        stretch = clips if len(rows) == len(is_read) else clips.take(rows)
        run = _run_around(stretch, int(np.searchsorted(rows, peak)), rule)
        is_cut_before = first > 0 and rows[run.first] <= first
        is_cut_after = stop < len(clips.scores) and rows[run.last] >= stop - 1
        if not (is_cut_before or is_cut_after):
            return _ends(stretch, run)
        reach *= 2


def _run_around(clips: _Clips, peak: int, rule: MomentRule) -> _Run:
    """The clips around a peak that stand above the level, found again with what was found before."""
    run = _Run(peak, peak, clips.scores)
    for _ in range(_MAX_ROUNDS):
        heights = _heights(clips, run, rule) - rule.level
        steady = np.convolve(np.pad(heights, 1, mode="edge"), _STEADY, "valid")
        first = last = peak
        while last + 1 < len(steady) and steady[last + 1] > 0:
            last += 1
        while first > 0 and steady[first - 1] > 0:
            first -= 1
        is_settled = (first, last) == (run.first, run.last)
        run = _Run(first, last, heights)
        if is_settled:
            break
    return run


def _heights(clips: _Clips, run: _Run, rule: MomentRule) -> NDArray[np.float64]:
    """(n,) where clips stand between the background of a run, 0, and its median, 1."""
    is_context = _context(clips, run, rule.context_s)
    by_text = _scaled(clips.scores, run, is_context)
    if clips.vectors is None or rule.likeness == 0:
        return by_text
    alike = clips.vectors @ clips.vectors[run.first : run.last + 1].mean(axis=0)
    return (1 - rule.likeness) * by_text + rule.likeness * _scaled(alike.astype(np.float64), run, is_context)


def _context(clips: _Clips, run: _Run, context_s: float) -> NDArray[np.bool_]:
    """(n,) clips near a run, and landmarks, that share no time with it."""
    start_s, end_s = clips.starts_s[run.first], clips.ends_s[run.last]
    is_near = (clips.centres_s > start_s - context_s) & (clips.centres_s < end_s + context_s)
    is_apart = (clips.ends_s <= start_s) | (clips.starts_s >= end_s)
    return np.asarray((is_near | clips.is_landmark) & is_apart)


def _scaled(values: NDArray[np.float64], run: _Run, is_context: NDArray[np.bool_]) -> NDArray[np.float64]:
    top = float(np.median(values[run.first : run.last + 1]))
    background = _background(values[is_context], top) if is_context.any() else float(values.min())
    # Everything alike, or a peak below its surroundings: nothing tells the clips apart.
    return (values - background) / (top - background) if top > background else np.ones(len(values))


def _background(context: NDArray[np.float64], top: float) -> float:
    """The usual value in the lower half of a context's range: the same action next to a moment is no background."""
    is_low = context < (context.min() + top) / 2
    return float(np.median(context[is_low])) if is_low.any() else float(context.min())


def _ends(clips: _Clips, run: _Run) -> tuple[float, float]:
    """Where the heights cross 0 on both sides of a run."""
    start_s, end_s = float(clips.starts_s[run.first]), float(clips.ends_s[run.last])
    if run.first > 0:
        start_s = _crossing(clips, run.heights, run.first, run.first - 1)
    if run.last < len(run.heights) - 1:
        end_s = _crossing(clips, run.heights, run.last, run.last + 1)
    shortest_s = _SHORTEST_SHARE * float(clips.ends_s[run.first] - clips.starts_s[run.first])
    if end_s - start_s >= shortest_s:
        return start_s, end_s
    middle_s = (start_s + end_s) / 2
    return middle_s - shortest_s / 2, middle_s + shortest_s / 2


def _crossing(clips: _Clips, heights: NDArray[np.float64], inside: int, outside: int) -> float:
    """The time between the centres of two neighbours at which the height is 0."""
    high, low = max(0.0, float(heights[inside])), min(0.0, float(heights[outside]))
    share = high / (high - low) if high > low else 0.0
    return float(clips.centres_s[inside] + share * (clips.centres_s[outside] - clips.centres_s[inside]))


def _clear_of(spans: list[tuple[float, float]], span: tuple[float, float], centre_s: float) -> tuple[float, float]:
    """The part of a span around a time that no better one holds."""
    start_s = max([span[0], *(end_s for _, end_s in spans if end_s <= centre_s)])
    end_s = min([span[1], *(start_s for start_s, _ in spans if start_s >= centre_s)])
    return start_s, end_s


def _is_under(clips: _Clips, span: tuple[float, float], rule: MomentRule) -> NDArray[np.bool_]:
    """(N,) clips at which no further moment begins."""
    lasts_s, firsts_s = (clips.starts_s, clips.ends_s) if rule.max_iou == 0 else (clips.centres_s, clips.centres_s)
    return np.asarray((firsts_s > span[0]) & (lasts_s < span[1]), np.bool_)


def _iou(one: tuple[float, float], other: tuple[float, float]) -> float:
    shared_s = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared_s / (one[1] - one[0] + other[1] - other[0] - shared_s)
