"""A server whose index gets newer generations while it answers."""

import time
from pathlib import Path

import pytest
from small_world import WordEncoder, write_index

from henasy.index.reader import Index
from henasy.search.request import SearchRequest
from service.client import HenasyClient
from service.live import LiveEngine
from service.server import SearchServer, ServerConfig


def test_a_new_generation_is_taken_up(tmp_path: Path) -> None:
    write_index(tmp_path, num_videos=2)
    live_root = tmp_path
    with _serving_as_it_is(live_root) as server, HenasyClient(server.address) as client:
        assert client.index().num_videos == 2
        write_index(tmp_path, num_videos=4)
        deadline = time.monotonic() + 10
        while client.index().generation == 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert client.index().num_videos == 4
        assert client.answer(SearchRequest(queries=("mug",))).generation == 2


def test_a_damaged_generation_is_not_taken_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_index(tmp_path, num_videos=2)
    with _serving_as_it_is(tmp_path) as server, HenasyClient(server.address) as client:
        (path / "CURRENT").write_text("7\n")
        time.sleep(0.5)
        assert client.search("mug")
        assert client.index().generation == 1
    assert caplog.text.count("goes on answering") == 1


@pytest.mark.parametrize("is_checked", [True, False])
def test_new_parts_are_checked_as_the_start_was_told_to(tmp_path: Path, is_checked: bool) -> None:
    path = write_index(tmp_path, num_videos=2)
    live = LiveEngine(Index.open(path), WordEncoder(), is_checked=is_checked)  # type: ignore[arg-type]
    (old,) = path.glob("parts/*/clips.npy")
    write_index(tmp_path, num_videos=4)
    for file in path.glob("parts/*/clips.npy"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        if file != old:
            file.write_bytes(content)
    assert live.refresh() is not is_checked
    assert live.current.index.generation == (1 if is_checked else 2)
    live.close()


def _serving_as_it_is(root: Path) -> SearchServer:
    live = LiveEngine(Index.open(root / "index"), WordEncoder())  # type: ignore[arg-type]
    return SearchServer(live, ServerConfig(port=0, reload_s=0.05, grace_s=5.0))
