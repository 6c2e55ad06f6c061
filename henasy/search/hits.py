"""What a search answers with.

Times are seconds on the video's own clock, spans half-open. Pixels are those of the displayed frame at the video's
own size, origin at the top left. Scores are cosine similarities in the joint space, in [-1, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.index.videos import MetadataValue
from henasy.search.moments import best_clip


class Span(NamedTuple):
    """A piece [start_s, end_s) of one video."""

    start_s: float
    end_s: float


class Box(NamedTuple):
    """A rectangle in pixels; right and bottom are exclusive."""

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float


class Mask(NamedTuple):
    """A binary mask at the size of the displayed frame."""

    height_px: int
    width_px: int
    counts: str
    """COCO's compressed run-length encoding, the `counts` of pycocotools.mask."""


@dataclass(frozen=True, kw_only=True)
class VideoRef:
    """What a hit says of its video."""

    video_id: str
    path: str
    """Relative to the folder that was indexed, as last seen."""
    file: str
    """Absolute, on the machine that built the index, as last seen."""
    duration_s: float
    width_px: int
    height_px: int
    is_online: bool
    """False when the last build did not find the file."""
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where an entity is in one frame of its clip."""

    time_s: float
    box: Box | None
    """Tight around `mask`; None when the entity has no patch in this frame."""
    mask: Mask | None
    """None when the entity has no patch in this frame."""


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One scene entity of one clip."""

    slot: int
    score: float
    """Similarity to the whole query."""
    patch_share: float
    """Part of the clip's patches that belong to it."""
    regions: tuple[Region, ...]
    """One per frame that the encoder saw, in order of time."""


class PhraseKind(StrEnum):
    """What a phrase of a query names."""

    NOUN = "noun"
    VERB = "verb"


@dataclass(frozen=True, kw_only=True)
class PhraseMatch:
    """The entity that one phrase of the query met."""

    phrase: str
    """The words as the query has them; embedded on their own."""
    kind: PhraseKind
    start_char: int
    end_char: int
    """The phrase is `query[start_char:end_char]`."""
    slot: int
    score: float
    """Similarity of the phrase to that entity."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a clip answers a query."""

    clip_score: float
    """Similarity of the whole query to the clip."""
    phrases: tuple[PhraseMatch, ...]
    """In the order of the query."""
    entities: tuple[Entity, ...]
    """The entities that the phrases met and the one that was asked for, best first."""


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """One clip under a moment."""

    span: Span
    score: float
    """Similarity of the whole query to the clip."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One search result."""

    rank: int
    """1 for the best."""
    score: float
    video: VideoRef
    span: Span
    """The clip; for videos the best clip; for moments the moment itself."""
    entity: Entity | None = None
    """Only when entities were searched."""
    explanation: Explanation | None = None
    """Only when it was asked for; of a moment's best clip."""
    clips: tuple[ClipScore, ...] = ()
    """The clips that a moment overlaps, in order of time; empty for other targets."""

    @property
    def best_clip(self) -> Span:
        """The clip that an explanation is about: of a moment the best with its middle inside, else the hit's own."""
        if not self.clips:
            return self.span
        starts_s, ends_s = np.array([clip.span for clip in self.clips], np.float64).T
        scores = np.array([clip.score for clip in self.clips], np.float32)
        return self.clips[best_clip(starts_s, ends_s, scores, self.span)].span


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Where the time of a search went, in milliseconds."""

    encode_ms: float
    """Embedding the texts."""
    nearest_ms: float
    """Finding nearest neighbours."""
    total_ms: float


@dataclass(frozen=True, kw_only=True)
class QueryResult:
    """The answer to one text."""

    query: str
    hits: tuple[Hit, ...]
    """Best first; grouped hits stand together."""


@dataclass(frozen=True, kw_only=True)
class SearchAnswer:
    """The answer to one request."""

    results: tuple[QueryResult, ...]
    """One per query, in the order of the request."""
    generation: int
    timing: Timing


@dataclass(frozen=True, kw_only=True, eq=False)
class Saliency:
    """How much each patch belongs to one entity, frame by frame."""

    slot: int
    crop: Box
    """The part of the displayed frame that the grid covers."""
    times_s: tuple[float, ...]
    """(T,)"""
    values: NDArray[np.uint8]
    """(T, rows, columns); 255 stands for 1."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One clip held against one query."""

    video: VideoRef
    span: Span
    explanation: Explanation
    saliency: tuple[Saliency, ...]
    """Of the explanation's entities, in the same order."""
    is_soft: bool
    """True: computed again from the video. False: the stored hard assignment, values 0 and 255."""
    unavailable_reason: str
    """Why `is_soft` is false; empty otherwise."""
    generation: int
