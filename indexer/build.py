"""The use case: make the index hold what the folders hold.

find -> survey -> examine -> plan work -> encode missing units, staging each -> publish one generation
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from henasy.errors import InputError, VideoError
from henasy.index import IndexSettings, IndexWriter, RefusedRecord, StagedUnit, VideoRecord
from henasy.index.layout import CURRENT
from henasy.index.staging import RefusedRows, StagedNote
from henasy.video import Found, find_videos, has_content
from henasy.video.find import VIDEO_SUFFIXES
from indexer.metadata import Joined, MetadataRows, join_metadata
from indexer.progress import Progress
from indexer.survey import Examined, survey
from indexer.units import OnClips, WorkUnit, num_units
from indexer.work_plan import Changes, WorkPlan, plan_work, with_metadata

_MAX_REASONS = 20
"""Files that an error names."""
_TIME = re.compile(r"\d+(\.\d+)? s\b")
"""Seconds, as reasons mention them."""


class Workers(Protocol):
    """Who does the work; processes on Ray, or in a test the caller itself."""

    def examine(self, files: Sequence[str]) -> Iterator[Examined]:
        """What each file is, in any order."""

    def encode(self, units: Sequence[WorkUnit], on_clips: OnClips) -> Iterator[StagedUnit]:
        """Each unit, finished, in any order; `on_clips` hears how far unfinished ones are, from any thread."""


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What the user asked for."""

    videos: tuple[Path, ...]
    """Folders, list files and videos."""
    index: Path
    """Folder of the index."""
    settings: IndexSettings
    """Space and plan that the rows are made in."""
    metadata: MetadataRows | None = None
    """Columns for videos; None keeps those that the index has."""
    is_retrying: bool = False
    """Try again what was refused before and has not changed since."""


class BuildOutcome(NamedTuple):
    """What a build came to."""

    generation: int
    num_videos: int
    num_clips: int
    """Clips encoded or taken from staging by this build."""
    changes: Changes
    refused: tuple[RefusedRecord, ...]
    unmatched_metadata: tuple[str, ...]
    """Rows of the metadata file that fit no video."""


def build(request: BuildRequest, workers: Workers, progress: Progress) -> BuildOutcome:
    """Makes the index hold what the folders hold and publishes it as one generation.

    Killed at any moment, the same call goes on where it was: staged units are not made again.

    Raises:
        InputError: there is no video in the folders, or none can be read and there is no index yet.
        IndexBusyError, SpaceMismatchError, IndexFormatError: see `IndexWriter`.
        OSError: the disk is full or fails; the index stays as it was.
    """
    found = find_videos(request.videos)
    has_index = (request.index / CURRENT).exists()
    require_videos(request.videos, found, has_index=has_index)
    with IndexWriter(request.index, request.settings) as writer:
        state = survey(found, writer.videos, writer.refused, is_retrying=request.is_retrying)
        progress.begin_examining(len(state.to_examine))
        examined = []
        for one in workers.examine([candidate.file for candidate in state.to_examine]):
            examined.append(one)
            progress.examined()
        work = plan_work(
            state,
            examined,
            writer.videos,
            writer.refused,
            request.settings.plan,
            is_retrying=request.is_retrying,
        )
        # Before hours of encoding: the metadata may name videos that it cannot mean.
        joined = join_metadata(request.metadata or {}, [*work.kept, *work.fresh])
        staged = writer.staged()
        # A build that could read nothing leaves its refusals staged.
        done = {key for key, note in staged.items() if note.num_clips or not request.is_retrying}
        todo = [unit for unit in work.units if unit.key not in done]
        # Encoders start here, before the clock of rates and time left does.
        finished = workers.encode(todo, progress.advanced)
        progress.begin_encoding(work.changes, todo, num_staged=len(work.units) - len(todo))
        for unit in finished:
            writer.stage(unit)
            progress.encoded(unit)
        progress.begin_publishing()
        return _publish(writer, work, joined, has_index=has_index)


