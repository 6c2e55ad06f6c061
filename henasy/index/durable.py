"""Files that are either wholly there or not at all, even after a power cut."""

import hashlib
import os
import secrets
from pathlib import Path

from henasy.errors import IndexFormatError
from henasy.index.layout import TEMPORARY_SUFFIX

_BLOCK_BYTES = 4 << 20


def temporary_path(path: Path) -> Path:
    """A sibling name that no reader looks at and that a later writer sweeps away."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def sync_folder(folder: Path) -> None:
    """Makes the names inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Makes the bytes of a file, written by somebody else, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes) -> str:
    """Writes a file that is synced before it gets its name; returns its sha256."""
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return hashlib.sha256(content).hexdigest()


def publish_folder(temporary: Path, final: Path) -> None:
    """Gives a finished folder its name; its files must have been synced."""
    sync_folder(temporary)
    os.replace(temporary, final)
    sync_folder(final.parent)


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def check_file(path: Path, sha256: str, num_bytes: int | None = None) -> None:
    """Passes when a file is there with the bytes that were once written.

    Raises:
        IndexFormatError: the file is missing, cannot be read, or its size or sha256 differs.
    """
    try:
        if not path.is_file():
            raise IndexFormatError(f"{path}: missing (sha256 {sha256} expected)")
        found_bytes = path.stat().st_size
        if num_bytes is not None and found_bytes != num_bytes:
            raise IndexFormatError(f"{path}: has {found_bytes} bytes, {num_bytes} expected (sha256 {sha256})")
        found = sha256_of(path)
    except OSError as error:
        reason = error.strerror or error
        raise IndexFormatError(f"{path}: cannot be read: {reason} (sha256 {sha256} expected)") from error
    if found != sha256:
        raise IndexFormatError(f"{path}: damaged, sha256 is {found}, {sha256} expected")
