"""One immutable part on disk, opened for reading. Vectors stay in the file and are paged in as needed.

N clips of the part, E entities, D width, T frames, K patches per frame. Rows are the part's own.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from henasy.errors import IndexFormatError
from henasy.index import layout
from henasy.index.assignment import num_planes, packed_bytes, unpack_assignment
from henasy.index.durable import check_file
from henasy.index.manifest import FileEntry, PartEntry
from henasy.index.rows import ClipRows
from henasy.index.settings import IndexSettings


class Part:
    """Columns and memory-mapped vectors of one part."""

    def __init__(self, root: Path, entry: PartEntry, settings: IndexSettings, *, is_checked: bool) -> None:
        """Opens a part.

        Args:
            is_checked: read every byte once and compare checksums, otherwise sizes only.

        Raises:
            IndexFormatError: a file is missing, damaged, or does not fit the settings.
        """
        self.part_id = entry.part_id
        self.folder = layout.part_folder(root, entry.part_id)
        self.num_clips = entry.num_clips
        self._settings = settings
        self.files = entry.files
        for file in entry.files:
            _check_size(self.folder / file.name, file)
        if is_checked:
            self.check()
        self.clips = self._vectors(layout.CLIP_VECTORS, (settings.width,))
        self._read_clip_columns()
        if settings.num_entities:
            self._open_entities()
        else:
            self.entities = np.zeros((self.num_clips, 0, settings.width), np.float16)
            self.is_valid = np.zeros((self.num_clips, 0), np.bool_)
            self.patch_share = np.zeros((self.num_clips, 0), np.float32)

    def _read_clip_columns(self) -> None:
        table = _read_table(self.folder / layout.CLIP_COLUMNS, CLIP_SCHEMA, self.num_clips)
        videos = table.column("video_id").combine_chunks()
        if isinstance(videos, pa.ChunkedArray):
            videos = pa.concat_arrays(videos.chunks)
        self.video_ids: list[str] = videos.dictionary.to_pylist()
        self.video_code: NDArray[np.int32] = videos.indices.to_numpy().astype(np.int32)
        self.clip_rows: NDArray[np.int64] = table.column("clip_row").to_numpy()
        self.start_s: NDArray[np.float64] = table.column("start_s").to_numpy()
        self.end_s: NDArray[np.float64] = table.column("end_s").to_numpy()

    def _open_entities(self) -> None:
        settings = self._settings
        entities = settings.num_entities
        table = _read_table(self.folder / layout.ENTITY_COLUMNS, ENTITY_SCHEMA, self.num_clips * entities)
        self.is_valid = table.column("is_valid").to_numpy().reshape(self.num_clips, entities)
        self.patch_share = table.column("patch_share").to_numpy().reshape(self.num_clips, entities)
        self.entities = self._vectors(layout.ENTITY_VECTORS, (entities, settings.width))
        planes = (num_planes(entities), packed_bytes(settings.num_frames, settings.num_patches))
        self._packed = self._memmap(layout.ASSIGNMENT, (self.num_clips, *planes), np.dtype(np.uint8))

    def _vectors(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float16]:
        return self._memmap(name, (self.num_clips, *shape), np.dtype(np.float16))

    def _memmap(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        file = self.folder / name
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise IndexFormatError(f"{file}: cannot be read as npy: {error}") from error
        if array.shape != shape or array.dtype != dtype:
            raise IndexFormatError(f"{file}: holds {array.dtype}{array.shape}, expected {dtype}{shape}")
        # A plain view: indexing np.memmap itself costs a Python call per result.
        return np.asarray(array)

    def check(self) -> None:
        """Reads every byte and passes when all are as written.

        Raises:
            IndexFormatError: a file is missing or damaged.
        """
        for file in self.files:
            check_file(self.folder / file.name, file.sha256, file.num_bytes)

    def assignment(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, T, K) the entity of each patch; (n, 0, 0) when there are no entities."""
        if not self._settings.num_entities:
            return np.zeros((len(rows), 0, 0), np.uint8)
        return unpack_assignment(self._packed[rows], self._settings.num_frames, self._settings.num_patches)

    def rows(self, rows: NDArray[np.int64]) -> ClipRows:
        """Everything stored about some clips."""
        return ClipRows(
            clip_rows=self.clip_rows[rows],
            spans=np.stack([self.start_s[rows], self.end_s[rows]], axis=1),
            clip=self.clips[rows],
            entities=self.entities[rows],
            is_valid=self.is_valid[rows],
            patch_share=self.patch_share[rows],
            assignment=self.assignment(rows),
        )


CLIP_SCHEMA = pa.schema(
    [
        ("video_id", pa.dictionary(pa.int32(), pa.string())),
        ("clip_row", pa.int64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
    ]
)
"""Columns of clips.parquet, in the row order of clips.npy; `clip_row` counts within the video's plan."""

ENTITY_SCHEMA = pa.schema(
    [("clip", pa.int64()), ("slot", pa.int16()), ("is_valid", pa.bool_()), ("patch_share", pa.float32())]
)
"""Columns of entities.parquet: row `clip * E + slot`, where `clip` is the row of clips.npy."""


def _check_size(file: Path, entry: FileEntry) -> None:
    try:
        found = f"{file.stat().st_size} bytes"
    except FileNotFoundError:
        found = "nothing"
    except OSError as error:
        raise IndexFormatError(f"{file}: cannot be read: {error.strerror or error}") from error
    if found != f"{entry.num_bytes} bytes":
        expected = f"{entry.num_bytes} bytes expected (sha256 {entry.sha256})"
        raise IndexFormatError(f"{file}: {found} found, {expected}")


def _read_table(file: Path, schema: pa.Schema, num_rows: int) -> pa.Table:
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise IndexFormatError(f"{file}: cannot be read as Parquet: {error}") from error
    if not table.schema.equals(schema) or table.num_rows != num_rows:
        raise IndexFormatError(
            f"{file}: has columns {table.schema.names} and {table.num_rows} rows, "
            f"expected {schema.names} and {num_rows}"
        )
    return table
