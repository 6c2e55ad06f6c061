"""One process per video: a leak or a crash of the drawing library ends with the video, and Ctrl-C ends all quietly."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import ModuleType
from typing import Generic, NamedTuple, TypeVar

from henasy.errors import ConfigError

Item = TypeVar("Item")
Report = Callable[[int], None]


class Step(NamedTuple, Generic[Item]):
    """Progress on one item."""

    item: Item
    num_frames: int
    """Drawn since the item's last step"""
    is_done: bool


def run_each(work: Callable[[Item, Report], None], items: Sequence[Item], workers: int) -> Iterator[Step[Item]]:
    """The steps of `work(item, report)` for every item, each item in a fresh process, `workers` at a time.

    A closed iterator, or an error, stops what is still running. The main script is not imported again, so `work`
    must not be of it.

    Raises:
        ConfigError: `work` raised it.
        ChildProcessError: a process was killed or crashed.
        KeyboardInterrupt: a process was ended by Ctrl-C.
        OSError: `work` raised it, e.g. because the disk is full.
        RuntimeError: `work` raised anything else; holds its traceback.
    """
    waiting = list(reversed(items))
    running: dict[Connection, tuple[Item, SpawnProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                item = waiting.pop()
                pipe, process = _started(work, item)
                running[pipe] = item, process
            for pipe in [pipe for pipe in wait(list(running)) if isinstance(pipe, Connection)]:
                item, process = running[pipe]
                step = _step(pipe, item, process)
                if step.is_done:
                    del running[pipe]
                yield step
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def _started(work: Callable[[Item, Report], None], item: Item) -> tuple[Connection, SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, item, theirs), daemon=True)
    with _without_main_script():
        process.start()
    theirs.close()
    return ours, process


@contextmanager
def _without_main_script() -> Iterator[None]:
    """Spawned processes would run the main script's imports again: torch's, in each of a training's 840 videos."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _step(pipe: Connection, item: Item, process: SpawnProcess) -> Step[Item]:
    try:
        message = pipe.recv()
    except EOFError:
        process.join()
        pipe.close()
        if process.exitcode == -signal.SIGINT:
            # Ctrl-C was for all of them; the child's end can be seen before this process hears of it.
            raise KeyboardInterrupt from None
        if process.exitcode:
            raise ChildProcessError(
                f"{item}: its process was killed or crashed, exit code {process.exitcode}"
            ) from None
        return Step(item, 0, True)
    if isinstance(message, Exception):
        raise message
    return Step(item, int(message), False)


def _run(work: Callable[[Item, Report], None], item: Item, pipe: Connection) -> None:
    # Ctrl-C reaches the whole group of processes; the parent answers it, this one just ends.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        work(item, pipe.send)
    except BrokenPipeError:
        # The parent is gone, so nobody wants the video.
        os._exit(1)
    except ConfigError as error:
        pipe.send(error)
    except OSError as error:
        # PyAV's own kinds of OSError do not travel between processes.
        pipe.send(OSError(error.errno, error.strerror or str(error), error.filename))
    except Exception:
        pipe.send(RuntimeError(f"{item}:\n{traceback.format_exc()}"))
