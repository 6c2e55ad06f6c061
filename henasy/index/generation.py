"""One published state on disk: reading it, and making it the live one."""

import hashlib
import io
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import IndexFormatError, NotFoundError
from henasy.index import layout
from henasy.index.durable import check_file, publish_folder, temporary_path, write_file
from henasy.index.manifest import FileEntry, Manifest, PartEntry, read_manifest
from henasy.index.videos import (
    RefusedRecord,
    VideoTable,
    refused_from_parquet,
    refused_to_parquet,
    videos_from_parquet,
    videos_to_parquet,
)


class Generation(NamedTuple):
    """A published state, without the vectors."""

    manifest: Manifest
    videos: VideoTable
    refused: tuple[RefusedRecord, ...]
    dropped: dict[str, NDArray[np.bool_]]
    """Part id -> (N,) rows that this generation no longer holds."""


def read_current(root: Path) -> int:
    """The number of the live generation.

    Raises:
        NotFoundError: no index is there, or nothing has been published yet.
        IndexFormatError: CURRENT cannot be read or holds no number.
    """
    file = root / layout.CURRENT
    try:
        content = file.read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        what = "nothing was published yet" if (root / layout.STAGING).is_dir() else "no index is here"
        raise NotFoundError(f"{root}: {what}; `henasy-index build VIDEOS --index {root}` makes one") from None
    except OSError as error:
        raise IndexFormatError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise IndexFormatError(f"{file}: damaged, is not a number") from error
    if not content.isdecimal():
        raise IndexFormatError(f"{file}: damaged, {content[:40]!r} is not a number")
    return int(content)


def read_generation(root: Path, number: int) -> Generation:
    """A published state, every file of it checked.

    Raises:
        IndexFormatError: a file is missing or damaged.
    """
    folder = layout.generation_folder(root, number)
    manifest = read_manifest(folder / layout.MANIFEST)
    if manifest.generation != number:
        raise IndexFormatError(f"{folder / layout.MANIFEST}: is of generation {manifest.generation}")
    for file in manifest.files:
        check_file(folder / file.name, file.sha256, file.num_bytes)
    videos = videos_from_parquet(folder / layout.VIDEOS)
    refused = refused_from_parquet(folder / layout.QUARANTINE)
    dropped = {part.part_id: _read_dropped(folder, part) for part in manifest.parts if part.num_dropped}
    return Generation(manifest, videos, refused, dropped)


GenerationFiles = list[tuple[FileEntry, bytes]]


def publish_generation(root: Path, manifest: Manifest, files: GenerationFiles) -> None:
    """Writes a generation and makes it the live one; its parts must be durable by now.

    Raises:
        OSError: the disk is full or fails; the live generation stays as it was.
    """
    folder = layout.generation_folder(root, manifest.generation)
    # A writer killed before CURRENT changed may have left a folder of this number.
    shutil.rmtree(folder, ignore_errors=True)
    temporary = temporary_path(folder)
    temporary.mkdir(parents=True)
    try:
        write_file(temporary / layout.MANIFEST, manifest.to_bytes())
        for entry, content in files:
            write_file(temporary / entry.name, content)
        publish_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    write_file(root / layout.CURRENT, f"{manifest.generation}\n".encode())


def generation_files(
    videos: VideoTable, refused: Iterable[RefusedRecord], dropped: Mapping[str, NDArray[np.bool_]]
) -> GenerationFiles:
    """The files of a generation's folder except the manifest, which lists them."""
    contents = {
        layout.VIDEOS: videos_to_parquet(videos),
        layout.QUARANTINE: refused_to_parquet(refused),
    }
    for part_id, mask in dropped.items():
        buffer = io.BytesIO()
        np.save(buffer, np.packbits(mask), allow_pickle=False)
        contents[layout.tombstones_name(part_id)] = buffer.getvalue()
    return [(_entry(name, content), content) for name, content in contents.items()]


def _entry(name: str, content: bytes) -> FileEntry:
    return FileEntry(name=name, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _read_dropped(folder: Path, part: PartEntry) -> NDArray[np.bool_]:
    file = folder / layout.tombstones_name(part.part_id)
    try:
        packed = np.load(file, allow_pickle=False)
        dropped = np.unpackbits(packed, count=part.num_clips).astype(np.bool_)
    except (OSError, ValueError, TypeError) as error:
        raise IndexFormatError(f"{file}: cannot be read as a bitmap: {error}") from error
    if np.count_nonzero(dropped) != part.num_dropped:
        raise IndexFormatError(f"{file}: drops {np.count_nonzero(dropped)} rows, not {part.num_dropped}")
    return dropped
