"""Single clips from child processes, within a time limit whatever the decoder does."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from barcode_video import Writing, regular_times, write_video
from spoiled_decoder import set_fate, spoil_decoders

from henasy.errors import VideoError
from henasy.video import ClipBatch, read_clips
from henasy.video.pool import ClipPool, read_clip

SPAN = (0.5, 1.5)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    writing = Writing(times_s=regular_times(60), options={"preset": "ultrafast"}, size=(90, 160))
    return write_video(tmp_path_factory.mktemp("content") / "video.mp4", writing).read_bytes()


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClipPool]:
    spoil_decoders(tmp_path / "site", monkeypatch)
    pool = ClipPool(1)
    yield pool
    pool.close()


def file_of(folder: Path, content: bytes, fate: str = "") -> Path:
    path = folder / f"{fate or 'good'}.mp4"
    path.write_bytes(content)
    set_fate(path, fate)
    return path


def test_a_clip_equals_the_one_read_directly(pool: ClipPool, tmp_path: Path, content: bytes) -> None:
    path = file_of(tmp_path, content)
    (direct,) = read_clips(path, [SPAN], 4)
    assert isinstance(direct, ClipBatch)
    for read in (read_clip, pool.read_clip, pool.read_clip):
        for name, array in vars(read(path, SPAN, 4, 60.0)).items():
            np.testing.assert_array_equal(array, getattr(direct, name))


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("crash", "was killed by SIGSEGV"),
        ("hang", "decoding was not finished in time"),
        ("endless", "decoding was not finished in time"),
    ],
)
def test_a_decoder_that_fails_costs_one_clip(
    pool: ClipPool, tmp_path: Path, content: bytes, fate: str, reason: str
) -> None:
    good = file_of(tmp_path, content)
    pool.read_clip(good, SPAN, 4, 60.0)
    began = time.monotonic()
    with pytest.raises(VideoError, match=rf"{fate}\.mp4: .*{reason}"):
        pool.read_clip(file_of(tmp_path, content, fate), SPAN, 4, 1.5)
    assert time.monotonic() - began < 30  # far below the 60 s without progress that a build allows
    assert len(pool.read_clip(good, SPAN, 4, 60.0).frame_rows) == 1


def test_no_idle_process_is_told_in_time(pool: ClipPool, tmp_path: Path, content: bytes) -> None:
    hanging, good = (file_of(tmp_path, content, fate) for fate in ("hang", ""))

    def wait() -> None:
        with pytest.raises(VideoError, match="not finished in time"):
            pool.read_clip(hanging, SPAN, 4, 4.0)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    with pytest.raises(VideoError, match="all 1 decoding processes are busy"):
        pool.read_clip(good, SPAN, 4, 0.2)
    waiting.join()


def test_a_clip_beyond_the_end_is_refused_and_the_child_stays(pool: ClipPool, tmp_path: Path, content: bytes) -> None:
    path = file_of(tmp_path, content)
    with pytest.raises(VideoError, match=r"good\.mp4: "):
        pool.read_clip(path, (50.0, 51.0), 4, 60.0)
    with pytest.raises(VideoError, match=r"missing\.mp4: does not exist"):
        pool.read_clip(tmp_path / "missing.mp4", SPAN, 4, 60.0)
    assert len(pool.read_clip(path, SPAN, 4, 60.0).frame_rows) == 1
