"""One writer at a time; a killed writer's lock is gone with it."""

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType

from henasy.errors import IndexBusyError
from henasy.index import layout


class WriterLock:
    """Holds the lock of an index from construction to `release`."""

    def __init__(self, root: Path) -> None:
        """Takes the lock.

        Raises:
            IndexBusyError: another writer holds it; the message names its process.
        """
        root.mkdir(parents=True, exist_ok=True)
        self._file = (root / layout.LOCK).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise IndexBusyError(f"{root}: another writer holds the index ({holder})") from error
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def release(self) -> None:
        """Lets the next writer in. The file stays: deleting it would let two writers in."""
        self._file.close()

    def __enter__(self) -> "WriterLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
