"""The build on Ray: one session for all of it, since each takes seconds to start."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import local_build
import pytest
from local_build import SETTINGS, ColourEncoder, build_locally, write_clip

from henasy.errors import HenasyError
from henasy.index import Index, logical_digest
from henasy.video import ClipBatch, RefusedClips, read_clips
from indexer.build import BuildRequest, build
from indexer.progress import Silent
from indexer.ray_workers import RayConfig, RayWorkers, ray


def load_colours(device: str, threads: int | None) -> ColourEncoder:
    assert (device, threads) == ("cpu", 1)
    return ColourEncoder()


def load_nothing(device: str, threads: int | None) -> ColourEncoder:
    raise RuntimeError("no such weights")


def read_or_die(file: str, *args: object, **options: object) -> Iterator[ClipBatch | RefusedClips]:
    """A decoder that some files make crash or hang after their first batch."""
    for item in read_clips(file, *args, **options):  # type: ignore[arg-type]
        yield item
        if "crash" in file:
            os._exit(11)
        if "hang" in file:
            options["on_progress"]()  # type: ignore[operator]
            time.sleep(1000)


@pytest.fixture(autouse=True)
def portable() -> None:
    """Workers cannot import test modules: their functions travel by value."""
    for module in (local_build, __import__(__name__)):
        ray.cloudpickle.register_pickle_by_value(module)


def require_clear_failure(videos: Path, index: Path, config: RayConfig) -> None:
    """An encoder that does not start fails the build with its own words; Ray, already running, is used as it is."""
    request = BuildRequest(videos=(videos / "good 0.mp4",), index=index, settings=SETTINGS)
    with (
        RayWorkers(config, SETTINGS, load_nothing) as workers,
        pytest.raises(HenasyError, match=r"^an encoder does not start: RuntimeError: no such weights$"),
    ):
        build(request, workers, Silent())
    assert ray.is_initialized()


def test_build_on_ray_survives_decoders_that_crash_or_hang(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    for seed in range(5):
        write_clip(videos / f"good {seed}.mp4", 1.5 + seed, seed=seed)
    _, expected, _ = build_locally(videos, tmp_path / "local")
    write_clip(videos / "crash.mp4", 20.0, seed=8)
    write_clip(videos / "hang.mp4", 20.0, seed=9)
    (videos / "text.mp4").write_text("not a video", encoding="utf-8")
    request = BuildRequest(videos=(videos,), index=tmp_path / "index", settings=SETTINGS)
    config = RayConfig(num_decoders=2, device="cpu", stall_s=2.0)
    with RayWorkers(config, SETTINGS, load_colours, read_or_die) as workers:
        outcome = build(request, workers, Silent())
        require_clear_failure(videos, tmp_path / "other index", config)
    reasons = {Path(one.file).name: one.reason for one in outcome.refused}
    assert set(reasons) == {"crash.mp4", "hang.mp4", "text.mp4"}
    assert reasons["crash.mp4"] == reasons["hang.mp4"]
    assert reasons["hang.mp4"] == "the decoder crashed, or did not advance for 2 s, 2 times"
    assert logical_digest(Index.open(tmp_path / "index")) == logical_digest(expected)
    assert not ray.is_initialized()
