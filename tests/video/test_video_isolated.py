"""A decoder that hangs, crashes or exits costs the file it was reading, and the next file is read as ever."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from barcode_video import Writing, regular_times, write_video

from henasy.errors import ConfigError, HenasyError, InputError, VideoError
from henasy.video import ClipBatch, ClipPlan, RefusedClips, probe, read_clips
from henasy.video.isolated import DecodeProcess, read_clips_isolated

# Python runs a module of this name at every start: it spoils the decoder in the child, and nowhere else.
SPOILER = """
import os, signal, time
def _spoil():
    from henasy.video import decode, pyav_decoder
    honest = pyav_decoder.frames_at
    def frames_at(path, times_s, on_progress):
        for run in honest(path, times_s, on_progress):
            if run.last > len(times_s) // 2 or "at once" in path.name:
                if "hang" in path.name:
                    time.sleep(1000)
                if "crash" in path.name:
                    os.kill(os.getpid(), signal.SIGSEGV)
                if "exit" in path.name:
                    os._exit(7)
                if "slow" in path.name and run.last == len(times_s):
                    for _ in range(8):
                        time.sleep(0.4)
                        on_progress()
            yield run
    pyav_decoder.frames_at = frames_at
import sys
if any("isolated_worker" in each for each in sys.orig_argv):
    _spoil()
"""
SPANS = ClipPlan(clip_s=0.5, stride_s=0.25).spans(4.0)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    writing = Writing(times_s=regular_times(120), options={"preset": "ultrafast"}, size=(90, 160))
    return write_video(tmp_path_factory.mktemp("content") / "video.mp4", writing).read_bytes()


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecodeProcess]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SPOILER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    with DecodeProcess(timeout_s=2.0) as process:
        yield process


def _file(folder: Path, content: bytes, name: str) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def _read(process: DecodeProcess, path: Path) -> tuple[list[int], dict[int, str]]:
    rows: list[int] = []
    refused: dict[int, str] = {}
    for item in process.read_clips(path, SPANS, 4, batch_clips=2):
        if isinstance(item, RefusedClips):
            refused.update(dict.fromkeys(item.rows.tolist(), item.reason))
        else:
            rows.extend(item.clip_rows.tolist())
    return rows, refused


def test_isolated_batches_equal_direct_ones(tmp_path: Path, content: bytes) -> None:
    path = _file(tmp_path, content, "video.mp4")
    direct = list(read_clips(path, SPANS, 4, batch_clips=3))
    isolated = list(read_clips_isolated(path, SPANS, 4, batch_clips=3))
    assert len(direct) == len(isolated) > 1
    for one, other in zip(direct, isolated, strict=True):
        assert isinstance(one, ClipBatch)
        assert isinstance(other, ClipBatch)
        for name, array in vars(one).items():
            np.testing.assert_array_equal(array, getattr(other, name))
            assert array.dtype == getattr(other, name).dtype


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("hang", "decoding made no progress for 2 s"),
        ("crash", "the decoding process was killed by SIGSEGV"),
        ("exit", "the decoding process ended with exit code 7"),
    ],
)
def test_decoder_that_fails_costs_the_rest_of_its_file(
    process: DecodeProcess, tmp_path: Path, content: bytes, fate: str, reason: str
) -> None:
    rows, refused = _read(process, _file(tmp_path, content, f"{fate}.mp4"))
    assert rows
    assert sorted([*rows, *refused]) == list(range(len(SPANS)))
    assert set(refused.values()) == {reason}
    with pytest.raises(VideoError, match=f"at once.mp4: {reason}"):
        _read(process, _file(tmp_path, content, f"{fate} at once.mp4"))
    assert _read(process, _file(tmp_path, content, "good.mp4")) == (list(range(len(SPANS))), {})


def test_decoder_that_is_slow_but_advances_is_let_be(process: DecodeProcess, tmp_path: Path, content: bytes) -> None:
    """It needs longer than the limit between two batches, and says that it is at work."""
    assert _read(process, _file(tmp_path, content, "slow.mp4"))[1] == {}


def test_reader_that_is_slow_is_let_be(process: DecodeProcess, tmp_path: Path, content: bytes) -> None:
    batches = process.read_clips(_file(tmp_path, content, "good.mp4"), SPANS, 4, batch_clips=2)
    count = len(next(batches).spans)
    time.sleep(2.5)
    assert count + sum(len(batch.spans) for batch in batches) == len(SPANS)


def test_reader_that_stops_early_leaves_no_child_behind(tmp_path: Path, content: bytes) -> None:
    process = DecodeProcess()
    batches = process.read_clips(_file(tmp_path, content, "good.mp4"), SPANS, 4, batch_clips=1)
    next(batches)
    child = process.child_pid
    batches.close()
    assert process.child_pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert len(list(process.read_clips(tmp_path / "good.mp4", SPANS, 4))) == 1
    process.close()


def test_one_child_serves_many_files_and_errors_do_not_end_it(tmp_path: Path, content: bytes) -> None:
    path = _file(tmp_path, content, "good.mp4")
    with DecodeProcess() as process:
        assert process.probe(path) == probe(path)
        child = process.child_pid
        with pytest.raises(VideoError, match=r"missing\.mp4: does not exist"):
            process.probe(tmp_path / "missing.mp4")
        with pytest.raises(VideoError, match=r"missing\.mp4: does not exist"):
            list(process.read_clips(tmp_path / "missing.mp4", SPANS, 4))
        with pytest.raises((ConfigError, HenasyError), match="decoder must be one of"):
            list(process.read_clips(path, SPANS, 4, decoder="magic"))
        assert len(list(process.read_clips(path, SPANS, 4))) == 1
        assert process.child_pid == child


def test_bad_spans_are_refused_before_any_child_is_started(tmp_path: Path) -> None:
    process = DecodeProcess()
    with pytest.raises(InputError, match="spans"):
        list(process.read_clips(tmp_path / "any.mp4", [[1, 0]], 4))
    assert process.child_pid is None
