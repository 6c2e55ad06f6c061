"""Moments of an index: where in which videos, from the stored vectors alone.

A small selection is scanned whole. Otherwise the best clips lead to their neighbourhoods, and only those are read:
a few more than there are moments wanted, each as wide as its moment needs. Of the moments that are answered, the ends
are refined last.

n clips of a stretch, E entities, D width.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.heads.moment_ends import REACH, EndsHead
from henasy.index.nearest import cosines
from henasy.index.reader import Index
from henasy.index.select import Selection
from henasy.search.moment_ends import WINDOW_STRIDES, near_moments, put_back, refine_ends
from henasy.search.moments import (
    MomentRule,
    Moments,
    are_landmarks,
    best_clip,
    clip_evidence,
    find_moment_at,
    find_moments,
)

SCAN_MAX_CLIPS = 16_384
"""Selections up to this size, four and a half hours at a clip a second, are scanned whole."""
_FIRST_REACH = 64
"""Clips read on each side of a candidate at first; doubled while its moment comes near the edge."""
_EDGE = 8
"""A moment that ends fewer clips than this from the edge of what was read may go on beyond it."""
_SPARE_HITS = 6
"""So many more stretches are read than hits are wanted: the best clip's moment need not be the best moment."""
_CANDIDATES_PER_STRETCH = (4, 16, 64)
"""Best clips asked for: more when the first lead to the same moments."""
_MAX_ROUNDS = 8
"""How often candidates are asked for, each time without those that are known, while hits are missing."""
_ENTITY_BLOCK = 1_024
_ROUNDING = 1e-9
"""A mean may come out this much above its largest value, and an equal score may rank first by its row."""


@dataclass(frozen=True, kw_only=True)
class MomentsWanted:
    """Which moments become hits."""

    top_k: int
    min_score: float | None = None
    max_per_video: int | None = None
    start_s: float | None = None
    """A moment ends after this time of its video."""
    end_s: float | None = None
    """A moment starts before this time of its video."""

    def holds(self, start_s: float, end_s: float) -> bool:
        """Whether a clip lies in the time that was asked for."""
        return (self.start_s is None or start_s >= self.start_s) and (self.end_s is None or end_s <= self.end_s)

    def is_met(self, start_s: float, end_s: float) -> bool:
        """Whether a moment shares time with what was asked for, though a clip that does may have led to it."""
        return (self.start_s is None or end_s > self.start_s) and (self.end_s is None or start_s < self.end_s)


class FoundMoment(NamedTuple):
    """A moment and the clips under it."""

    start_s: float
    end_s: float
    score: float
    video_row: int
    """Row in `Index.videos`."""
    clip_rows: NDArray[np.int64]
    """(n,) in the order of time"""
    clip_scores: NDArray[np.float32]
    """(n,) cosines"""
    best_row: int
    """Row of the clip that stands for the moment."""
    peak_s: float
    """Middle of the clip that led to it"""


class _Stretch(NamedTuple):
    """Neighbouring clips of one video, held against a query."""

    rows: NDArray[np.int64]
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    scores: NDArray[np.float32]
    evidence: NDArray[np.float64]
    vectors: NDArray[np.float32]


class _Video(NamedTuple):
    """The clips of one video that moments may be made of."""

    rows: NDArray[np.int64]
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    marks: NDArray[np.int64]
    """Rows by which backgrounds are judged."""


