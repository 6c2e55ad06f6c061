"""What cannot be read costs itself alone, and says why; nothing wrong is ever handed out."""

import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from barcode_video import Writing, number_shown_at, read_number, regular_times, write_video

from henasy.errors import VideoError
from henasy.video import ClipBatch, ClipPlan, RefusedClips, fingerprint, frame_times, probe, read_clips

SHORT_GOPS = {"preset": "veryfast", "bf": "2", "x264-params": "keyint=30:min-keyint=30:scenecut=0"}
LONG = Writing(times_s=regular_times(300), options=SHORT_GOPS)
FASTSTART = Writing(times_s=regular_times(300), options=SHORT_GOPS, container_options={"movflags": "faststart"})
PLAN = ClipPlan(clip_s=0.5, stride_s=0.25)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("intact") / "video.mp4", FASTSTART)


class Outcome:
    """What came of reading a damaged file, every frame checked against its number and its undamaged picture."""

    def __init__(self, path: Path, intact: Path) -> None:
        spans = PLAN.spans(10.0)
        right = {}
        for batch in read_clips(intact, spans, 4):
            assert isinstance(batch, ClipBatch)
            right.update(zip(batch.clip_rows.tolist(), batch.frames[batch.frame_rows], strict=True))
        self.rows: list[int] = []
        self.refused: dict[int, str] = {}
        for item in read_clips(path, spans, 4):
            if isinstance(item, RefusedClips):
                self.refused.update(dict.fromkeys(item.rows.tolist(), item.reason))
                continue
            for row, frames in zip(item.clip_rows.tolist(), item.frames[item.frame_rows], strict=True):
                np.testing.assert_array_equal(frames, right[row])
                self.rows.append(row)
        assert sorted([*self.rows, *self.refused]) == list(range(len(spans)))


def _refusal(path: Path) -> str:
    """The message with which both probing and reading refuse a file."""
    with pytest.raises(VideoError) as probing:
        probe(path)
    with pytest.raises(VideoError):
        list(read_clips(path, [[0, 1]], 4))
    assert str(probing.value).startswith(str(path))
    return str(probing.value).removeprefix(f"{path}: ")


