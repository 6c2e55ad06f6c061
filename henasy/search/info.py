"""What an index is, in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from henasy.video.plan import ClipPlan

if TYPE_CHECKING:
    from henasy.index.reader import Index


@dataclass(frozen=True, kw_only=True)
class IndexInfo:
    """What one generation of an index holds."""

    generation: int
    kind: str
    """`henasy` (clips, videos, entities) or `dual` (clips, videos)."""
    model: str
    """What the model was called when the index was built."""
    space_id: str
    plan: ClipPlan
    num_videos: int
    num_offline: int
    """Videos that the last build did not find; still searchable."""
    num_clips: int
    num_entities: int
    """Entities that can be found."""
    hours: float
    """Footage."""
    num_refused: int
    """Files that could not be read, wholly or in part."""
    width: int
    """Components of an embedding."""
    metadata_columns: tuple[str, ...]
    """Columns that filters may name."""


def describe(index: Index) -> IndexInfo:
    """What an opened index holds."""
    columns = {column for video in index.videos for column in video.metadata}
    return IndexInfo(
        generation=index.generation,
        kind=index.kind,
        model=index.settings.model,
        space_id=index.space_id,
        plan=index.plan,
        num_videos=len(index.videos),
        num_offline=sum(not video.is_online for video in index.videos),
        num_clips=index.num_clips,
        num_entities=index.num_valid_entities,
        hours=sum(video.duration_s for video in index.videos) / 3600,
        num_refused=len({refused.file for refused in index.refused}),
        width=index.settings.width,
        metadata_columns=tuple(sorted(columns)),
    )
