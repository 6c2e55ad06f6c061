"""manifest.json: what one generation consists of, with the checksum of every file it stands on."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from henasy.errors import IndexFormatError
from henasy.index.layout import FORMAT_VERSION
from henasy.index.settings import IndexSettings


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A file and the bytes it must have."""

    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class PartEntry:
    """An immutable part that a generation uses."""

    part_id: str
    num_clips: int
    """Rows of the part, dropped ones included."""
    num_dropped: int
    """Rows that this generation no longer holds; above 0 there is a tombstones file."""
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One published state of an index."""

    generation: int
    settings: IndexSettings
    created: str
    """ISO 8601 time, UTC; for people."""
    parts: tuple[PartEntry, ...]
    files: tuple[FileEntry, ...]
    """The other files of the generation's folder."""

    def to_bytes(self) -> bytes:
        """The manifest as JSON that carries its own checksum."""
        body = {
            "format_version": FORMAT_VERSION,
            "generation": self.generation,
            "created": self.created,
            "settings": self.settings.to_json(),
            "parts": [dataclasses.asdict(part) for part in self.parts],
            "files": [dataclasses.asdict(file) for file in self.files],
        }
        return json.dumps({"sha256": _checksum(body), **body}, indent=1, ensure_ascii=False).encode()


def read_manifest(file: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        IndexFormatError: it is missing, cannot be read, is damaged, or of another format version.
    """
    try:
        body = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise IndexFormatError(f"{file}: missing") from error
    except OSError as error:
        raise IndexFormatError(f"{file}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise IndexFormatError(f"{file}: damaged, is not JSON: {error}") from error
    if not isinstance(body, dict) or "sha256" not in body or "format_version" not in body:
        raise IndexFormatError(f"{file}: damaged, is not a manifest")
    expected = body.pop("sha256")
    version = body["format_version"]
    if version != FORMAT_VERSION:
        raise IndexFormatError(f"{file}: format version {version}, this program reads {FORMAT_VERSION}")
    found = _checksum(body)
    if found != expected:
        raise IndexFormatError(f"{file}: damaged, sha256 is {found}, {expected} expected")
    return _from_body(body)


def _from_body(body: Mapping[str, Any]) -> Manifest:
    return Manifest(
        generation=body["generation"],
        settings=IndexSettings.from_json(body["settings"]),
        created=body["created"],
        parts=tuple(_part(part) for part in body["parts"]),
        files=_files(body["files"]),
    )


def _part(body: Mapping[str, Any]) -> PartEntry:
    return PartEntry(**{**body, "files": _files(body["files"])})


def _files(entries: list[dict[str, Any]]) -> tuple[FileEntry, ...]:
    return tuple(FileEntry(**entry) for entry in entries)


def _checksum(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
