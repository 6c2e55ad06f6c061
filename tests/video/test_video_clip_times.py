"""Each clip's frames are those a player shows in its span: every frame of every video carries its own number.

The oracle is the list of times that the test gave to the writer, searched naively.
"""

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from barcode_video import Writing, number_shown_at, read_number, regular_times, write_video

from henasy.errors import ConfigError, InputError
from henasy.video import ClipBatch, ClipPlan, RefusedClips, frame_times, probe, read_clips

NUM = 100
TIMES = regular_times(NUM)
FAST = {"preset": "ultrafast"}
REORDERED = {"preset": "veryfast", "bf": "3", "b-pyramid": "normal", "x264-params": "keyint=40:scenecut=0:b-adapt=0"}
OPEN_GOP = REORDERED | {"x264-params": "open-gop=1:keyint=40:scenecut=0:b-adapt=0"}
HEVC = {"preset": "medium", "x265-params": "log-level=none:keyint=40:min-keyint=40:bframes=4:open-gop=1"}
VP9 = {"deadline": "realtime", "cpu-used": "8"}


def _variable_times() -> list[float]:
    chooser = random.Random(0)
    times = [0.0]
    while len(times) < NUM:
        times.append(times[-1] + chooser.choice([1 / 60, 1 / 30, 1 / 15, 0.25]))
    return times


WRITINGS = {
    "constant rate": Writing(times_s=TIMES, options=FAST),
    "29.97": Writing(times_s=regular_times(NUM, 30000 / 1001), options=REORDERED),
    "variable rate": Writing(times_s=_variable_times(), options=FAST),
    "variable rate, reordered": Writing(times_s=_variable_times(), options=REORDERED),
    "reordered": Writing(times_s=TIMES, options=REORDERED),
    "open gop": Writing(times_s=TIMES, options=OPEN_GOP),
    "sound": Writing(times_s=TIMES, options=REORDERED, audio_from_s=0.0),
    "turned 90": Writing(times_s=TIMES, options=FAST, rotation_deg=90),
    "turned 180": Writing(times_s=TIMES, options=FAST, rotation_deg=180),
    "turned 270": Writing(times_s=TIMES, options=FAST, rotation_deg=270),
    "mirrored": Writing(times_s=TIMES, options=FAST, is_mirrored=True),
    "mirrored and turned": Writing(times_s=TIMES, options=FAST, is_mirrored=True, rotation_deg=90),
    "odd size": Writing(times_s=TIMES, options=VP9, codec="libvpx-vp9", size=(181, 323), suffix=".webm"),
    "4:4:4": Writing(times_s=TIMES, options=FAST, size=(181, 323), pix_fmt="yuv444p"),
    "mpeg-ts": Writing(times_s=TIMES, options=OPEN_GOP, suffix=".ts"),
    "mkv": Writing(times_s=TIMES, options=OPEN_GOP, suffix=".mkv"),
    "fragmented": Writing(times_s=TIMES, options=REORDERED, container_options={"movflags": "frag_keyframe+empty_moov"}),
    "hevc": Writing(times_s=TIMES, options=HEVC, codec="libx265"),
    "vp9": Writing(times_s=TIMES, options=VP9, codec="libvpx-vp9", suffix=".webm"),
    "wide pixels": Writing(times_s=TIMES, options=FAST, size=(288, 360), aspect=Fraction(64, 45)),
    "reduced": Writing(times_s=TIMES, options=FAST, size=(720, 1280)),
    # An edit list hides the first second and a half, which the player's clock does not count.
    "trimmed": Writing(
        times_s=regular_times(NUM, 30, -1.5), options=REORDERED, container_options={"avoid_negative_ts": "disabled"}
    ),
    # The picture starts 0.7 s after the sound; until then there is none.
    "delayed": Writing(times_s=regular_times(NUM, 30, 0.7), options=REORDERED, audio_from_s=0.0),
}

