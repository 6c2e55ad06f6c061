"""What a build has to do: the videos that the index is to hold, and the units that are missing for it."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from henasy.index import RefusedRecord, VideoRecord, VideoTable
from henasy.video import ClipPlan
from indexer.survey import Candidate, Examined, Survey, is_in_place, refused_file, video_id_of
from indexer.units import WorkUnit, units_of


class Changes(NamedTuple):
    """How the folders differ from the index, in videos."""

    new: int
    changed: int
    """Files with other content than before; the old content is dropped."""
    renamed: int
    missing: int
    duplicates: int
    """Files whose content another file has too."""
    unchanged: int


class WorkPlan(NamedTuple):
    """What a build has to do."""

    kept: list[VideoRecord]
    """Videos that need no encoding."""
    fresh: list[VideoRecord]
    """Videos whose clips have to be encoded."""
    units: list[WorkUnit]
    """All units of the fresh videos, staged ones included."""
    refused: list[RefusedRecord]
    """What cannot be read, as known before encoding."""
    changes: Changes


def plan_work(
    survey: Survey,
    examined: Sequence[Examined],
    videos: VideoTable,
    refused: Sequence[RefusedRecord],
    plan: ClipPlan,
    *,
    is_retrying: bool = False,
) -> WorkPlan:
    """Compares what was found with what the index holds.

    Args:
        survey: all files found.
        examined: what became of `survey.to_examine`.
        videos: those of the live generation.
        refused: what the live generation says could not be read.
        plan: how videos are cut into clips.
        is_retrying: encode videos again of which some clips were refused.
    """
    contents = _contents(survey, examined)
    again: Set[str] = _partly_refused(refused) if is_retrying else set()
    kept, fresh, units, renamed = [], [], [], 0
    for video_id, (files, facts) in sorted(contents.items()):
        old = videos.get(video_id) if video_id in videos else None
        if old is not None and (video_id not in again or facts is None):
            kept.append(_moved(old, files, survey))
            renamed += str(old.file) not in {one.file for one in files}
        else:
            assert facts is not None
            assert facts.info is not None
            fresh.append(_new_record(video_id, files, facts, plan, old))
            units += units_of(video_id, str(fresh[-1].file), facts.info.duration_s, plan)
    absent = [record for record in videos if record.video_id not in contents]
    replaced = {file for files, _ in contents.values() for file in (one.file for one in files)}
    dropped = [record for record in absent if str(record.file) in replaced and not _left(record, survey)]
    kept += [_absent(record, survey) for record in absent if record not in dropped]
    records = {record.video_id for record in kept}
    dropped_files = {str(record.file) for record in dropped}
    changed = sum(str(record.file) in dropped_files for record in fresh)
    return WorkPlan(
        kept,
        fresh,
        units,
        [*_refused(survey, examined), *_carried(refused, records, survey)],
        Changes(
            new=len(fresh) - changed,
            changed=changed,
            renamed=renamed,
            missing=sum(not record.is_online for record in kept),
            duplicates=sum(len(files) - 1 for files, _ in contents.values()),
            unchanged=len(contents) - len(fresh) - renamed,
        ),
    )


def with_metadata(
    records: Iterable[VideoRecord], metadata: Mapping[str, Mapping[str, str | int | float | bool | None]]
) -> list[VideoRecord]:
    """The records with the columns given for them; others keep what they had."""
    return [dataclasses.replace(record, metadata=metadata.get(record.video_id, record.metadata)) for record in records]


_Content = tuple[list[Candidate], Examined | None]


def _contents(survey: Survey, examined: Sequence[Examined]) -> dict[str, _Content]:
    """Video id -> the files that have this content, in the order of their paths, and what one of them is."""
    contents: dict[str, _Content] = {}
    facts = {one.file: one for one in examined if one.info is not None}
    for file, candidate in sorted(survey.candidates.items()):
        if file in survey.known:
            video_id, one = survey.known[file].video_id, None
        elif file in facts:
            video_id, one = video_id_of(facts[file].fingerprint), facts[file]
        else:
            continue
        files, known = contents.get(video_id, ([], None))
        contents[video_id] = ([*files, candidate], known or one)
    return contents


def _partly_refused(refused: Sequence[RefusedRecord]) -> Set[str]:
    return {record.video_id for record in refused if record.clip_rows is not None}


def _moved(old: VideoRecord, files: Sequence[Candidate], survey: Survey) -> VideoRecord:
    primary = next((one for one in files if one.file == str(old.file)), files[0])
    times_ns = {str(file): old.times_ns[str(file)] for file in _left(old, survey)}
    times_ns.update({one.file: one.stamp.modified_ns for one in files})
    copies = sorted(times_ns.keys() - {primary.file})
    return dataclasses.replace(
        old,
        root=primary.root,
        path=primary.relative,
        copies=tuple(copies),
        copies_modified_ns=tuple(times_ns[file] for file in copies),
        modified_ns=primary.stamp.modified_ns,
        is_online=True,
    )


def _new_record(
    video_id: str, files: Sequence[Candidate], facts: Examined, plan: ClipPlan, old: VideoRecord | None
) -> VideoRecord:
    info = facts.info
    assert info is not None
    primary = files[0]
    return VideoRecord(
        video_id=video_id,
        fingerprint=facts.fingerprint,
        root=primary.root,
        path=primary.relative,
        copies=tuple(one.file for one in files[1:]),
        copies_modified_ns=tuple(one.stamp.modified_ns for one in files[1:]),
        size_bytes=primary.stamp.size_bytes,
        modified_ns=primary.stamp.modified_ns,
        duration_s=info.duration_s,
        fps=info.fps,
        num_frames=info.num_frames,
        width_px=info.width_px,
        height_px=info.height_px,
        rotation_deg=info.rotation_deg,
        codec=info.codec,
        num_clips=len(plan.spans(info.duration_s)),
        metadata={} if old is None else old.metadata,
    )


def _left(record: VideoRecord, survey: Survey) -> list[Path]:
    """Files of a video that this build was not pointed at and that are still there."""
    outside = [file for file in record.files if str(file) not in survey.candidates]
    return [file for file in outside if is_in_place(file, record.size_bytes)]


def _absent(record: VideoRecord, survey: Survey) -> VideoRecord:
    left = _left(record, survey)
    if not left:
        return dataclasses.replace(record, is_online=False)
    times_ns = record.times_ns
    primary = record.file if record.file in left else left[0]
    copies = tuple(str(file) for file in left if file != primary)
    moved = dataclasses.replace(
        record,
        copies=copies,
        copies_modified_ns=tuple(times_ns[file] for file in copies),
        modified_ns=times_ns[str(primary)],
        is_online=True,
    )
    if primary == record.file:
        return moved
    root, path = os.path.split(primary)
    return dataclasses.replace(moved, root=root, path=path)


def _refused(survey: Survey, examined: Sequence[Examined]) -> list[RefusedRecord]:
    failed = [one for one in examined if one.info is None]
    fresh = [refused_file(survey.candidates[one.file], one.fingerprint, one.reason) for one in failed]
    return [*survey.unreachable, *survey.still_refused, *fresh]


def _carried(refused: Sequence[RefusedRecord], kept: Set[str], survey: Survey) -> list[RefusedRecord]:
    """Earlier records that still hold: of clips of videos that stay, and of files outside the folders given."""
    handled = set(survey.candidates) | {record.file for record in survey.unreachable}
    return [
        record
        for record in refused
        if (record.video_id in kept and record.clip_rows is not None)
        or (record.clip_rows is None and record.file not in handled and os.path.lexists(record.file))
    ]
