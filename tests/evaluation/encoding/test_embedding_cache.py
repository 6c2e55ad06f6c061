"""The cache of embeddings: what was stored comes back, and nothing else ever does."""

import errno
import multiprocessing
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from henasy.evaluation.encoding import embedding_cache
from henasy.evaluation.encoding.embedding_cache import Arrays, entry_path, load_entry, store_entry

KEY = {"space": "a", "spans": "b"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "henasy" / "embeddings"


def arrays() -> Arrays:
    rng = np.random.default_rng(0)
    return {
        "clip": rng.standard_normal((5, 7)).astype(np.float32),
        "is_valid": rng.random((5, 3)) > 0.5,
        "assignment": rng.integers(0, 4, (5, 2, 9)).astype(np.uint8),
        "entities": np.zeros((5, 0, 7), np.float32),
    }


def assert_equal(found: Arrays | None, wanted: Arrays) -> None:
    assert found is not None
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_an_entry_comes_back_under_its_own_key_only() -> None:
    assert load_entry(KEY) is None
    store_entry(KEY, arrays())
    assert_equal(load_entry(KEY), arrays())
    assert load_entry({**KEY, "spans": "c"}) is None
    assert load_entry({**KEY, "dtype": "bfloat16"}) is None


def test_any_flipped_byte_is_noticed_or_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    store_entry(KEY, arrays())
    content = entry_path(KEY).read_bytes()
    num_noticed = 0
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x5A
        entry_path(KEY).write_bytes(damaged)
        found = load_entry(KEY)
        if found is None:
            num_noticed += 1
        else:
            assert_equal(found, arrays())
    assert num_noticed > len(content) / 14
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_cut_file_is_noticed_and_replaced(length: int, capsys: pytest.CaptureFixture[str]) -> None:
    store_entry(KEY, arrays())
    entry_path(KEY).write_bytes(entry_path(KEY).read_bytes()[:length])
    assert load_entry(KEY) is None
    assert f"{entry_path(KEY)} is damaged" in capsys.readouterr().err
    store_entry(KEY, arrays())
    assert_equal(load_entry(KEY), arrays())


def test_an_entry_under_another_s_name_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    store_entry(KEY, arrays())
    other = {**KEY, "space": "z"}
    entry_path(KEY).rename(entry_path(other))
    assert load_entry(other) is None
    assert "of other embeddings" in capsys.readouterr().err


def test_a_full_disk_costs_only_a_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(embedding_cache.os, "fsync", full)
    store_entry(KEY, arrays())
    assert "No space left" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
    assert load_entry(KEY) is None


def _store_with_little_room(num_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    store_entry(KEY, {"clip": np.zeros((200, 500), np.float32), "texts": np.zeros((200, 500), np.float32)})


@pytest.mark.parametrize("num_bytes", [10, 10_000, 401_000, 800_100])
def test_a_disk_that_fills_up_while_writing_costs_nothing(folder: Path, num_bytes: int) -> None:
    writer = multiprocessing.get_context("fork").Process(target=_store_with_little_room, args=(num_bytes,))
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    assert list(folder.iterdir()) == []
    assert load_entry(KEY) is None


def test_a_cache_that_cannot_be_made_costs_only_a_message(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.parent.mkdir()
    folder.write_text("a file in the place of the folder")
    store_entry(KEY, arrays())
    assert "not kept" in capsys.readouterr().err
    assert load_entry(KEY) is None


def test_what_killed_runs_left_goes_once_it_is_old(folder: Path) -> None:
    folder.mkdir(parents=True)
    old, new = folder / "old.unfinished", folder / "new.unfinished"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    store_entry(KEY, arrays())
    assert not old.exists()
    assert new.exists()


def _store_often(start: float) -> None:
    for _ in range(20):
        store_entry(KEY, {"clip": np.full((200, 50), start, np.float32)})


def test_writers_at_once_leave_one_whole_entry(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_store_often, args=(start,)) for start in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found = load_entry(KEY)
        assert found is None or len(np.unique(found["clip"])) == 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert load_entry(KEY) is not None
    assert [path.suffix for path in folder.iterdir()] == [".npz"]
