"""Files that appear whole or not at all, and a folder with one writer at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from henasy.errors import InputError

_UNFINISHED = ".unfinished"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write to; what was written there is `path` after the block, or gone if the block failed.

    The name holds the process id, so that what a killed run left running cannot spoil the next run's file.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file as a whole."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="")


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Holds the folder until the end of the block; the system lets go of it if the process dies.

    Raises:
        InputError: another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "folder", f"{folder} is being written by another process; wait for it or stop it"
            ) from None
        yield
    finally:
        os.close(handle)


def drop_unfinished(folder: Path) -> None:
    """Removes what killed runs left half written below the folder; only its sole writer may call this."""
    for path in folder.rglob(f"*{_UNFINISHED}"):
        path.unlink(missing_ok=True)
