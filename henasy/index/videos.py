"""The videos of an index and the files that could not be read, as tables."""

import dataclasses
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from henasy.errors import IndexFormatError, NotFoundError

MetadataValue = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class VideoRecord:
    """One video, known by its content."""

    video_id: str
    """Short name of the content; stable under renaming."""
    fingerprint: str
    """What the content was recognised by."""
    root: str
    """Absolute folder that was given to the build."""
    path: str
    """Path relative to `root`, as last seen."""
    copies: tuple[str, ...] = ()
    """Absolute paths of other files with the same content."""
    copies_modified_ns: tuple[int, ...] = ()
    """Modification time of each copy; -1 where it is not known."""
    size_bytes: int
    modified_ns: int
    """Modification time of the file when it was read; tells a changed file without reading it."""
    duration_s: float
    fps: float
    num_frames: int
    width_px: int
    height_px: int
    rotation_deg: int
    codec: str
    num_clips: int
    """Clips in the video's plan; refused ones have no row."""
    is_online: bool = True
    """False when the file was not found by the last build."""
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    """The columns that `--metadata` gave for this video."""

    @property
    def file(self) -> Path:
        """Absolute path of the file, as last seen."""
        return Path(self.root) / self.path

    @property
    def files(self) -> tuple[Path, ...]:
        """Absolute paths of all files with this content."""
        return (self.file, *(Path(copy) for copy in self.copies))

    @property
    def times_ns(self) -> dict[str, int]:
        """Absolute path -> modification time, of all files with this content."""
        return {str(self.file): self.modified_ns, **dict(zip(self.copies, self.copies_modified_ns, strict=True))}


@dataclass(frozen=True, kw_only=True)
class RefusedRecord:
    """A file, or some clips of one, that could not be read."""

    file: str
    """Absolute path."""
    size_bytes: int
    modified_ns: int
    """With the size: tells whether the file has changed since."""
    video_id: str
    """Empty when not even the content could be recognised."""
    clip_rows: tuple[int, int] | None
    """Half-open range of clips in the video's plan; None when the whole file is refused."""
    reason: str


class VideoTable:
    """The videos of one generation, in the order of their ids."""

    def __init__(self, records: Iterable[VideoRecord]) -> None:
        self._records = sorted(records, key=lambda record: record.video_id)
        self._rows = {record.video_id: row for row, record in enumerate(self._records)}
        if len(self._rows) != len(self._records):
            raise IndexFormatError("videos: a video_id appears twice")

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[VideoRecord]:
        return iter(self._records)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._rows

    def __getitem__(self, row: int) -> VideoRecord:
        return self._records[row]

    def row_of(self, video_id: str) -> int:
        """The video's row in this table.

        Raises:
            NotFoundError: no such video.
        """
        try:
            return self._rows[video_id]
        except KeyError:
            raise NotFoundError(f"video_id: {video_id!r} is not in the index") from None

    def get(self, video_id: str) -> VideoRecord:
        """The video of that id.

        Raises:
            NotFoundError: no such video.
        """
        return self._records[self.row_of(video_id)]


def videos_to_parquet(videos: Iterable[VideoRecord]) -> bytes:
    """The bytes of videos.parquet; metadata is one column of JSON, since its columns differ by user."""
    rows = [dataclasses.asdict(record) for record in videos]
    for row in rows:
        row["metadata"] = json.dumps(row["metadata"], sort_keys=True, ensure_ascii=False)
    return _to_parquet(rows, _VIDEO_SCHEMA)


def videos_from_parquet(file: Path) -> VideoTable:
    """The table that `videos_to_parquet` wrote.

    Raises:
        IndexFormatError: the file is not such a table.
    """
    rows = _from_parquet(file, _VIDEO_SCHEMA)
    for row in rows:
        row["metadata"] = json.loads(row["metadata"])
        row["copies"] = tuple(row["copies"])
        row["copies_modified_ns"] = tuple(row["copies_modified_ns"] or [-1] * len(row["copies"]))
    return VideoTable(VideoRecord(**row) for row in rows)


def refused_to_parquet(refused: Iterable[RefusedRecord]) -> bytes:
    """The bytes of quarantine.parquet."""
    return _to_parquet([dataclasses.asdict(record) for record in refused], _REFUSED_SCHEMA)


def refused_from_parquet(file: Path) -> tuple[RefusedRecord, ...]:
    """The records that `refused_to_parquet` wrote.

    Raises:
        IndexFormatError: the file is not such a table.
    """
    rows = _from_parquet(file, _REFUSED_SCHEMA)
    for row in rows:
        row["clip_rows"] = None if row["clip_rows"] is None else tuple(row["clip_rows"])
    return tuple(RefusedRecord(**row) for row in rows)


_COPY_TIMES = "copies_modified_ns"
_VIDEO_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("fingerprint", pa.string()),
        ("root", pa.string()),
        ("path", pa.string()),
        ("copies", pa.list_(pa.string())),
        (_COPY_TIMES, pa.list_(pa.int64())),
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),
        ("duration_s", pa.float64()),
        ("fps", pa.float64()),
        ("num_frames", pa.int64()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("rotation_deg", pa.int32()),
        ("codec", pa.string()),
        ("num_clips", pa.int64()),
        ("is_online", pa.bool_()),
        ("metadata", pa.string()),
    ]
)

_REFUSED_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),
        ("video_id", pa.string()),
        ("clip_rows", pa.list_(pa.int64(), 2)),
        ("reason", pa.string()),
    ]
)


def _to_parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _from_parquet(file: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise IndexFormatError(f"{file}: cannot be read as Parquet: {error}") from error
    if _COPY_TIMES in schema.names and _COPY_TIMES not in table.schema.names:
        # The one column that an index can do without: copies are then opened once more.
        place = schema.names.index(_COPY_TIMES)
        table = table.add_column(place, schema.field(place), pa.nulls(len(table), schema.field(place).type))
    if not table.schema.equals(schema):
        raise IndexFormatError(f"{file}: has columns {table.schema.names}, expected {schema.names}")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
