"""Finished work units on disk, until a generation takes them over.

A unit file: magic, sha256 of the rest, one line of JSON, then one npy array per column.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from henasy.errors import IndexFormatError
from henasy.index import layout
from henasy.index.durable import write_file
from henasy.index.rows import COLUMN_NAMES, ClipRows
from henasy.index.settings import IndexSettings

_MAGIC = b"henasy unit 1\n"
_HASH_BYTES = 32


class RefusedRows(NamedTuple):
    """Clips of a unit that could not be read."""

    start: int
    """First row in the video's plan."""
    stop: int
    """One past the last row."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class StagedUnit:
    """What one work unit gave: at most `layout.MAX_UNIT_CLIPS` clips of one video."""

    video_id: str
    unit: int
    """Number of the unit in its video, from 0."""
    rows: ClipRows
    refused: tuple[RefusedRows, ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """(video_id, unit)"""
        return self.video_id, self.unit

    @property
    def note(self) -> "StagedNote":
        """The unit without its rows."""
        return StagedNote(len(self.rows), self.refused)


class StagedNote(NamedTuple):
    """What is worth remembering of a staged unit."""

    num_clips: int
    refused: tuple[RefusedRows, ...]


class Staging:
    """The staged units of one space, plan and decoder. Files of others are ignored."""

    def __init__(self, root: Path, settings: IndexSettings) -> None:
        """Looks at, or makes, the staging folder of an index."""
        self._folder = root / layout.STAGING
        self._folder.mkdir(parents=True, exist_ok=True)
        self._settings = settings

    def write(self, unit: StagedUnit) -> None:
        """Makes a unit durable, replacing an earlier one.

        Raises:
            InputError: the arrays do not fit the index.
        """
        unit.rows.require_fit(self._settings)
        write_file(self._file(unit.video_id, unit.unit), _to_bytes(unit))

    def read(self, video_id: str, unit: int) -> StagedUnit:
        """A staged unit.

        Raises:
            IndexFormatError: it is missing or damaged.
        """
        return _from_bytes(self._file(video_id, unit))

    def units(self) -> Iterator[StagedUnit]:
        """All intact units; damaged ones are deleted, so that they are made again."""
        for file in sorted(self._folder.glob(f"*-{self._settings.space_key}-*{layout.UNIT_SUFFIX}")):
            try:
                unit = _from_bytes(file)
                unit.rows.require_fit(self._settings)
            except (IndexFormatError, ValueError):
                file.unlink()
                continue
            yield unit

    def delete(self, video_id: str, unit: int) -> None:
        """Deletes one unit."""
        self._file(video_id, unit).unlink(missing_ok=True)

    def clear(self) -> None:
        """Deletes all units, those of other spaces and plans too."""
        for file in self._folder.iterdir():
            file.unlink()

    def _file(self, video_id: str, unit: int) -> Path:
        return self._folder / layout.unit_name(video_id, self._settings.space_key, unit)


def _to_bytes(unit: StagedUnit) -> bytes:
    buffer = io.BytesIO()
    note = {"video_id": unit.video_id, "unit": unit.unit, "refused": unit.refused}
    buffer.write(json.dumps(note, ensure_ascii=False).encode() + b"\n")
    for name in COLUMN_NAMES:
        np.save(buffer, getattr(unit.rows, name), allow_pickle=False)
    payload = buffer.getvalue()
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def _from_bytes(file: Path) -> StagedUnit:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise IndexFormatError(f"{file}: cannot be read: {error}") from error
    start = len(_MAGIC) + _HASH_BYTES
    payload = content[start:]
    is_intact = content[: len(_MAGIC)] == _MAGIC
    if not is_intact or hashlib.sha256(payload).digest() != content[len(_MAGIC) : start]:
        raise IndexFormatError(f"{file}: damaged staging file")
    buffer = io.BytesIO(payload)
    note: dict[str, Any] = json.loads(buffer.readline())
    arrays = {name: np.load(buffer, allow_pickle=False) for name in COLUMN_NAMES}
    return StagedUnit(
        video_id=note["video_id"],
        unit=note["unit"],
        rows=ClipRows(**arrays),
        refused=tuple(RefusedRows(*one) for one in note["refused"]),
    )
