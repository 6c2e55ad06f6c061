"""Which parts a new generation keeps, and how its new ones are put together from old parts and staged units."""

import dataclasses
import secrets
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import NotFoundError
from henasy.index import layout
from henasy.index.generation import Generation
from henasy.index.manifest import PartEntry
from henasy.index.part import Part
from henasy.index.part_writer import write_part
from henasy.index.rows import ClipRows
from henasy.index.settings import IndexSettings
from henasy.index.staging import StagedNote, Staging
from henasy.index.videos import VideoTable

_COPY_CLIPS = 4_096


class Source(NamedTuple):
    """Where the rows of one video come from."""

    video_id: str
    num_clips: int
    part: Part | None
    """The part that holds them; None when staged units do."""
    rows: NDArray[np.int64]
    """Rows of `part`, or numbers of the staged units."""


class PartPlan(NamedTuple):
    """The parts of a generation to be."""

    kept: list[PartEntry]
    dropped: dict[str, NDArray[np.bool_]]
    """Part id -> (N,) rows of a kept part that the generation does not hold."""
    sources: list[Source]
    """What new parts are written from, by video_id."""


class _OldPart(NamedTuple):
    entry: PartEntry
    part: Part
    dropped: NDArray[np.bool_]
    sources: list[Source]


def plan_parts(
    root: Path,
    generation: Generation | None,
    videos: VideoTable,
    staged: Mapping[tuple[str, int], StagedNote],
    fold_clips: int,
    replaced: Set[str] = frozenset(),
) -> PartPlan:
    """Decides about every part; writes nothing.

    Args:
        videos: what the new generation is to hold.
        staged: (video_id, unit) -> what was staged.
        fold_clips: parts with fewer clips left are written again when there is something to join them to.
        replaced: videos whose rows come from staging although the old generation holds them.

    Raises:
        NotFoundError: a video is neither in the old generation nor staged.
        IndexFormatError: a part that is to be copied is damaged.
    """
    wanted = {record.video_id for record in videos} - replaced
    old = [] if generation is None else [_look(root, generation, entry, wanted) for entry in generation.manifest.parts]
    held = {source.video_id for part in old for source in part.sources}
    units: dict[str, list[int]] = {}
    for owner, unit in sorted(staged):
        units.setdefault(owner, []).append(unit)
    fresh = [
        _staged_source(record.video_id, units.get(record.video_id, []), staged)
        for record in videos
        if record.video_id not in held
    ]
    folded = [part for part in old if _num_left(part) < fold_clips or 2 * _num_left(part) < part.entry.num_clips]
    if not fresh and len(folded) < 2 and not any(part.dropped.any() for part in folded):
        folded = []
    for one in folded:
        # What is copied gets fresh checksums, which must not launder damage.
        one.part.check()
    folded_ids = {part.entry.part_id for part in folded}
    stays = [part for part in old if part.entry.part_id not in folded_ids]
    sources = [*fresh, *(source for part in folded for source in part.sources)]
    return PartPlan(
        [dataclasses.replace(part.entry, num_dropped=int(part.dropped.sum())) for part in stays],
        {part.entry.part_id: part.dropped for part in stays if part.dropped.any()},
        sorted((source for source in sources if source.num_clips), key=lambda source: source.video_id),
    )


def write_parts(
    root: Path, generation: int, sources: Sequence[Source], staging: Staging, settings: IndexSettings
) -> list[PartEntry]:
    """Writes the sources' rows as parts of at most about `layout.MAX_PART_CLIPS` clips."""
    entries = []
    for group in _groups(sources):
        part_id = f"{generation:06d}-{secrets.token_hex(4)}"
        num_clips = sum(source.num_clips for source in group)
        entries.append(write_part(root, part_id, settings, num_clips, _pieces(group, staging)))
    return entries


def _look(root: Path, generation: Generation, entry: PartEntry, wanted: Set[str]) -> _OldPart:
    part = Part(root, entry, generation.manifest.settings, is_checked=False)
    dropped = generation.dropped.get(entry.part_id, np.zeros(entry.num_clips, np.bool_))
    is_wanted = np.array([video_id in wanted for video_id in part.video_ids], np.bool_)
    dropped = dropped | ~is_wanted[part.video_code]
    rows = np.flatnonzero(~dropped)
    codes = part.video_code[rows]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    sources = [
        Source(part.video_ids[codes[start]], len(own), part, own)
        for start, own in zip(starts, np.split(rows, starts[1:]), strict=len(starts) > 0)
    ]
    return _OldPart(entry, part, dropped, sources)


def _num_left(part: _OldPart) -> int:
    return part.entry.num_clips - int(part.dropped.sum())


def _staged_source(video_id: str, units: Sequence[int], staged: Mapping[tuple[str, int], StagedNote]) -> Source:
    if not units:
        raise NotFoundError(f"video_id: {video_id!r} has neither rows in the index nor staged units")
    num_clips = sum(staged[video_id, unit].num_clips for unit in units)
    return Source(video_id, num_clips, None, np.array(units, np.int64))


def _groups(sources: Sequence[Source]) -> Iterator[list[Source]]:
    group: list[Source] = []
    num_clips = 0
    for source in sources:
        if group and num_clips + source.num_clips > layout.MAX_PART_CLIPS:
            yield group
            group, num_clips = [], 0
        group.append(source)
        num_clips += source.num_clips
    if group:
        yield group


def _pieces(sources: Sequence[Source], staging: Staging) -> Iterator[tuple[str, ClipRows]]:
    for source in sources:
        if source.part is None:
            for unit in source.rows:
                yield source.video_id, staging.read(source.video_id, int(unit)).rows
        else:
            for start in range(0, source.num_clips, _COPY_CLIPS):
                yield source.video_id, source.part.rows(source.rows[start : start + _COPY_CLIPS])