# Where decord 0.6 is wrong: it loses leading frames of open groups of pictures, so that all later numbers shift;
# it counts hidden frames of edit lists, reads MPEG-TS by position, and turns but does not mirror.
DECORD_IS_WRONG = {"open gop", "mpeg-ts", "mkv", "hevc", "trimmed", "mirrored", "mirrored and turned"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("barcodes")
    return {
        name: write_video(folder / f"{index}{writing.suffix}", writing)
        for index, (name, writing) in enumerate(WRITINGS.items())
    }


def _compare(path: Path, writing: Writing, spans: np.ndarray, decoder: str = "pyav") -> set[int]:
    """Check every frame of every clip; the rows that came."""
    came: set[int] = set()
    for batch in read_clips(path, spans, 4, batch_clips=7, decoder=decoder):
        if isinstance(batch, RefusedClips):
            continue
        wanted = frame_times(batch.spans, 4)
        np.testing.assert_array_equal(batch.spans, spans[batch.clip_rows])
        for frames, times_s in zip(batch.frame_rows, wanted, strict=True):
            got = [read_number(batch.frames[row]) for row in frames]
            assert got == [number_shown_at(time_s, writing.times_s) for time_s in times_s]
        came.update(batch.clip_rows.tolist())
    return came


@pytest.mark.parametrize("name", WRITINGS)
def test_every_clip_gets_the_frames_of_its_span(videos: dict[str, Path], name: str) -> None:
    writing = WRITINGS[name]
    info = probe(videos[name])
    last_s = writing.times_s[-1] + 1 / 30
    assert info.duration_s == pytest.approx(last_s, abs=0.25 if name.startswith("variable") else 0.034)
    spans = ClipPlan(clip_s=0.5, stride_s=0.25).spans(info.duration_s)
    blank = {row for row, (start_s, _) in enumerate(spans) if start_s + 0.0625 < writing.times_s[0] - 0.05}
    assert bool(blank) == (name == "delayed")
    assert _compare(videos[name], writing, spans) == set(range(len(spans))) - blank


@pytest.mark.parametrize("name", sorted(WRITINGS.keys() - DECORD_IS_WRONG))
def test_decord_agrees_where_it_is_right(videos: dict[str, Path], name: str) -> None:
    pytest.importorskip("decord")
    writing = WRITINGS[name]
    spans = ClipPlan(clip_s=0.5, stride_s=0.25).spans(probe(videos[name]).duration_s)
    came = _compare(videos[name], writing, spans, "decord")
    assert len(came) >= len(spans) - (3 if name == "delayed" else 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant rate", (320, 180, 0, "h264")),
        ("turned 90", (180, 320, 90, "h264")),
        ("turned 270", (180, 320, 270, "h264")),
        ("odd size", (323, 181, 0, "vp9")),
        ("wide pixels", (512, 288, 0, "h264")),
        ("hevc", (320, 180, 0, "hevc")),
        ("reduced", (1280, 720, 0, "h264")),
    ],
)
def test_probe_tells_size_turn_and_codec_as_displayed(
    videos: dict[str, Path], name: str, expected: tuple[int, int, int, str]
) -> None:
    info = probe(videos[name])
    assert (info.width_px, info.height_px, info.rotation_deg, info.codec) == expected
    assert info.fps == pytest.approx(30, rel=1e-3)
    assert info.num_frames == NUM
    assert info.size_bytes == videos[name].stat().st_size


def test_frames_above_320_px_come_reduced(videos: dict[str, Path]) -> None:
    batch = next(read_clips(videos["reduced"], [[0, 1]], 4))
    assert isinstance(batch, ClipBatch)
    assert batch.frames.shape == (4, 288, 512, 3)


