"""Processes that must not outlive the one that started them."""

import os
import threading
import time

_CHECK_S = 0.5


def end_with_parent(exit_code: int) -> None:
    """From now on this process ends within a second of its parent's end, even while its main thread hangs.

    A thread watches, so it needs an interpreter that still runs; a parent that is gone before the call is not missed.
    """
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent, exit_code), name="end-with-parent", daemon=True).start()


def _watch(parent: int, exit_code: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_S)
    os._exit(exit_code)
