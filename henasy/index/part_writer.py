"""Writing one immutable part: sequential writes only, so that a full disk is an error and not a signal."""

import hashlib
import io
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from henasy.index import layout
from henasy.index.assignment import num_planes, pack_assignment, packed_bytes
from henasy.index.durable import publish_folder, temporary_path, write_file
from henasy.index.manifest import FileEntry, PartEntry
from henasy.index.part import CLIP_SCHEMA, ENTITY_SCHEMA
from henasy.index.rows import ClipRows
from henasy.index.settings import IndexSettings


class ArrayFile:
    """An npy file of known size that is written row by row, with its sha256."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Creates the file with its header."""
        self._path = path
        self._digest = hashlib.sha256()
        self._num_bytes = 0
        self._missing_rows = shape[0]
        self._dtype = dtype
        self._file = path.open("xb")
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(dtype)
        np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
        self._write(header.getvalue())

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, rows: NDArray[Any]) -> None:
        """Writes the next rows."""
        assert rows.dtype == self._dtype
        self._missing_rows -= len(rows)
        self._write(rows.tobytes())

    def finish(self) -> FileEntry:
        """Makes the file durable and says what it must stay."""
        assert self._missing_rows == 0
        self._file.flush()
        os.fsync(self._file.fileno())
        return FileEntry(name=self._path.name, num_bytes=self._num_bytes, sha256=self._digest.hexdigest())

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._digest.update(content)
        self._num_bytes += len(content)


def write_part(
    root: Path,
    part_id: str,
    settings: IndexSettings,
    num_clips: int,
    pieces: Iterable[tuple[str, ClipRows]],
) -> PartEntry:
    """Writes a part that holds the pieces' rows one after another.

    Args:
        num_clips: rows of all pieces together.
        pieces: (video_id, rows); the pieces of one video are neighbours and in the order of time.

    Raises:
        OSError: the disk is full or fails; nothing is left behind.
    """
    folder = layout.part_folder(root, part_id)
    temporary = temporary_path(folder)
    temporary.mkdir(parents=True)
    try:
        files = _write_files(temporary, settings, num_clips, pieces)
        publish_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return PartEntry(part_id=part_id, num_clips=num_clips, num_dropped=0, files=files)


def _write_files(
    folder: Path, settings: IndexSettings, num_clips: int, pieces: Iterable[tuple[str, ClipRows]]
) -> tuple[FileEntry, ...]:
    entities, width = settings.num_entities, settings.width
    planes = (num_planes(entities), packed_bytes(settings.num_frames, settings.num_patches))
    half, byte = np.dtype(np.float16), np.dtype(np.uint8)
    columns = _Columns(settings)
    if not entities:
        with ArrayFile(folder / layout.CLIP_VECTORS, (num_clips, width), half) as clips:
            for video_id, rows in pieces:
                clips.append(rows.clip)
                columns.add(video_id, rows)
            return (clips.finish(), *columns.write(folder))
    with (
        ArrayFile(folder / layout.CLIP_VECTORS, (num_clips, width), half) as clips,
        ArrayFile(folder / layout.ENTITY_VECTORS, (num_clips, entities, width), half) as vectors,
        ArrayFile(folder / layout.ASSIGNMENT, (num_clips, *planes), byte) as packed,
    ):
        for video_id, rows in pieces:
            clips.append(rows.clip)
            vectors.append(rows.entities)
            packed.append(pack_assignment(rows.assignment, entities))
            columns.add(video_id, rows)
        return (clips.finish(), vectors.finish(), packed.finish(), *columns.write(folder))


class _Columns:
    """The columns of a part, small enough to be kept until the end."""

    def __init__(self, settings: IndexSettings) -> None:
        self._entities = settings.num_entities
        self._videos: dict[str, int] = {}
        self._codes: list[NDArray[np.int32]] = []
        self._rows: list[ClipRows] = []

    def add(self, video_id: str, rows: ClipRows) -> None:
        code = self._videos.setdefault(video_id, len(self._videos))
        self._codes.append(np.full(len(rows), code, np.int32))
        slim = np.zeros((len(rows), 0), np.float16)
        self._rows.append(
            ClipRows(
                clip_rows=rows.clip_rows,
                spans=rows.spans,
                is_valid=rows.is_valid,
                patch_share=rows.patch_share,
                clip=slim,
                entities=slim[:, None],
                assignment=np.zeros((len(rows), 0, 0), np.uint8),
            )
        )

    def write(self, folder: Path) -> list[FileEntry]:
        spans = np.concatenate([rows.spans for rows in self._rows])
        codes = pa.array(np.concatenate(self._codes))
        videos = pa.DictionaryArray.from_arrays(codes, pa.array(list(self._videos), pa.string()))
        clip_rows = np.concatenate([rows.clip_rows for rows in self._rows])
        table = pa.table([videos, clip_rows, spans[:, 0], spans[:, 1]], schema=CLIP_SCHEMA)
        files = [_write_table(folder / layout.CLIP_COLUMNS, table)]
        if self._entities:
            files.append(_write_table(folder / layout.ENTITY_COLUMNS, self._entity_table()))
        return files

    def _entity_table(self) -> pa.Table:
        is_valid = np.concatenate([rows.is_valid for rows in self._rows]).reshape(-1)
        share = np.concatenate([rows.patch_share for rows in self._rows]).reshape(-1)
        clip, slot = np.divmod(np.arange(len(is_valid)), self._entities)
        return pa.table([clip, slot.astype(np.int16), is_valid, share], schema=ENTITY_SCHEMA)


def _write_table(file: Path, table: pa.Table) -> FileEntry:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    content = buffer.getvalue()
    return FileEntry(name=file.name, num_bytes=len(content), sha256=write_file(file, content))
