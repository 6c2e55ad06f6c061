"""A long Parquet file made in parts, so that whoever makes it may be killed at any moment.

    OUT.parts/about.json          what is being made of what; something else does not go on here
    OUT.parts/part-000000.parquet one per `part_rows` rows, each written under another name and renamed
    OUT                           all parts one behind the other, once there are all; then the parts go

A part that is there is never made again; a kill costs the part that was being made. Several processes, on machines that
see the folder, make the parts of their shares; whichever finds them all there joins them. The whole file says in its
metadata what it is, so that the same command does nothing once it is there.
"""

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from henasy.errors import ConfigError
from henasy.training.share import Share

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

    def fill(self, table_of: Callable[[range], pa.Table], share: Share, report: Callable[[str], None]) -> bool:
        """Makes the missing parts of a share; whether all parts of the file are there then.

        Args:
            table_of: makes what stands in some rows.
            share: every `size`-th part, from the `rank`-th on.
            report: is given a line per part.
        """
        own = [part for part in self.missing() if part % share.size == share.rank]
        num_there = self.num_parts - len(self.missing())
        if num_there:
            report(f"going on: {num_there} of {self.num_parts} parts are there")
        started_s = time.monotonic()
        for done, part in enumerate(own, start=1):
            self.make(part, table_of(self.rows(part)))
            left_h = (time.monotonic() - started_s) / done * (len(own) - done) / 3600
            report(f"part {part + 1} of {self.num_parts}: rows up to {self.rows(part).stop:,}, {left_h:.1f} h left")
        left = self.missing()
        if left:
            report(f"{len(left)} of {self.num_parts} parts are other processes'; the last of them writes {self.out}")
        return not left

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

    def join(self, schema: pa.Schema, before: Callable[[], None] = lambda: None) -> None:
        """Writes the whole file from the columns of `schema`, which parts may have more of, and drops the parts.

        Of several processes one does it, after calling `before`, and the others wait.
        """
        told = schema.with_metadata({_METADATA: json.dumps(self._about).encode()})

        def write(path: Path) -> None:
            with pq.ParquetWriter(path, told) as writer:
                for table in self.tables():
                    writer.write_table(table.select(schema.names).cast(told))

        try:
            with (self.folder / ABOUT).open("r+") as stream:  # NFS locks no file that is only read
                fcntl.flock(stream, fcntl.LOCK_EX)
                if not self.out.exists():
                    before()
                    _write(self.out, write)
                shutil.rmtree(self.folder, ignore_errors=True)
        except FileNotFoundError:
            if not self.out.exists():
                raise

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
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
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
