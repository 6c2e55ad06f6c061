"""What an index holds, for people and programs."""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

from henasy.index import Index, RefusedRecord
from henasy.index.layout import STAGING, UNIT_SUFFIX


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
    """Counts of one index."""

    index: str
    generation: int
    created: str
    kind: str
    model: str
    space_id: str
    plan: str
    decoder: str
    num_videos: int
    num_online: int
    num_clips: int
    num_entities: int
    """Entities that can be found."""
    hours: float
    size_bytes: int
    """Of everything in the folder."""
    num_staged_units: int
    """Finished units of a build that did not come to its end."""
    refused: tuple[RefusedRecord, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)


def read_status(index: Path) -> Status:
    """Counts of an index; checks sizes and the small files, not every vector.

    Raises:
        NotFoundError, IndexFormatError: see `Index.open`.
    """
    opened = Index.open(index, is_checked=False)
    plan = opened.plan
    return Status(
        index=str(index),
        generation=opened.generation,
        created=opened.created,
        kind=opened.kind,
        model=opened.settings.model,
        space_id=opened.space_id,
        plan=f"{plan.clip_s:g} s every {plan.stride_s:g} s, {plan.num_frames} frames ({plan.plan_id})",
        decoder=opened.settings.decoder,
        num_videos=len(opened.videos),
        num_online=sum(record.is_online for record in opened.videos),
        num_clips=opened.num_clips,
        num_entities=opened.num_valid_entities,
        hours=sum(record.duration_s for record in opened.videos) / 3600,
        size_bytes=_size_bytes(index),
        num_staged_units=len(list((index / STAGING).glob(f"*{UNIT_SUFFIX}"))),
        refused=opened.refused,
    )


def lines_of(status: Status) -> list[str]:
    """The status as a table of two columns, then one line for each refusal."""
    size_gb = status.size_bytes / 1e9
    size = f"{size_gb:.2f} GB" if size_gb >= 1 else f"{status.size_bytes / 1e6:.1f} MB"
    offline = status.num_videos - status.num_online
    values = {
        "index": f"{status.index}, generation {status.generation} of {status.created}",
        "model": f"{status.model}, kind {status.kind}, space {status.space_id}",
        "plan": f"{status.plan}, decoded by {status.decoder}",
        "videos": f"{status.num_videos:,} ({status.hours:.2f} hours), {offline} offline",
        "clips": f"{status.num_clips:,}",
        "entities": f"{status.num_entities:,}",
        "size": size,
        "staged": f"{status.num_staged_units} units of an unfinished build",
        "refused": summary_of(status.refused),
    }
    return [f"{name:9} {value}" for name, value in values.items()] + refused_lines(status.refused)


def summary_of(refused: tuple[RefusedRecord, ...]) -> str:
    """How many files could not be read, wholly or in part."""
    whole = {one.file for one in refused if one.clip_rows is None}
    files = whole | {one.file for one in refused}
    if not files:
        return "0 refusals"
    noun = "file" if len(files) == 1 else "files"
    return f"{len(files)} {noun}: {len(whole)} refused whole, {len(files - whole)} in part"


def refused_lines(refused: tuple[RefusedRecord, ...]) -> list[str]:
    """One line for each file, or run of clips, that could not be read."""
    return [f"  {one.file!r}{_where(one)}: {one.reason}" for one in refused]


def _size_bytes(folder: Path) -> int:
    """Of all files below a folder; those that a build moves or deletes meanwhile are left out."""
    size_bytes = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size_bytes += os.stat(os.path.join(place, name)).st_size
    return size_bytes


def _where(one: RefusedRecord) -> str:
    return "" if one.clip_rows is None else f", clips {one.clip_rows[0]} to {one.clip_rows[1] - 1}"