class MomentSearch:
    """One query over one index."""

    def __init__(
        self,
        index: Index,
        query: NDArray[np.float32],
        selection: Selection,
        proceed: Callable[[], None] = lambda: None,
        ends: EndsHead | None = None,
    ) -> None:
        """Prepares a search.

        Args:
            index: what is searched.
            query: (D,), L2-normalised.
            selection: the clips that moments may be made of.
            proceed: called between the steps; what it raises ends the search.
            ends: refines the ends of the moments that are answered; without it they end where their scores say.
        """
        self._index, self._query, self._selection, self._proceed = index, query, selection, proceed
        self._ends = ends if index.num_entities else None
        self._videos: dict[int, _Video] = {}

    def best(self, wanted: MomentsWanted) -> list[FoundMoment]:
        """The best moments, best first; those of one video never overlap."""
        rows = self._selection.rows
        num_clips = self._index.num_clips if rows is None else len(rows)
        found = self._scanned(wanted) if num_clips <= SCAN_MAX_CLIPS else self._led_to(wanted)
        return self._refined(_picked(found, wanted), wanted)

    def _scanned(self, wanted: MomentsWanted) -> list[FoundMoment]:
        """Every video of the selection that may hold one of the best moments, looked at whole, most promising first."""
        found: list[FoundMoment] = []
        stretches = sorted(self._stretches(), key=lambda one: -float(one.evidence.max()))
        for stretch in stretches:
            self._proceed()
            # A mean is never above its largest value, so no moment of this or a later video is better than this.
            most = float(stretch.evidence.max()) + _ROUNDING
            scores = sorted((moment.score for moment in found), reverse=True)
            if len(scores) >= wanted.top_k and scores[wanted.top_k - 1] > most:
                break
            if wanted.min_score is not None and most < wanted.min_score:
                break
            found += self._moments_of(stretch, wanted)
        return found

    def _stretches(self) -> list[_Stretch]:
        """The clips of the selection, by video."""
        rows = self._selection.rows
        rows = np.arange(self._index.num_clips) if rows is None else rows
        if not len(rows):
            return []
        firsts = np.flatnonzero(np.diff(self._index.video_rows(rows))) + 1
        return [self._read(of_video) for of_video in np.split(rows, firsts)]

    def _moments_of(self, stretch: _Stretch, wanted: MomentsWanted) -> list[FoundMoment]:
        """The moments of a whole video of which hits may become."""
        most = min(wanted.top_k, wanted.max_per_video or wanted.top_k)
        spans = zip(stretch.starts_s.tolist(), stretch.ends_s.tolist(), strict=True)
        num_cut = sum(not wanted.holds(start_s, end_s) for start_s, end_s in spans)
        rule = MomentRule(max_moments=most + num_cut)
        moments = find_moments(stretch.starts_s, stretch.ends_s, stretch.evidence, vectors=stretch.vectors, rule=rule)
        met = [row for row, span in enumerate(moments.spans.tolist()) if wanted.is_met(*span)]
        return [self._moment(stretch, moments, row) for row in met[:most]]

    def _led_to(self, wanted: MomentsWanted) -> list[FoundMoment]:
        """The moments around the best clips; where those fill too few videos, around the best of the other clips."""
        found: dict[int, list[FoundMoment]] = defaultdict(list)
        left = self._selection
        for _ in range(_MAX_ROUNDS):
            tried = self._follow(found, left, wanted)
            most = wanted.max_per_video or wanted.top_k
            if not tried or sum(min(len(known), most) for known in _met(found, wanted)) >= wanted.top_k:
                break
            left = self._left(left, found, tried, wanted)
        return [moment for known in _met(found, wanted) for moment in known]

    def _follow(self, found: dict[int, list[FoundMoment]], left: Selection, wanted: MomentsWanted) -> list[int]:
        """Adds the moments that the best clips of `left` lead to; the clips that were followed."""
        tried: list[int] = []
        most_per_video = _SPARE_HITS + (wanted.max_per_video or wanted.top_k)
        num_stretches = _SPARE_HITS + wanted.top_k
        for row, video_row, start_s, end_s in self._candidates(left, num_stretches):
            known = found[video_row]
            if len(known) >= most_per_video or any(one.start_s < end_s and start_s < one.end_s for one in known):
                continue
            moment = self._around(row, video_row)
            if not any(one.start_s < moment.end_s and moment.start_s < one.end_s for one in known):
                known.append(moment)
            tried.append(row)
            if len(tried) == num_stretches:
                break
        return tried

    def _left(
        self, selection: Selection, found: dict[int, list[FoundMoment]], tried: list[int], wanted: MomentsWanted
    ) -> Selection:
        """The clips that may lead to further hits: of videos that are not full, not under moments that are known."""
        is_left = np.full(self._index.num_clips, selection.rows is None)
        if selection.rows is not None:
            is_left[selection.rows] = True
        is_left[tried] = False
        for video_row, known in found.items():
            if sum(wanted.is_met(one.start_s, one.end_s) for one in known) >= (wanted.max_per_video or wanted.top_k):
                span = self._index.rows_of_video(self._index.videos[video_row].video_id)
                is_left[span.start : span.stop] = False
            for moment in known:
                is_left[moment.clip_rows] = False
        return Selection(np.flatnonzero(is_left))

    def _candidates(self, left: Selection, num_stretches: int) -> Iterator[tuple[int, int, float, float]]:
        """Clips, best first: row, row of its video, start and end."""
        num_seen = 0
        for factor in _CANDIDATES_PER_STRETCH:
            self._proceed()
            ranked = self._index.search_clips(self._query[None], factor * num_stretches, left).rows[0]
            rows = ranked[ranked >= 0][num_seen:]
            clips = self._index.clips(rows)
            yield from zip(
                rows.tolist(), clips.video_row.tolist(), clips.start_s.tolist(), clips.end_s.tolist(), strict=True
            )
            num_seen += len(rows)
            if num_seen < factor * num_stretches:
                return

    def _around(self, row: int, video_row: int) -> FoundMoment:
        """The moment that a clip leads to."""
        video = self._video(video_row)
        at, reach = int(np.searchsorted(video.rows, row)), _FIRST_REACH
        while True:
            first, stop = max(0, at - reach), min(len(video.rows), at + reach + 1)
            stretch = self._read(np.union1d(video.rows[first:stop], video.marks))
            clip = int(np.searchsorted(stretch.rows, row))
            moments = find_moment_at(stretch.starts_s, stretch.ends_s, stretch.evidence, clip, vectors=stretch.vectors)
            start_s, end_s = moments.spans[0].tolist()
            is_cut_before = first > 0 and start_s < video.starts_s[min(first + _EDGE, at)]
            is_cut_after = stop < len(video.rows) and end_s > video.ends_s[max(stop - 1 - _EDGE, at)]
            if not (is_cut_before or is_cut_after):
                return self._moment(stretch, moments, 0)
            reach *= 2

    def _video(self, video_row: int) -> _Video:
        """The clips of a video that moments may be made of."""
        if video_row not in self._videos:
            span = self._index.rows_of_video(self._index.videos[video_row].video_id)
            rows = np.arange(span.start, span.stop)
            if self._selection.rows is not None:
                first, stop = np.searchsorted(self._selection.rows, (span.start, span.stop))
                rows = self._selection.rows[first:stop]
            clips = self._index.clips(rows)
            marks = rows[are_landmarks((clips.start_s + clips.end_s) / 2)]
            self._videos[video_row] = _Video(rows, clips.start_s, clips.end_s, marks)
        return self._videos[video_row]

    def _read(self, rows: NDArray[np.int64]) -> _Stretch:
        """Clips of one video with their scores."""
        self._proceed()
        clips, vectors = self._index.clips(rows), self._index.clip_vectors(rows)
        scores = cosines(vectors, self._query)
        return _Stretch(rows, clips.start_s, clips.end_s, scores, self._evidence(rows, scores), vectors)

    def _evidence(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) what moments are found from: clip scores, and scores of entities where there are any."""
        if not self._index.num_entities:
            return clip_evidence(scores)
        blocks = []
        for start in range(0, len(rows), _ENTITY_BLOCK):
            self._proceed()
            some = rows[start : start + _ENTITY_BLOCK]
            is_valid = self._index.entity_shares(some)[1]
            blocks.append(np.where(is_valid, self._index.entity_vectors(some) @ self._query, -np.inf))
        return clip_evidence(scores, np.concatenate(blocks))

    def _refined(self, picked: list[FoundMoment], wanted: MomentsWanted) -> list[FoundMoment]:
        """The same moments with nearer ends; which they are, their scores and their order stay.

        A moment that would leave the time asked for keeps its ends.
        """
        if self._ends is None:
            return picked
        refined = list(picked)
        for video_row in dict.fromkeys(moment.video_row for moment in picked):
            places = [place for place, moment in enumerate(picked) if moment.video_row == video_row]
            moments = [picked[place] for place in places]
            spans = np.array([(moment.start_s, moment.end_s) for moment in moments], np.float64)
            nearer = self._nearer(moments, self._video(video_row), self._ends)
            is_out = np.array([not wanted.is_met(*span) for span in nearer.tolist()])
            for place, span in zip(places, put_back(nearer, spans, is_out).tolist(), strict=True):
                refined[place] = self._with_ends(picked[place], *span)
        return refined

    def _nearer(self, moments: list[FoundMoment], video: _Video, ends: EndsHead) -> NDArray[np.float64]:
        """(M, 2) spans of moments of one video with their ends refined, from the clips in and around them alone."""
        self._proceed()
        spans = np.array([(moment.start_s, moment.end_s) for moment in moments], np.float64)
        peaks_s = np.array([moment.peak_s for moment in moments], np.float64)
        reach_s = (WINDOW_STRIDES + REACH + 1) * ends.config.stride_s
        is_near = near_moments((video.starts_s + video.ends_s) / 2, spans, reach_s)
        assignment = self._index.assignment(video.rows[is_near])
        return refine_ends(spans, peaks_s, ends.scores(video.starts_s[is_near], video.ends_s[is_near], assignment))

    def _with_ends(self, moment: FoundMoment, start_s: float, end_s: float) -> FoundMoment:
        video = self._video(moment.video_row)
        is_under = (video.ends_s > start_s) & (video.starts_s < end_s)
        return self._found(self._read(video.rows[is_under]), (start_s, end_s), moment.score, moment.peak_s)

    def _moment(self, stretch: _Stretch, moments: Moments, row: int) -> FoundMoment:
        """One of the moments of a stretch."""
        start_s, end_s = moments.spans[row].tolist()
        peak = int(moments.peaks[row])
        peak_s = float(stretch.starts_s[peak] + stretch.ends_s[peak]) / 2
        return self._found(stretch, (start_s, end_s), float(moments.scores[row]), peak_s)

    def _found(self, stretch: _Stretch, span: tuple[float, float], score: float, peak_s: float) -> FoundMoment:
        start_s, end_s = span
        is_under = (stretch.ends_s > start_s) & (stretch.starts_s < end_s)
        rows, scores = stretch.rows[is_under], stretch.scores[is_under]
        best = best_clip(stretch.starts_s[is_under], stretch.ends_s[is_under], scores, span)
        return FoundMoment(start_s, end_s, score, self._video_row(int(rows[0])), rows, scores, int(rows[best]), peak_s)

    def _video_row(self, row: int) -> int:
        return int(self._index.video_rows(np.array([row]))[0])


def _met(found: dict[int, list[FoundMoment]], wanted: MomentsWanted) -> list[list[FoundMoment]]:
    """Of each video the moments that meet the time asked for."""
    return [[moment for moment in known if wanted.is_met(moment.start_s, moment.end_s)] for known in found.values()]


def _picked(found: list[FoundMoment], wanted: MomentsWanted) -> list[FoundMoment]:
    """What becomes hits, best first, ties in the order of clips."""
    picked: list[FoundMoment] = []
    counts: dict[int, int] = defaultdict(int)
    for moment in sorted(found, key=lambda one: (-one.score, int(one.clip_rows[0]))):
        if len(picked) == wanted.top_k or (wanted.min_score is not None and moment.score < wanted.min_score):
            break
        if wanted.max_per_video is None or counts[moment.video_row] < wanted.max_per_video:
            counts[moment.video_row] += 1
            picked.append(moment)
    return picked
