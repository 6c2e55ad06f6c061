"""Where the videos of an annotation file lie: whole files or folders of chunks, at any depth, suffixes in any case."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from henasy.errors import InputError, NotFoundError

_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"})


@dataclass(frozen=True, kw_only=True)
class VideoFiles:
    """The file, or the chunk files, of one video."""

    video_id: str
    paths: tuple[Path, ...]
    chunk_starts_s: tuple[int, ...] | None
    """Second at which each chunk starts; None for a whole file."""


def find_videos(folder: Path) -> dict[str, VideoFiles]:
    """Every video below a folder by its id, the file name without its suffix.

    A folder named like a video, as in LaViLa's `<uid>.mp4/<second>.mp4`, is one video in chunks.

    Raises:
        NotFoundError: if there is no such folder.
        InputError: if two files have the same id, or a chunk is not named by its second.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: no such folder of videos")
    found: dict[str, VideoFiles] = {}
    for files in _walk(folder):
        if files.video_id in found:
            raise InputError("videos", f"{files.paths[0]} and {found[files.video_id].paths[0]} have the same id")
        found[files.video_id] = files
    return found


def missing_videos(wanted: Iterable[str], found: dict[str, VideoFiles]) -> list[str]:
    """The ids without a file, sorted."""
    return sorted(set(wanted) - set(found))


def _walk(folder: Path) -> Iterable[VideoFiles]:
    for path in sorted(folder.iterdir()):
        is_video_name = path.suffix.lower() in _SUFFIXES
        if path.is_dir() and is_video_name:
            yield _chunked(path)
        elif path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        elif path.is_file() and is_video_name:
            yield VideoFiles(video_id=path.stem, paths=(path,), chunk_starts_s=None)


def _chunked(folder: Path) -> VideoFiles:
    chunks = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
    unnamed = [path for path in chunks if not path.stem.isdecimal()]
    if unnamed or not chunks:
        raise InputError(
            "videos", f"{unnamed[0] if unnamed else folder}: chunks must be named by the second they start at"
        )
    chunks.sort(key=lambda path: int(path.stem))
    starts_s = tuple(int(path.stem) for path in chunks)
    return VideoFiles(video_id=folder.stem, paths=tuple(chunks), chunk_starts_s=starts_s)
