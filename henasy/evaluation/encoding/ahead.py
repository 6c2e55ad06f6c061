"""Several sources read at a time, their items taken in order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from threading import Event
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
NUM_HELD = 2
"""Items that wait per source, beside the one that its thread holds."""
_POLL_S = 0.1


class _Source(NamedTuple, Generic[Item]):
    """A source that a thread reads."""

    items: Queue[Item | None]
    """None behind the last."""
    reading: Future[None]


def read_ahead(read: Callable[[str], Iterator[Item]], names: Sequence[str], num_threads: int) -> Iterator[Item]:
    """The items of all sources, source by source; threads read the next ones meanwhile, a few items ahead each.

    Args:
        read: the items of a source, which are never None. Decoding and file access must not hold the interpreter's
            lock for this to be of use.
        names: the sources, in the order in which their items are wanted.
        num_threads: sources that are read at a time, 1 or more.

    Raises:
        Exception: whatever `read` raises, when that place is reached.
    """
    is_over = Event()

    def fill(name: str, items: Queue[Item | None]) -> None:
        try:
            for item in read(name):
                if not _put(items, item, is_over):
                    return
        finally:
            _put(items, None, is_over)

    coming: deque[_Source[Item]] = deque()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="ahead") as threads:
        try:
            for place in range(len(names) + num_threads):
                if place < len(names):
                    items: Queue[Item | None] = Queue(NUM_HELD)
                    coming.append(_Source(items, threads.submit(fill, names[place], items)))
                if place >= num_threads and coming:
                    yield from _drained(coming.popleft())
        finally:
            is_over.set()
            threads.shutdown(wait=False, cancel_futures=True)


def _drained(source: _Source[Item]) -> Iterator[Item]:
    while (item := source.items.get()) is not None:
        yield item
    source.reading.result()


def _put(items: Queue[Item | None], item: Item | None, is_over: Event) -> bool:
    """Whether the item was still wanted; waits for room."""
    while not is_over.is_set():
        try:
            items.put(item, timeout=_POLL_S)
            return True
        except Full:
            continue
    return False