def test_files_that_are_no_videos_are_refused_with_the_reason(tmp_path: Path, intact: Path) -> None:
    data = intact.read_bytes()
    cases = {
        "empty.mp4": (b"", "is empty (0 bytes)"),
        "text.mp4": (b"These are the notes of a meeting.\n" * 100, "is not a video in a known format"),
        "noise.mp4": (np.random.default_rng(0).bytes(50_000), "is not a video in a known format"),
        "header.mp4": (data[:40], "its index (moov box) is cut off"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        assert reason in _refusal(tmp_path / name), name


def test_recording_that_was_cut_off_before_or_in_its_index_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", LONG)
    data = path.read_bytes()
    index = data.index(b"moov") - 4
    path.write_bytes(data[: index + 200])
    assert _refusal(path) == "its index (moov box) is cut off"
    path.write_bytes(data[: index - 100])
    assert _refusal(path) == "has no index (moov box): the recording or the copy was cut off"


def test_length_that_no_video_has_is_measured_instead_of_believed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv", LONG)
    data = path.read_bytes()
    length_s = probe(path).duration_s
    field = data.index(b"\x44\x89\x88") + 3  # Matroska's Duration, a double
    for stated_ms in (1e9, 1e15):
        path.write_bytes(data[:field] + struct.pack(">d", stated_ms) + data[field + 8 :])
        assert probe(path).duration_s == pytest.approx(length_s, abs=0.05)


def test_playlist_in_disguise_does_not_open_other_files(tmp_path: Path, intact: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{intact}\n#EXT-X-ENDLIST\n")
    _refusal(path)
    path.write_text(f"ffconcat version 1.0\nfile '{intact}'\n")
    _refusal(path)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        for index in range(50):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert _refusal(tmp_path / "sound.mp4") == "has no video stream, only audio"


def test_things_that_are_no_files_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nothing.mp4")
    reasons = {}

    def refuse_all() -> None:
        reasons.update(
            {name: _refusal(tmp_path / f"{name}.mp4") for name in ("pipe", "folder", "loop", "broken", "none")}
        )

    thread = threading.Thread(target=refuse_all, daemon=True)
    thread.start()
    thread.join(timeout=30)
    assert reasons["pipe"] == "is a pipe, not a regular file"
    assert reasons["folder"] == "is a folder, not a regular file"
    assert "symbolic links" in reasons["loop"]
    assert reasons["broken"] == reasons["none"] == "does not exist"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x" * 100)
    path.chmod(0)
    assert _refusal(path) == "no permission to read it"


@pytest.mark.parametrize(
    "name", ["with space.mp4", "line\nbreak.mp4", "caméra 🎥.mp4", "per%03d cent.mp4", "http:name.mp4", "-dash.mp4"]
)
def test_any_file_name_is_read(tmp_path: Path, intact: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(intact.read_bytes())
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, Path(name)):
        assert probe(path).duration_s == pytest.approx(10)
        assert len(list(read_clips(path, [[0, 1]], 4))) == 1
        assert fingerprint(path) == fingerprint(intact)


def test_file_name_that_is_no_text_is_read(tmp_path: Path, intact: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(intact.read_bytes())
    assert probe(path).duration_s == pytest.approx(10)


def test_video_of_one_frame_and_one_shorter_than_a_clip_are_read(tmp_path: Path) -> None:
    for count in (1, 2, 20):
        writing = Writing(times_s=regular_times(count), options={"preset": "ultrafast"})
        path = write_video(tmp_path / f"{count}.mp4", writing)
        info = probe(path)
        assert info.duration_s == pytest.approx(count / 30, abs=1e-3)
        assert info.num_frames == count
        spans = ClipPlan().spans(info.duration_s)
        (batch,) = read_clips(path, spans, 4)
        assert isinstance(batch, ClipBatch)
        numbers = [read_number(batch.frames[row]) for row in batch.frame_rows[0]]
        assert numbers == [number_shown_at(time_s, writing.times_s) for time_s in frame_times(spans, 4)[0]]


def test_video_that_is_cut_in_the_middle_gives_its_first_half(tmp_path: Path, intact: Path) -> None:
    path = tmp_path / "cut.mp4"
    data = intact.read_bytes()
    path.write_bytes(data[: len(data) * 55 // 100])
    outcome = Outcome(path, intact)
    assert min(outcome.refused) > max(outcome.rows)
    assert 12 <= len(outcome.rows) <= 25  # of 39
    assert probe(path).duration_s == pytest.approx(10)


def test_times_past_the_end_are_refused(intact: Path) -> None:
    (batch, refused) = read_clips(intact, [[9.0, 10.0], [9.5, 10.5], [20, 21]], 4)
    assert isinstance(batch, ClipBatch)
    assert batch.clip_rows.tolist() == [0]
    assert isinstance(refused, RefusedClips)
    assert refused.rows.tolist() == [1, 2]
    assert refused.reason == "no frame after 9.967 s: the readable part of the video ends there"


@pytest.mark.parametrize("share", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_flipped_bytes_cost_clips_but_never_give_wrong_ones(
    tmp_path: Path, intact: Path, share: float, seed: int
) -> None:
    chooser = np.random.default_rng(seed)
    data = np.frombuffer(intact.read_bytes(), np.uint8).copy()
    start = bytes(data).index(b"mdat") + 4
    places = chooser.integers(start, len(data), max(1, int((len(data) - start) * share)))
    data[places] ^= chooser.integers(1, 256, len(places)).astype(np.uint8)
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data.tobytes())
    outcome = Outcome(path, intact)
    assert outcome.refused
    assert outcome.rows or share > 1e-4


def test_hole_in_a_file_costs_the_clips_around_it(tmp_path: Path, intact: Path) -> None:
    data = bytearray(intact.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 500] = bytes(500)
    path = tmp_path / "hole.mp4"
    path.write_bytes(bytes(data))
    outcome = Outcome(path, intact)
    assert 0 in outcome.rows
    assert max(outcome.rows) > max(outcome.refused)  # after the next key frame all is well again
    assert len(outcome.refused) < 12