def require_videos(asked: Sequence[Path], found: Found, *, has_index: bool) -> None:
    """Passes when there is something to index, or at least something that an index has to list as refused.

    Raises:
        InputError: the paths lead to no video.
    """
    named = {Path(path) for path in asked}
    if found.videos or (has_index and any(one.path not in named for one in found.refused)):
        return
    reasons = _listed([f"{one.path}: {one.reason}" for one in found.refused])
    places = ", ".join(str(path) for path in asked)
    suffixes = " ".join(sorted(VIDEO_SUFFIXES))
    raise InputError(
        "VIDEOS",
        reasons or f"no video in {places}; {found.num_other} other files were seen; videos end in {suffixes}",
    )


def _listed(reasons: Sequence[str]) -> str:
    more = len(reasons) - _MAX_REASONS
    return "; ".join([*reasons[:_MAX_REASONS], *([f"and {more} more"] if more > 0 else [])])


def _publish(writer: IndexWriter, work: WorkPlan, joined: Joined, *, has_index: bool) -> BuildOutcome:
    held = {record.video_id for record in writer.videos}
    refused = list(work.refused)
    complete, num_clips = [], 0
    for record in work.fresh:
        if record.video_id not in held and has_changed(record):
            refused.append(_refused_whole(record, "changed while it was read; the same command takes it up again"))
            continue
        notes = [writer.staged()[record.video_id, unit] for unit in range(num_units(record.num_clips))]
        clips = sum(note.num_clips for note in notes)
        refused += refused_of(record, notes)
        if clips:
            complete.append(record)
            num_clips += clips
    records = with_metadata([*work.kept, *complete], joined.of_video)
    refused.sort(key=lambda one: (one.file, one.clip_rows or (-1, -1)))
    if not records and not has_index:
        raise InputError("VIDEOS", "none can be read: " + _listed([f"{one.file}: {one.reason}" for one in refused]))
    replaced = frozenset(record.video_id for record in work.fresh) & held
    generation = writer.publish(records, refused, replaced=replaced)
    return BuildOutcome(generation, len(records), num_clips, work.changes, tuple(refused), joined.unmatched)


def has_changed(record: VideoRecord) -> bool:
    """Whether the file now holds other content than the record says, so that its clips may show either.

    A file that is gone has not changed: what was read of it was read before.
    """
    try:
        status = record.file.stat()
    except OSError:
        return False
    if (status.st_size, status.st_mtime_ns) == (record.size_bytes, record.modified_ns):
        return False
    try:
        return not has_content(record.file, record.fingerprint)
    except VideoError:
        return True


def refused_of(record: VideoRecord, notes: Sequence[StagedNote]) -> list[RefusedRecord]:
    """What could not be read of a video; one record for the whole file when nothing could."""
    runs = [run for note in notes for run in note.refused]
    if runs and not any(note.num_clips for note in notes):
        return [_refused_whole(record, runs[0].reason)]
    whole = _refused_whole(record, "")
    return [dataclasses.replace(whole, clip_rows=(run.start, run.stop), reason=run.reason) for run in _joined(runs)]


def _joined(runs: Sequence[RefusedRows]) -> list[RefusedRows]:
    """Neighbouring runs with one cause as one: batches and units cut a gap where nothing is different."""
    joined: list[RefusedRows] = []
    for run in sorted(runs):
        if joined and joined[-1].stop == run.start and _cause(joined[-1].reason) == _cause(run.reason):
            joined[-1] = joined[-1]._replace(stop=run.stop)
        else:
            joined.append(run)
    return joined


def _cause(reason: str) -> str:
    return _TIME.sub("", reason)


def _refused_whole(record: VideoRecord, reason: str) -> RefusedRecord:
    return RefusedRecord(
        file=str(record.file),
        size_bytes=record.size_bytes,
        modified_ns=record.modified_ns,
        video_id=record.video_id,
        clip_rows=None,
        reason=reason,
    )
