"""Where the videos of an annotation file lie: whole files or folders of chunks, at any depth, suffixes in any case."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from henasy.errors import InputError, NotFoundError
from henasy.video.find import VIDEO_SUFFIXES, find_videos


@dataclass(frozen=True, kw_only=True)
class VideoFiles:
    """The file, or the chunk files, of one video."""

    video_id: str
    paths: tuple[Path, ...]
    chunk_starts_s: tuple[int, ...] | None
    """Second at which each chunk starts; None for a whole file."""


def videos_by_id(folder: Path) -> dict[str, VideoFiles]:
    """Every video below a folder by its id, the file name without its suffix.

    A folder named like a video, as in LaViLa's `<uid>.mp4/<second>.mp4`, is one video in chunks.
    EgoVLP's `<uid>/<number>.mp4` is not read: its files count as videos with the ids 0, 1, ...

    Raises:
        NotFoundError: if there is no such folder.
        InputError: if two files have the same id, or a chunk is not named by its second.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: no such folder of videos")
    found = find_videos([folder])
    # A file that cannot be opened counts: whoever reads it learns why it cannot be read.
    paths = [video.path for video in found.videos]
    paths += [refused.path for refused in found.refused if refused.path.suffix.lower() in VIDEO_SUFFIXES]
    chunks: dict[Path, list[Path]] = {}
    videos: dict[str, VideoFiles] = {}
    for path in paths:
        if path.parent != folder and path.parent.suffix.lower() in VIDEO_SUFFIXES:
            chunks.setdefault(path.parent, []).append(path)
        else:
            _add(videos, VideoFiles(video_id=path.stem, paths=(path,), chunk_starts_s=None))
    for chunk_paths in chunks.values():
        _add(videos, _chunked(chunk_paths))
    return videos


def missing_videos(wanted: Iterable[str], found: dict[str, VideoFiles]) -> list[str]:
    """The ids without a file, sorted."""
    return sorted(set(wanted) - set(found))


def _add(videos: dict[str, VideoFiles], files: VideoFiles) -> None:
    known = videos.setdefault(files.video_id, files)
    if known is not files:
        hint = "; chunks must lie in a folder <uid>.mp4, EgoVLP's <uid>/<number>.mp4 is not read"
        raise InputError(
            "videos",
            f"{files.paths[0]} and {known.paths[0]} have the same id {files.video_id!r}"
            + (hint if files.video_id.isdecimal() else ""),
        )


def _chunked(paths: list[Path]) -> VideoFiles:
    unnamed = [path for path in paths if not path.stem.isdecimal()]
    if unnamed:
        raise InputError("videos", f"{unnamed[0]}: a chunk must be named by the second it starts at")
    paths = sorted(paths, key=lambda path: int(path.stem))
    starts_s = tuple(int(path.stem) for path in paths)
    if len(set(starts_s)) < len(starts_s):
        raise InputError("videos", f"{paths[0].parent}: two chunks start at the same second")
    return VideoFiles(video_id=paths[0].parent.stem, paths=tuple(paths), chunk_starts_s=starts_s)
