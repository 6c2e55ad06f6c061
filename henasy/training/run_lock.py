"""One run at a time in a folder."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from henasy.errors import TrainingError

_LOCK = ".lock"
_POLL_S = 0.2


@contextmanager
def run_lock(folder: Path, *, patience_s: float, report: Callable[[str], None]) -> Iterator[None]:
    """Holds a run's folder; the system lets go of it when the process dies, however it does.

    Processes whose starter was killed live on for seconds, so another holder is waited for.

    Raises:
        TrainingError: another process trains there and does not end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(descriptor, folder, patience_s, report)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path, patience_s: float, report: Callable[[str], None]) -> None:
    deadline_s, has_told = time.monotonic() + patience_s, False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise TrainingError(f"{folder}: another process trains here; wait for it or end it") from None
        if not has_told:
            report(f"{folder}: waiting for another process that trains here to end")
            has_told = True
        time.sleep(_POLL_S)
