"""Sources read ahead by threads: their items in order, only so far ahead, and an end when nobody wants more."""

import threading
import time
from collections.abc import Iterator

import pytest

from henasy.evaluation.encoding.ahead import read_ahead

NAMES = [str(number) for number in range(7)]


@pytest.mark.parametrize("num_threads", [1, 3, 20])
def test_items_come_source_by_source_however_many_threads_read(num_threads: int) -> None:
    def read(name: str) -> Iterator[tuple[str, int]]:
        for number in range(int(name) % 3):  # some have none
            time.sleep(0.002 * (7 - int(name)))  # the first are the slowest
            yield name, number

    expected = [(name, number) for name in NAMES for number in range(int(name) % 3)]
    assert list(read_ahead(read, NAMES, num_threads)) == expected
    assert list(read_ahead(read, [], num_threads)) == []


def test_sources_are_read_at_the_same_time_and_only_a_few_items_ahead() -> None:
    together = threading.Barrier(3, timeout=10)
    made: list[str] = []

    def read(name: str) -> Iterator[str]:
        together.wait()  # passes only if three sources are under way
        for number in range(50):
            made.append(f"{name}.{number}")
            yield made[-1]

    items = read_ahead(read, NAMES[:3], 3)
    assert next(items) == "0.0"
    time.sleep(0.5)
    assert {name: sum(one.startswith(name) for one in made) for name in NAMES[:3]} == {"0": 4, "1": 3, "2": 3}
    assert len(list(items)) == 149


def test_error_comes_where_it_arose() -> None:
    def read(name: str) -> Iterator[str]:
        yield name
        if name == "2":
            raise ValueError("broken")

    items = read_ahead(read, NAMES, 2)
    assert [next(items) for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(ValueError, match="broken"):
        next(items)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_reading_ends_with_whoever_takes_the_items() -> None:
    begun: list[str] = []

    def read(name: str) -> Iterator[str]:
        begun.append(name)
        while True:
            yield name

    items = read_ahead(read, NAMES, 2)
    assert next(items) == "0"
    items.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
    assert set(begun) <= {"0", "1"}
