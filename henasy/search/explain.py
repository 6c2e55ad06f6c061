"""Why a clip answers a query: which phrase met which entity, and where that entity is.

D width, E entities, T frames, gh x gw patches per frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import VideoError
from henasy.index.reader import Index
from henasy.index.videos import VideoRecord
from henasy.search.hits import Box, Entity, Explanation, PhraseKind, PhraseMatch, Saliency
from henasy.search.regions import regions_of
from henasy.text.phrases import Phrase
from henasy.video.fingerprint import has_content
from henasy.video.plan import frame_times

if TYPE_CHECKING:
    from pathlib import Path

    from henasy.checkpoint.encoder import Encoder
    from henasy.video.clips import ClipBatch
    from henasy.video.geometry import FrameCrop
    from henasy.video.pool import ReadClip


class EmbeddedQuery(NamedTuple):
    """A query and its phrases in the joint space."""

    vector: NDArray[np.float32]
    """(D,)"""
    phrases: tuple[Phrase, ...]
    phrase_vectors: NDArray[np.float32]
    """(number of phrases, D)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipView:
    """One clip of the index with its entities and where they are."""

    record: VideoRecord
    span: tuple[float, float]
    times_s: NDArray[np.float64]
    """(T,)"""
    crop: FrameCrop
    """What the encoder saw of a displayed frame."""
    patch_share: NDArray[np.float32]
    """(E,)"""
    is_valid: NDArray[np.bool_]
    """(E,)"""
    patches: NDArray[np.uint8]
    """(T, gh, gw) the entity of each patch"""
    index: Index
    rows: NDArray[np.int64]
    """(1,) the clip's row in `index`"""

    def members(self, slot: int) -> NDArray[np.bool_]:
        """(T, gh, gw) the patches of an entity."""
        return np.asarray(self.patches == slot)

    def clip_score(self, vector: NDArray[np.float32]) -> float:
        """Similarity of the clip to a text (D,)."""
        return float(_cosines(self.index.clip_vectors(self.rows), vector)[0])

    def entity_scores(self, vector: NDArray[np.float32]) -> NDArray[np.float64]:
        """(E,) similarities of the entities to a text (D,); -inf for entities without patches."""
        scores = _cosines(self.index.entity_vectors(self.rows)[0], vector)
        return np.where(self.is_valid, scores, -np.inf)

    def entity(self, slot: int, score: float) -> Entity:
        """An entity with where it is in each frame; `score` is its similarity to the whole query."""
        regions = regions_of(self.members(slot), self.times_s, self.crop)
        return Entity(slot=slot, score=score, patch_share=float(self.patch_share[slot]), regions=regions)


def read_views(index: Index, encoder: Encoder, rows: NDArray[np.int64]) -> list[ClipView]:
    """The views of some clips of an index that has entities; `rows` (n,) are clip rows."""
    columns = index.clips(rows)
    share, is_valid = index.entity_shares(rows)
    patches = index.assignment(rows).reshape(len(rows), index.settings.num_frames, *index.settings.grid)
    spans = np.stack([columns.start_s, columns.end_s], axis=1)
    times_s = frame_times(spans, index.settings.num_frames)
    records = [index.videos[int(row)] for row in columns.video_row]
    return [
        ClipView(
            record=record,
            span=(float(spans[at, 0]), float(spans[at, 1])),
            times_s=times_s[at],
            crop=encoder.spec.crop_to_frame(record.height_px, record.width_px),
            patch_share=share[at],
            is_valid=is_valid[at],
            patches=patches[at],
            index=index,
            rows=rows[at : at + 1],
        )
        for at, record in enumerate(records)
    ]


def explain_clip(view: ClipView, query: EmbeddedQuery, slot: int | None) -> Explanation:
    """Which phrase met which entity of a clip.

    Args:
        slot: an entity to describe even if no phrase met it. With none, and no phrase in the query, the entity
            that meets the whole query is described.
    """
    phrases = _matches(view, query)
    scores = view.entity_scores(query.vector)
    slots = {match.slot for match in phrases}
    if slot is not None:
        slots.add(slot)
    if not slots and view.is_valid.any():
        slots.add(int(np.argmax(scores)))
    best_first = sorted(slots, key=lambda slot: (-scores[slot], slot))
    entities = [view.entity(slot, float(scores[slot])) for slot in best_first]
    return Explanation(clip_score=view.clip_score(query.vector), phrases=phrases, entities=tuple(entities))


def _matches(view: ClipView, query: EmbeddedQuery) -> tuple[PhraseMatch, ...]:
    if not view.is_valid.any():
        return ()
    matches = []
    for phrase, vector in zip(query.phrases, query.phrase_vectors, strict=True):
        scores = view.entity_scores(vector)
        slot = int(np.argmax(scores))
        match = PhraseMatch(
            phrase=phrase.text,
            kind=PhraseKind(phrase.kind),
            start_char=phrase.start,
            end_char=phrase.end,
            slot=slot,
            score=float(scores[slot]),
        )
        matches.append(match)
    return tuple(matches)


def stored_saliency(view: ClipView, slots: list[int]) -> tuple[Saliency, ...]:
    """The hard assignment as saliency, 0 and 255."""
    return tuple(_saliency(view, slot, view.members(slot).astype(np.float32)) for slot in slots)


def read_frames(view: ClipView, read_clip: ReadClip, limit_s: float) -> ClipBatch:
    """The clip from a file that still has the video's content, read within `limit_s`.

    Raises:
        VideoError: no such file is there, or the clip cannot be read from it in time.
    """
    return read_clip(find_file(view.record), view.span, len(view.times_s), limit_s)


def soft_saliency(view: ClipView, encoder: Encoder, batch: ClipBatch, slots: list[int]) -> tuple[Saliency, ...]:
    """Saliency computed again from the clip's frames."""
    maps = encoder.saliency(batch.frames, batch.frame_rows)[0]
    return tuple(_saliency(view, slot, maps[:, slot]) for slot in slots)


def find_file(record: VideoRecord) -> Path:
    """A file that still has the content of a video.

    Raises:
        VideoError: none is there, or those that are have other content; all are named.
    """
    reasons = []
    for file in record.files:
        try:
            if has_content(file, record.fingerprint):
                return file
            reasons.append(f"{file}: has changed since it was indexed")
        except (VideoError, OSError) as error:
            reasons.append(str(error))
    raise VideoError("; ".join(reasons))


def _saliency(view: ClipView, slot: int, values: NDArray[np.float32]) -> Saliency:
    crop = view.crop
    box = Box(crop.left_px, crop.top_px, crop.left_px + crop.width_px, crop.top_px + crop.height_px)
    levels = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return Saliency(slot=slot, crop=box, times_s=tuple(view.times_s.tolist()), values=levels)


def _cosines(vectors: NDArray[np.float32], text: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines (n,) in float64, as the index ranks."""
    exact, query = vectors.astype(np.float64), text.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(query)
    return np.asarray(np.einsum("nd,d->n", exact, query) / np.maximum(norms, 1e-12))
