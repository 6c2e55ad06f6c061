"""What lies in the folders: which files are known, which must be looked at, and what those turn out to be."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from henasy.errors import HenasyError
from henasy.index import RefusedRecord, VideoRecord, VideoTable
from henasy.video import Found, FoundVideo, VideoInfo, fingerprint, probe, short_name


class FileStamp(NamedTuple):
    """What tells a changed file without reading it."""

    size_bytes: int
    modified_ns: int


class Candidate(NamedTuple):
    """A file that was found, before it is opened."""

    file: str
    """Absolute path, links kept."""
    root: str
    relative: str
    stamp: FileStamp


class Examined(NamedTuple):
    """A file that was opened: what it is, or why it cannot be read."""

    file: str
    fingerprint: str
    """Empty when not even the bytes can be read."""
    info: VideoInfo | None
    reason: str
    """Why `info` is None; empty otherwise."""


class Survey(NamedTuple):
    """All files that were found, sorted by what has to be done with them."""

    known: dict[str, VideoRecord]
    """File -> the video that it, or a copy, still is, by size and time of modification."""
    to_examine: list[Candidate]
    still_refused: list[RefusedRecord]
    """Refused before and unchanged since; not tried again."""
    unreachable: list[RefusedRecord]
    """Refused before being opened."""
    candidates: dict[str, Candidate]
    """File -> candidate, for all that can be opened."""


def survey(found: Found, videos: VideoTable, refused: Sequence[RefusedRecord], *, is_retrying: bool = False) -> Survey:
    """Sorts found files by what the index knows of them; opens none.

    Args:
        videos: those of the live generation.
        refused: what the live generation says could not be read.
        is_retrying: look again at files that were refused although they have not changed.
    """
    named = [one for one in found.videos if _is_storable(one.path)]
    candidates = [one for one in map(_candidate, named) if one is not None]
    unnameable = [_unreachable(one.path, "its name is not UTF-8") for one in found.videos if one not in named]
    known_files = {file: record for record in videos for file in record.times_ns}
    whole_files = {record.file: record for record in refused if record.clip_rows is None}
    partial = {record.video_id for record in refused if record.clip_rows is not None}
    unreachable = [_unreachable(one.path, one.reason) for one in found.refused]
    result = Survey({}, [], [], [*unreachable, *unnameable], {})
    for candidate in candidates:
        result.candidates[candidate.file] = candidate
        record, earlier = known_files.get(candidate.file), whole_files.get(candidate.file)
        if record is not None and FileStamp(record.size_bytes, record.times_ns[candidate.file]) == candidate.stamp:
            is_again = is_retrying and record.video_id in partial
            if not is_again:
                result.known[candidate.file] = record
                continue
        if (
            earlier is not None
            and FileStamp(earlier.size_bytes, earlier.modified_ns) == candidate.stamp
            and not is_retrying
        ):
            result.still_refused.append(earlier)
        else:
            result.to_examine.append(candidate)
    return result


def examine(file: str, *, is_full_hash: bool) -> Examined:
    """Opens one file. Never raises for what the file is like, only says it."""
    try:
        print_ = fingerprint(file, is_full=is_full_hash)
    except (HenasyError, OSError) as error:
        return Examined(file, "", None, _reason(error, file))
    try:
        return Examined(file, print_, probe(file), "")
    except Exception as error:  # a damaged file can trip the demuxer in ways that no list of errors foresees
        return Examined(file, print_, None, _reason(error, file))


def video_id_of(content: str) -> str:
    """The short name of a video with this fingerprint."""
    return f"v{short_name(content)}"


def refused_file(candidate: Candidate, content: str, reason: str) -> RefusedRecord:
    """The record of a file that is refused as a whole."""
    return RefusedRecord(
        file=candidate.file,
        size_bytes=candidate.stamp.size_bytes,
        modified_ns=candidate.stamp.modified_ns,
        video_id=video_id_of(content) if content else "",
        clip_rows=None,
        reason=reason,
    )


def is_in_place(file: Path, size_bytes: int) -> bool:
    """Whether a file that was not looked for is still there, as far as its size tells."""
    try:
        return file.is_file() and file.stat().st_size == size_bytes
    except OSError:
        return False


def _candidate(found: FoundVideo) -> Candidate | None:
    try:
        status = os.stat(found.path)
    except OSError:
        # Gone since it was found: like any other missing file.
        return None
    root = os.path.abspath(found.root)
    file = os.path.join(root, found.relative)
    return Candidate(file, root, found.relative, FileStamp(status.st_size, status.st_mtime_ns))


def _is_storable(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unreachable(path: Path, reason: str) -> RefusedRecord:
    name = os.fsencode(os.path.abspath(path)).decode("utf-8", "replace")
    return RefusedRecord(file=name, size_bytes=-1, modified_ns=-1, video_id="", clip_rows=None, reason=reason)


def _reason(error: Exception, file: str) -> str:
    return str(error).removeprefix(f"{file}: ") or type(error).__name__
