"""A long Parquet file made in parts, so that whoever makes it may be killed at any moment.

    OUT.parts/about.json          what is being made of what; something else does not go on here
    OUT.parts/part-000000.parquet one per `part_rows` rows, each written under another name and renamed
    OUT                           all parts one behind the other, once there are all; then the parts go

A part that is there is never made again; a kill costs the part that was being made. The whole file says in its metadata
what it is, so that the same command does nothing once it is there.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from henasy.errors import ConfigError

ABOUT = "about.json"
_METADATA = b"henasy"


class TableParts:
    """The parts of one file."""

    def __init__(self, out: Path, about: Mapping[str, Any], *, num_rows: int, part_rows: int) -> None:
        """Claims the parts' folder, or goes on in it.

        Args:
            out: the whole file.
            about: what fixes its content, as JSON values.
            num_rows: rows of the input, each made into one row of the file.
            part_rows: rows of a part.

        Raises:
            ConfigError: the file is there but of something else, the folder holds parts of something else, or
                `part_rows` is not above 0.
        """
        if part_rows < 1:
            raise ConfigError(f"part_rows is {part_rows}; it must be at least 1")
        self.out, self.num_rows, self.part_rows = out, num_rows, part_rows
        self.folder = out.with_name(f"{out.name}.parts")
        self._about = {**about, "num_rows": num_rows}
        self.is_done = out.exists()
        """Whether the whole file is there."""
        if self.is_done:
            self._refuse_change(out, _metadata(out), self._about)
        else:
            self._claim({**self._about, "part_rows": part_rows})

    @property
    def num_parts(self) -> int:
        """Parts of the whole file."""
        return -(-self.num_rows // self.part_rows)

    def missing(self) -> list[int]:
        """Parts that are not there yet."""
        return [part for part in range(self.num_parts) if not self._path(part).exists()]

    def rows(self, part: int) -> range:
        """The input's rows of a part."""
        return range(part * self.part_rows, min((part + 1) * self.part_rows, self.num_rows))

    def make(self, part: int, table: pa.Table) -> None:
        """Writes a part."""
        assert table.num_rows == len(self.rows(part))
        _write(self._path(part), lambda path: pq.write_table(table, path))

    def tables(self) -> Iterator[pa.Table]:
        """Every part with all its columns, in order."""
        for part in range(self.num_parts):
            yield pq.read_table(self._path(part))

    def join(self, schema: pa.Schema) -> None:
        """Writes the whole file from the columns of `schema`, which parts may have more of, and drops the parts."""
        assert not self.missing()
        told = schema.with_metadata({_METADATA: json.dumps(self._about).encode()})

        def write(path: Path) -> None:
            with pq.ParquetWriter(path, told) as writer:
                for table in self.tables():
                    writer.write_table(table.select(schema.names).cast(told))

        _write(self.out, write)
        shutil.rmtree(self.folder)

    def _path(self, part: int) -> Path:
        return self.folder / f"part-{part:06d}.parquet"

    def _claim(self, about: dict[str, Any]) -> None:
        path = self.folder / ABOUT
        if path.exists():
            self._refuse_change(self.folder, json.loads(path.read_text(encoding="utf-8")), about)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(path, lambda fresh: _write_text(fresh, json.dumps(about, indent=2)))

    def _refuse_change(self, path: Path, stored: dict[str, Any], about: dict[str, Any]) -> None:
        changed = {name: (stored.get(name), about[name]) for name in about if stored.get(name) != about[name]}
        if changed:
            raise ConfigError(f"{path} is of something else (stored, asked): {changed}; remove it")


def _metadata(path: Path) -> dict[str, Any]:
    try:
        told = pq.read_schema(path).metadata or {}
        stored: dict[str, Any] = json.loads(told.get(_METADATA, b"{}"))
    except (pa.ArrowInvalid, ValueError) as error:
        raise ConfigError(f"{path} is there and was not made by this: {error}") from error
    return stored


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write(path: Path, write: Callable[[Path], None]) -> None:
    """A file that is either wholly there or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write(fresh)
        _sync(fresh)
        os.replace(fresh, path)
        _sync(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
