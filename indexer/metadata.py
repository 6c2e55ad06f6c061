"""Columns that the user gives for videos, from a CSV or Parquet file."""

import datetime
import decimal
import math
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from henasy.errors import AnnotationError
from henasy.index import VideoRecord
from henasy.index.videos import MetadataValue

KEY_COLUMNS = ("path", "video", "file")
"""The column that says which video a row is about: one of these."""

MetadataRows = Mapping[str, Mapping[str, MetadataValue]]
"""Value of the key column -> the other columns."""


class Joined(NamedTuple):
    """Which video got which columns."""

    of_video: dict[str, Mapping[str, MetadataValue]]
    unmatched: tuple[str, ...]
    """Keys that no video of the index answers to."""


def read_metadata(file: Path) -> MetadataRows:
    """The rows of a metadata file.

    Raises:
        AnnotationError: it cannot be read, has no key column, or names a video twice.
    """
    table = _read_table(file)
    key = next((name for name in KEY_COLUMNS if name in table.column_names), None)
    if key is None:
        raise AnnotationError(
            f"{file}: has columns {', '.join(table.column_names)}; one must be called {' or '.join(KEY_COLUMNS)}"
        )
    rows: dict[str, dict[str, MetadataValue]] = {}
    for number, row in enumerate(table.to_pylist()):
        name = str(row.pop(key) or "")
        if not name:
            raise AnnotationError(f"{file}: row {number} has no {key}")
        if name in rows:
            raise AnnotationError(f"{file}: row {number} names {name!r} for the second time")
        rows[name] = {column: _plain(value, column, file) for column, value in row.items()}
    return rows


def join_metadata(rows: MetadataRows, videos: Iterable[VideoRecord]) -> Joined:
    """Gives each row to the video whose path, relative path, file name or stem is its key.

    Raises:
        AnnotationError: a key fits several videos.
    """
    names: dict[str, set[str]] = {}
    for record in videos:
        for name in _names(record):
            names.setdefault(name, set()).add(record.video_id)
    joined: dict[str, Mapping[str, MetadataValue]] = {}
    unmatched = []
    for key, columns in rows.items():
        fitting = names.get(key, set())
        if len(fitting) > 1:
            raise AnnotationError(f"metadata: {key!r} fits {len(fitting)} videos; give the path below the folder")
        if not fitting:
            unmatched.append(key)
        joined.update(dict.fromkeys(fitting, columns))
    return Joined(joined, tuple(unmatched))


def _names(record: VideoRecord) -> set[str]:
    names = {record.path, record.video_id}
    for file in record.files:
        names |= {str(file), file.name, PurePath(file.name).stem}
    return names


def _read_table(file: Path) -> pa.Table:
    try:
        if file.suffix.lower() == ".parquet":
            return pq.read_table(file)
        delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
        options = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        return pyarrow.csv.read_csv(file, parse_options=options)
    except FileNotFoundError as error:
        raise AnnotationError(f"{file}: does not exist") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise AnnotationError(f"{file}: cannot be read as CSV or Parquet: {error}") from error


def _plain(value: object, column: str, file: Path) -> MetadataValue:
    if isinstance(value, decimal.Decimal):
        value = float(value)
    # Tables of pandas write NaN for a missing number; it equals nothing, itself included, so nothing can ask for it.
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    raise AnnotationError(f"{file}: column {column} holds {type(value).__name__}; allowed are text, numbers, dates")
