"""Finds the video files in folders, in list files, and among paths given by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from henasy.errors import VideoError
from henasy.video.container import check_readable

VIDEO_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".ts",
        ".mts",
        ".m2ts",
        ".mpg",
        ".mpeg",
        ".3gp",
        ".flv",
        ".wmv",
        ".ogv",
    ]
)
"""What counts as a video inside a folder, in any case; a file given by name may be called anything."""
LIST_SUFFIXES = frozenset({".txt", ".list", ".lst"})
"""A file with one of these holds paths, one a line, or separated by NUL bytes if it has any."""


class FoundVideo(NamedTuple):
    """A readable regular file; whether it is a video is for `probe` to say."""

    path: Path
    root: Path
    """The folder that was searched, or the one the file lies in."""
    relative: str
    """The path below `root`, with forward slashes."""


class RefusedPath(NamedTuple):
    """What was asked for and cannot be read."""

    path: Path
    reason: str


class Found(NamedTuple):
    """Everything that paths led to; no file is in it twice."""

    videos: tuple[FoundVideo, ...]
    refused: tuple[RefusedPath, ...]
    num_other: int
    """Files in the folders whose suffix is not a video's."""


def find_videos(paths: Iterable[Path | str]) -> Found:
    """The videos that paths lead to, sorted by path, and what had to be refused.

    Folders are searched to any depth and links are followed; a folder is entered once, however many links lead to
    it. Relative paths in a list file start at the list file's folder. Nothing is opened but list files.
    """
    search = _Search()
    for path in paths:
        search.take(Path(path))
    videos = sorted(search.videos.values(), key=lambda video: os.fsencode(video.path))
    refused = sorted(search.refused.items(), key=lambda item: os.fsencode(item[0]))
    return Found(tuple(videos), tuple(RefusedPath(*item) for item in refused), search.num_other)


class _Search:
    def __init__(self) -> None:
        self.videos: dict[str, FoundVideo] = {}
        self.refused: dict[Path, str] = {}
        self.num_other = 0
        self._entered: set[tuple[int, int]] = set()

    def take(self, path: Path) -> None:
        """Take in a folder, a list file, or a video given by name."""
        if os.path.isdir(path):
            self._take_folder(path)
        elif path.suffix.lower() in LIST_SUFFIXES and os.path.isfile(path):
            self._take_list(path)
        else:
            self._take_file(path, path.parent)

    def _take_folder(self, root: Path) -> None:
        for folder in self._folders(root):
            try:
                entries = sorted(folder.iterdir())
            except OSError as error:
                self.refused[folder] = f"the folder cannot be read: {error.strerror or error}"
                continue
            for entry in entries:
                if entry.suffix.lower() in VIDEO_SUFFIXES and not os.path.isdir(entry):
                    self._take_file(entry, root)
                elif os.path.isfile(entry):
                    self.num_other += 1

    def _folders(self, root: Path) -> Iterator[Path]:
        """The folder and all below it, each once."""
        waiting = [root]
        while waiting:
            folder = waiting.pop()
            try:
                status = folder.stat()
                key = (status.st_dev, status.st_ino)
                if key in self._entered:
                    continue
                self._entered.add(key)
                below = [entry for entry in folder.iterdir() if os.path.isdir(entry)]
            except OSError:
                below = []  # the caller meets the same error and reports it
            yield folder
            waiting.extend(below)

    def _take_list(self, path: Path) -> None:
        try:
            text = os.fsdecode(path.read_bytes())
        except OSError as error:
            self.refused[path] = f"the list cannot be read: {error.strerror or error}"
            return
        lines = text.split("\0") if "\0" in text else text.splitlines()
        for line in lines:
            name = line if "\0" in text else line.strip()
            if name:
                entry = path.parent / name
                if os.path.isdir(entry):
                    self._take_folder(entry)
                else:
                    self._take_file(entry, entry.parent)

    def _take_file(self, path: Path, root: Path) -> None:
        try:
            check_readable(path)
        except VideoError as error:
            self.refused[path] = str(error).removeprefix(f"{path}: ")
            return
        found = FoundVideo(path, root, path.relative_to(root).as_posix())
        self.videos.setdefault(os.path.realpath(path), found)
