"""Where the videos of a data set lie: whole files or folders of chunks, at any depth, suffixes in any case.

<uid>.mp4                     a whole file
<uid>.mp4/<second>.mp4        LaViLa's chunks, of 300 s
<uid>/<number>.mp4            EgoVLP's and HelpingHands' chunks, of 600 s
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from henasy.errors import InputError, NotFoundError
from henasy.video.find import VIDEO_SUFFIXES

LAVILA_CHUNK_S = 300
EGOVLP_CHUNK_S = 600


@dataclass(frozen=True, kw_only=True)
class VideoFiles:
    """The file, or the chunk files, of one video."""

    video_id: str
    paths: tuple[Path, ...]
    chunk_starts_s: tuple[int, ...] | None
    """Second at which each chunk starts, ascending; None for a whole file."""


def videos_by_id(folder: Path, *, numbered_chunk_s: int | None = None) -> dict[str, VideoFiles]:
    """Every video below a folder by its id, the file name without its suffix; folders are listed, no file is touched.

    A folder named like a video, as in LaViLa's `<uid>.mp4/<second>.mp4`, is one video in chunks.

    Args:
        folder: where to look, at any depth; links are followed.
        numbered_chunk_s: length of the chunks of `<uid>/<number>.mp4`. None takes such files for whole videos with
            the ids 0, 1, ...

    Raises:
        NotFoundError: if there is no such folder.
        InputError: if two files have the same id, or a chunk is not named by its second or number.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: no such folder of videos")
    videos: dict[str, VideoFiles] = {}
    for parent, paths in _listed(folder):
        is_video_folder = parent != folder and parent.suffix.lower() in VIDEO_SUFFIXES
        is_numbered = numbered_chunk_s is not None and parent != folder and all(p.stem.isdecimal() for p in paths)
        if is_video_folder:
            _add(videos, _chunked(parent.stem, paths, 1))
        elif is_numbered:
            _add(videos, _chunked(parent.name, paths, numbered_chunk_s or 1))
        else:
            for path in paths:
                _add(videos, VideoFiles(video_id=path.stem, paths=(path,), chunk_starts_s=None))
    return videos


def annotated_videos(folder: Path, video_ids: Iterable[str]) -> dict[str, VideoFiles]:
    """Every video below a folder by its id, in the reading of `<uid>/<number>.mp4` that has more of the wanted ids.

    Either as EgoVLP's chunks of 600 s or, as of every other file, as whole videos.

    Raises:
        NotFoundError, InputError: as `videos_by_id`.
    """
    wanted = set(video_ids)
    readings: list[dict[str, VideoFiles]] = []
    refusal: InputError | None = None
    for numbered_chunk_s in (EGOVLP_CHUNK_S, None):
        try:
            found = videos_by_id(folder, numbered_chunk_s=numbered_chunk_s)
        except InputError as error:
            refusal = error
            continue
        if not missing_videos(wanted, found):
            return found
        readings.append(found)
    best = max(readings, key=lambda found: len(wanted & found.keys()), default={})
    if refusal is not None and wanted.isdisjoint(best):
        raise refusal
    return best


def missing_videos(wanted: Iterable[str], found: dict[str, VideoFiles]) -> list[str]:
    """The ids without a file, sorted."""
    return sorted(set(wanted) - set(found))


def usual_chunk_s(found: Iterable[VideoFiles]) -> int | None:
    """How far apart the chunks of these videos start, most often; None where no video has two."""
    steps = Counter(
        later - earlier for files in found for earlier, later in pairwise(files.chunk_starts_s or ()) if later > earlier
    )
    return min(steps, key=lambda step: (-steps[step], step)) if steps else None


def _listed(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Each folder with its videos, in order of name; a folder is entered once, however many links lead to it."""
    entered: set[str] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(name)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        paths = [Path(name, file) for file in sorted(files) if os.path.splitext(file)[1].lower() in VIDEO_SUFFIXES]
        if paths:
            yield Path(name), paths


def _add(videos: dict[str, VideoFiles], files: VideoFiles) -> None:
    known = videos.setdefault(files.video_id, files)
    if known is not files:
        hint = "; chunks must lie in a folder <uid>.mp4, or be those of <uid>/<number>.mp4 of annotated videos"
        raise InputError(
            "videos",
            f"{files.paths[0]} and {known.paths[0]} have the same id {files.video_id!r}"
            + (hint if files.video_id.isdecimal() else ""),
        )


def _chunked(video_id: str, paths: list[Path], unit_s: int) -> VideoFiles:
    unnamed = [path for path in paths if not path.stem.isdecimal()]
    if unnamed:
        raise InputError("videos", f"{unnamed[0]}: a chunk must be named by the second it starts at")
    paths = sorted(paths, key=lambda path: int(path.stem))
    starts_s = tuple(int(path.stem) * unit_s for path in paths)
    if len(set(starts_s)) < len(starts_s):
        raise InputError("videos", f"{paths[0].parent}: two chunks start at the same second")
    return VideoFiles(video_id=video_id, paths=tuple(paths), chunk_starts_s=starts_s)
