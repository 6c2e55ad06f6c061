"""Search of one index with one encoder: the use cases that the service, the command line and benchmarks share.

Q queries, D width, n rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError, NotFoundError, SpaceMismatchError, UnsupportedError, VideoError
from henasy.heads.moment_ends import EndsHead
from henasy.index.reader import ClipColumns, Index
from henasy.index.select import Selection
from henasy.index.videos import VideoRecord
from henasy.search.explain import (
    ClipView,
    EmbeddedQuery,
    explain_clip,
    read_frames,
    read_views,
    soft_saliency,
    stored_saliency,
)
from henasy.search.hits import (
    ClipScore,
    Evidence,
    Explanation,
    Hit,
    QueryResult,
    Saliency,
    SearchAnswer,
    Span,
    Timing,
    VideoRef,
)
from henasy.search.moment_search import FoundMoment, MomentSearch, MomentsWanted
from henasy.search.pick import PickRule, Ranked, grouped_order, pick
from henasy.search.request import (
    SearchRequest,
    Target,
    check_query,
    check_time,
    query_field,
    whole_number,
)
from henasy.text.phrases import find_phrases
from henasy.text.wording import Wording, mean_direction, texts_of
from henasy.video.pool import ReadClip, read_clip

if TYPE_CHECKING:
    from henasy.checkpoint.encoder import Encoder

Proceed = Callable[[], None]
"""Called between the steps of a search; raises to end it."""

MAX_READ_S = 10.0
"""What an explanation waits for the frames of its clip."""
MAX_START_ERROR_S = 1e-3
"""A clip is found by its start although a client rounded it."""


class _Scope(NamedTuple):
    """What one request may find."""

    selection: Selection
    num_videos: int


class Engine:
    """Answers from one generation of an index. Safe to use from several threads."""

    def __init__(
        self, index: Index, encoder: Encoder, read_clip: ReadClip = read_clip, *, ends: EndsHead | None = None
    ) -> None:
        """Joins an index and the encoder of its space.

        Args:
            index: what is searched.
            encoder: reads the texts.
            read_clip: reads the frames that an explanation needs; by default in a new child process each time.
            ends: the encoder's head for the ends of moments, see `read_ends_head`; None leaves them to the scores.

        Raises:
            SpaceMismatchError: the index was made by another model or with another preprocessing.
        """
        if encoder.space_id != index.space_id:
            raise SpaceMismatchError(
                f"{index.root}: was made by model {index.settings.model} in space {index.space_id}; "
                f"the given model makes space {encoder.space_id}; if both have one name, "
                "the weights have changed since: build again into another --index, or pass --model with the old weights"
            )
        self.index = index
        self.encoder = encoder
        self._read_clip, self._ends = read_clip, ends

    def search(self, request: SearchRequest, proceed: Proceed = lambda: None) -> SearchAnswer:
        """The best hits of each query. Ranking is exact cosine over the stored vectors, ties in the order of rows.

        A video scores as its best clip does, a moment as its best three by `clip_evidence`. Of entities in overlapping
        clips of one video only the best is a hit, unless the request keeps them; moments never overlap.

        Args:
            request: texts, target and conditions.
            proceed: called between the steps; what it raises ends the search.

        Raises:
            UnsupportedError: entities or explanations of an index without entities.
            NotFoundError: a filter names an unknown video.
            InputError: a filter names an unknown metadata column, a text has more tokens than the model reads.
        """
        started = time.perf_counter()
        self._require_answerable(request)
        self._require_readable(request.queries, request.wording_used)
        scope = self._scope(request)
        proceed()
        began = time.perf_counter()
        embedded = self._embed(request)
        encode_s = time.perf_counter() - began
        results, nearest_s = [], 0.0
        for text, query in zip(request.queries, embedded, strict=True):
            proceed()
            asked = time.perf_counter()
            if request.target is Target.MOMENTS:
                moments = self._moments(query.vector, request, scope, proceed)
                nearest_s += time.perf_counter() - asked
                hits = self._moment_hits(moments, query, request)
            else:
                ranked = self._rank(query.vector, request, scope, proceed)
                nearest_s += time.perf_counter() - asked
                hits = self._hits(ranked, query, request)
            results.append(QueryResult(query=text, hits=hits))
        timing = Timing(
            encode_ms=1e3 * encode_s,
            nearest_ms=1e3 * nearest_s,
            total_ms=1e3 * (time.perf_counter() - started),
        )
        return SearchAnswer(results=tuple(results), generation=self.index.generation, timing=timing)

    def explain(
        self,
        query: str,
        video_id: str,
        start_s: float,
        slot: int | None = None,
        *,
        wording: Wording | None = None,
        proceed: Proceed = lambda: None,
        max_read_s: float = MAX_READ_S,
    ) -> Evidence:
        """Which phrase of the query met which entity of one clip, and where.

        Args:
            query: the text.
            video_id: the clip's video.
            start_s: start of the clip, to a millisecond.
            slot: an entity to describe even if no phrase met it.
            wording: as in a request for clips.
            proceed: called between the steps; what it raises ends the explanation.
            max_read_s: time for reading the video, after which the saliency is the stored one.

        Raises:
            InputError: the query is blank or longer than the model reads, the start is no time, no such slot.
            NotFoundError: no such video, no clip that starts there, no patch belongs to the slot's entity.
            UnsupportedError: the index holds no entities.
        """
        check_query("query", query)
        check_time("start_s", start_s)
        self._require_entities("Explain")
        request = SearchRequest(queries=(query,), top_k=1, is_explained=True, wording=wording)
        self._require_readable(request.queries, request.wording_used)
        view = read_views(self.index, self.encoder, np.array([self._find_clip(video_id, start_s)]))[0]
        self._require_slot(view, slot)
        proceed()
        embedded = self._embed(request)[0]
        explanation = explain_clip(view, embedded, slot)
        proceed()
        saliency, reason = self._saliency(view, explanation, proceed, max_read_s)
        return Evidence(
            video=video_ref(view.record),
            span=Span(*view.span),
            explanation=explanation,
            saliency=saliency,
            is_soft=not reason,
            unavailable_reason=reason,
            generation=self.index.generation,
        )

    def _require_answerable(self, request: SearchRequest) -> None:
        if request.target is Target.ENTITIES:
            self._require_entities("target entities")
        if request.is_explained:
            self._require_entities("is_explained")

    def _require_readable(self, queries: tuple[str, ...], wording: Wording) -> None:
        # A text that is cut loses the end token, at which its embedding is read.
        most = self.encoder.max_text_tokens
        longest = [max(texts_of(query, wording), key=len) for query in queries]
        for row, count in enumerate(self.encoder.num_text_tokens(longest)):
            if count > most:
                field = query_field(row, len(queries))
                raise InputError(field, f"has {count} tokens with start and end, at most {most} are read by this model")

    def _require_entities(self, what: str) -> None:
        if self.index.kind != "henasy":
            raise UnsupportedError(
                f"{what}: this index is of kind {self.index.kind!r} and holds clips only; "
                "entities need an index that a henasy model made"
            )

    def _require_slot(self, view: ClipView, slot: int | None) -> None:
        if slot is None:
            return
        if not 0 <= whole_number("slot", slot) < self.index.num_entities:
            raise InputError("slot", f"{slot} is not in 0..{self.index.num_entities - 1}")
        if not view.is_valid[slot]:
            raise NotFoundError(f"slot: no patch of this clip belongs to entity {slot}")

    def _find_clip(self, video_id: str, start_s: float) -> int:
        rows = self.index.rows_of_video(video_id)
        starts = self.index.clips(np.arange(rows.start, rows.stop)).start_s
        if not len(starts):
            raise NotFoundError(f"video_id: no clip of {video_id!r} could be read")
        at = int(np.argmin(np.abs(starts - start_s)))
        if abs(starts[at] - start_s) > MAX_START_ERROR_S:
            raise NotFoundError(
                f"start_s: no clip of {video_id!r} starts at {start_s:g} s; the nearest starts at {starts[at]:g} s"
            )
        return rows[at]

    def _scope(self, request: SearchRequest) -> _Scope:
        selection = self.index.select(request.filters)
        if selection.rows is None:
            return _Scope(selection, len(self.index.videos))
        return _Scope(selection, len(np.unique(self.index.video_rows(selection.rows))))

    def _embed(self, request: SearchRequest) -> list[EmbeddedQuery]:
        """The queries, and their phrases when explanations are wanted, encoded together."""
        worded = [texts_of(text, request.wording_used) for text in request.queries]
        phrases = [find_phrases(text) if request.is_explained else [] for text in request.queries]
        texts = [text for of_query in worded for text in of_query]
        texts += [phrase.text for found in phrases for phrase in found]
        vectors = self.encoder.encode_texts(texts)
        embedded, row, start = [], 0, sum(map(len, worded))
        for of_query, found in zip(worded, phrases, strict=True):
            vector = mean_direction(vectors[row : row + len(of_query)])
            embedded.append(EmbeddedQuery(vector, tuple(found), vectors[start : start + len(found)]))
            row += len(of_query)
            start += len(found)
        return embedded

    def _rank(self, vector: NDArray[np.float32], request: SearchRequest, scope: _Scope, proceed: Proceed) -> Ranked:
        """The rows that become hits, clip rows or entity rows, in the order in which they are shown."""
        is_entities = request.target is Target.ENTITIES
        find = self.index.search_entities if is_entities else self.index.search_clips

        def nearest(k: int) -> Ranked:
            # Few videos or many overlaps can ask for ever longer lists, up to the whole index.
            proceed()
            found = find(vector[None], k, scope.selection)
            is_row = found.rows[0] >= 0
            return Ranked(found.scores[0][is_row], found.rows[0][is_row])

        def places(rows: NDArray[np.int64]) -> ClipColumns:
            return self.index.clips(self._clip_rows(rows, request))

        ranked = pick(nearest, places, _pick_rule(request), scope.num_videos)
        if request.max_hits_per_video is None:
            return ranked
        order = grouped_order(places(ranked.rows).video_row)
        return Ranked(ranked.scores[order], ranked.rows[order])

    def _clip_rows(self, rows: NDArray[np.int64], request: SearchRequest) -> NDArray[np.int64]:
        return rows // self.index.num_entities if request.target is Target.ENTITIES else rows

    def _hits(self, ranked: Ranked, query: EmbeddedQuery, request: SearchRequest) -> tuple[Hit, ...]:
        clip_rows = self._clip_rows(ranked.rows, request)
        clips = self.index.clips(clip_rows)
        is_viewed = request.target is Target.ENTITIES or request.is_explained
        views = read_views(self.index, self.encoder, clip_rows) if is_viewed else []
        hits = []
        for at, (row, score) in enumerate(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True)):
            slot = row % self.index.num_entities if request.target is Target.ENTITIES else None
            hit = Hit(
                rank=at + 1,
                score=score,
                video=video_ref(self.index.videos[int(clips.video_row[at])]),
                span=Span(float(clips.start_s[at]), float(clips.end_s[at])),
                entity=None if slot is None else views[at].entity(slot, score),
                explanation=explain_clip(views[at], query, slot) if request.is_explained else None,
            )
            hits.append(hit)
        return tuple(hits)

    def _moments(
        self, vector: NDArray[np.float32], request: SearchRequest, scope: _Scope, proceed: Proceed
    ) -> list[FoundMoment]:
        """The moments that become hits, in the order in which they are shown."""
        wanted = MomentsWanted(
            top_k=request.top_k,
            min_score=request.min_score,
            max_per_video=request.max_hits_per_video,
            start_s=request.filters.start_s,
            end_s=request.filters.end_s,
        )
        found = MomentSearch(self.index, vector, scope.selection, proceed, self._ends).best(wanted)
        if request.max_hits_per_video is None:
            return found
        order = grouped_order(np.array([moment.video_row for moment in found], np.int64))
        return [found[row] for row in order.tolist()]

    def _moment_hits(self, moments: list[FoundMoment], query: EmbeddedQuery, request: SearchRequest) -> tuple[Hit, ...]:
        best_rows = np.array([moment.best_row for moment in moments], np.int64)
        views = read_views(self.index, self.encoder, best_rows) if request.is_explained else []
        return tuple(
            Hit(
                rank=at + 1,
                score=moment.score,
                video=video_ref(self.index.videos[moment.video_row]),
                span=Span(moment.start_s, moment.end_s),
                explanation=explain_clip(views[at], query, None) if request.is_explained else None,
                clips=self._clips_of(moment),
            )
            for at, moment in enumerate(moments)
        )

    def _clips_of(self, moment: FoundMoment) -> tuple[ClipScore, ...]:
        clips = self.index.clips(moment.clip_rows)
        columns = zip(clips.start_s.tolist(), clips.end_s.tolist(), moment.clip_scores.tolist(), strict=True)
        return tuple(ClipScore(span=Span(start_s, end_s), score=score) for start_s, end_s, score in columns)

    def _saliency(
        self, view: ClipView, explanation: Explanation, proceed: Proceed, max_read_s: float
    ) -> tuple[tuple[Saliency, ...], str]:
        """Saliency of the explanation's entities, and why it is not the soft one (empty when it is)."""
        slots = [entity.slot for entity in explanation.entities]
        try:
            batch = read_frames(view, self._read_clip, max_read_s)
        except VideoError as error:
            return stored_saliency(view, slots), str(error)
        proceed()
        return soft_saliency(view, self.encoder, batch, slots), ""


def _pick_rule(request: SearchRequest) -> PickRule:
    is_entities = request.target is Target.ENTITIES
    return PickRule(
        top_k=request.top_k,
        min_score=request.min_score,
        max_per_video=1 if request.target is Target.VIDEOS else request.max_hits_per_video,
        is_distinct=is_entities and not request.has_overlapping,
    )


def video_ref(record: VideoRecord) -> VideoRef:
    """What hits say of a video of the index."""
    return VideoRef(
        video_id=record.video_id,
        path=record.path,
        file=str(record.file),
        duration_s=record.duration_s,
        width_px=record.width_px,
        height_px=record.height_px,
        is_online=record.is_online,
        metadata=record.metadata,
    )