@pytest.mark.parametrize("gop", ["closed", "open"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sparse_clips_are_the_same_as_dense_ones(tmp_path: Path, gop: str, suffix: str) -> None:
    """Seeking must not change what is found; the first key frame after each seek has frames displayed before it."""
    writing = Writing(
        times_s=regular_times(900), options=OPEN_GOP if gop == "open" else REORDERED, suffix=suffix, size=(90, 160)
    )
    path = write_video(tmp_path / f"video{suffix}", writing)
    spans = np.array([[start, start + 0.5] for start in (0.3, 3.1, 7.77, 8.9, 17.0, 29.4)])
    assert _compare(path, writing, spans) == set(range(len(spans)))


def test_spans_may_come_in_any_order_and_overlap_anyhow(videos: dict[str, Path]) -> None:
    spans = np.array([[2.5, 3.0], [0.0, 3.3], [1.0, 1.2], [2.5, 3.0], [0.0, 0.01]])
    writing = WRITINGS["reordered"]
    assert _compare(videos["reordered"], writing, spans) == set(range(5))


def test_neighbouring_clips_share_their_frames(videos: dict[str, Path]) -> None:
    spans = ClipPlan(clip_s=1.0, stride_s=0.5).spans(3.0)
    (batch,) = read_clips(videos["constant rate"], spans, 4)
    assert isinstance(batch, ClipBatch)
    assert len(spans) == 5
    assert len(batch.frames) == len(batch.frame_times_s) == 12  # four a second for three seconds
    np.testing.assert_array_equal(batch.frame_rows[1:, :2], batch.frame_rows[:-1, 2:])
    assert (np.diff(batch.frame_times_s) > 0).all()


def test_batches_are_independent_of_their_size(videos: dict[str, Path]) -> None:
    spans = ClipPlan(clip_s=1.0, stride_s=0.1).spans(3.3)
    whole = next(read_clips(videos["reordered"], spans, 4, batch_clips=1000))
    assert isinstance(whole, ClipBatch)
    for batch in read_clips(videos["reordered"], spans, 4, batch_clips=3):
        assert isinstance(batch, ClipBatch)
        assert len(batch.spans) <= 3
        for row, frames in zip(batch.clip_rows, batch.frame_rows, strict=True):
            np.testing.assert_array_equal(batch.frames[frames], whole.frames[whole.frame_rows[row]])


def test_no_spans_give_nothing(videos: dict[str, Path]) -> None:
    assert list(read_clips(videos["reordered"], np.empty((0, 2)), 4)) == []


@pytest.mark.parametrize("span", [[-1, 1], [2, 2], [3, 2], [0, float("nan")]])
def test_spans_that_are_none_are_refused(videos: dict[str, Path], span: list[float]) -> None:
    with pytest.raises(InputError, match="spans: row 1"):
        read_clips(videos["reordered"], [[0, 1], span], 4)


def test_unknown_decoders_and_batch_sizes_are_refused(videos: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="decoder must be one of pyav, decord, got 'magic'"):
        read_clips(videos["reordered"], [[0, 1]], 4, decoder="magic")
    with pytest.raises(InputError, match="batch_clips"):
        read_clips(videos["reordered"], [[0, 1]], 4, batch_clips=0)


@pytest.mark.parametrize(
    ("red_share", "blue_share", "tag", "is_full_range"),
    [(0.299, 0.114, None, False), (0.299, 0.114, 6, False), (0.2126, 0.0722, 1, False), (0.299, 0.114, 6, True)],
    ids=["untagged", "BT.601", "BT.709", "full range"],
)
def test_colours_are_those_that_the_stream_declares(
    tmp_path: Path, red_share: float, blue_share: float, tag: int | None, is_full_range: bool
) -> None:
    """The oracle is the formula by which the test made luma and chroma from the colour."""
    colour = np.array([200.0, 60.0, 40.0])
    luma = colour @ [red_share, 1 - red_share - blue_share, blue_share]
    chroma = np.array([(colour[2] - luma) / (1 - blue_share), (colour[0] - luma) / (1 - red_share)]) / 2
    planes = [luma, *(128 + chroma)] if is_full_range else [16 + luma * 219 / 255, *(128 + chroma * 224 / 255)]
    sizes = (128 * 96, 64 * 48, 64 * 48)
    picture = np.concatenate([np.full(size, round(value)) for size, value in zip(sizes, planes, strict=True)])
    with av.open(str(tmp_path / "colour.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "1"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8).reshape(144, 128), format="yuv420p")
        if tag is not None:
            stream.codec_context.colorspace = frame.colorspace = tag
        if is_full_range:
            stream.codec_context.color_range = frame.color_range = 2
        container.mux([*stream.encode(frame), *stream.encode(None)])
    batch = next(read_clips(tmp_path / "colour.mp4", [[0, 0.03]], 1))
    assert isinstance(batch, ClipBatch)
    np.testing.assert_allclose(batch.frames.reshape(-1, 3).mean(axis=0), colour, atol=2)  # rounding of three planes
