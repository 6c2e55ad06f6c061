"""The frames read for annotated spans are those the reference rules name, in whole files and in chunks."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from henasy.errors import InputError, NotFoundError
from henasy.evaluation.encoding.frame_rules import (
    EGO4D_FRAMES,
    FramePlace,
    FrameRule,
    FrameSelector,
    Span,
    ego4d_is_cut,
    ego4d_rule,
    ek100_rule,
)
from henasy.evaluation.encoding.span_frames import SpanBatch, read_spans
from henasy.video.probe import VideoInfo, probe
from henasy.video.reference_frames import timestamp_s
from henasy.video.video_files import VideoFiles, annotated_videos, missing_videos, videos_by_id

STEP = 4
"""Grey levels from one frame to the next: survives H.264, and tells 50 frames apart."""


def write_grey_video(path: Path, num_frames: int, fps: int = 10, first: int = 0) -> Path:
    """Frame i is grey of level 20 + STEP * (first + i)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "1", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(first, first + num_frames):
            picture = np.full((48, 64, 3), 20 + STEP * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def numbers_of(frames: np.ndarray) -> list[list[int]]:
    numbers: list[list[int]] = np.rint((frames.mean(axis=(2, 3, 4)) - 20) / STEP).astype(int).tolist()
    return numbers


def read_numbers(spans: list[Span], folder: Path, rule: FrameRule, num_frames: int = 4) -> dict[int, list[int] | str]:
    answers: dict[int, list[int] | str] = {}
    for part in read_spans(spans, videos_by_id(folder), FrameSelector("test", rule), num_frames, batch_spans=3):
        for position, row in enumerate(part.rows.tolist()):
            assert row not in answers
            answers[row] = numbers_of(part.frames)[position] if isinstance(part, SpanBatch) else part.reason
    return answers


def test_read_spans_gives_the_frames_of_the_rule(tmp_path: Path) -> None:
    path = write_grey_video(tmp_path / "P01" / "P01_01.MP4", 50)
    write_grey_video(tmp_path / "P02_01.mp4", 30)
    spans = [
        Span("P01_01", 2.0, 4.9),
        Span("P02_01", 0.0, 3.0),
        Span("P01_01", 0.0, 1.5),
        Span("P01_01", 0.3, 0.4),
        Span("P01_01", 0.1, 4.9),
    ]
    answers = read_numbers(spans, tmp_path, ek100_rule)
    for row, span in enumerate(spans):
        info = probe(path)
        wanted = ek100_rule(span, videos_by_id(tmp_path)[span.video_id], [info], 4)
        assert answers[row] == [place.frame_id for place in wanted]


def test_ek100_rule_equals_golden(tmp_path: Path, golden_dir: Path) -> None:
    files = videos_by_id(write_grey_video(tmp_path / "v.mp4", 2).parent)["v"]
    info = probe(tmp_path / "v.mp4")
    for case in json.loads((golden_dir / "frame_sampling.json").read_text())["ek100"]:
        start_s, stop_s = timestamp_s(case["start_timestamp"]), timestamp_s(case["stop_timestamp"])
        for num_frames in (4, 16):
            places = ek100_rule(Span("v", start_s, stop_s), files, [replace(info, fps=case["fps"])], num_frames)
            assert [place.frame_id for place in places] == case[f"ids{num_frames}"]


def test_ego4d_rule_equals_golden_in_chunks(tmp_path: Path, golden_dir: Path) -> None:
    info = replace(probe(write_grey_video(tmp_path / "v.mp4", 2)), num_frames=9000, duration_s=300.0)
    starts_s = tuple(range(0, 3000, 300))
    files = VideoFiles(video_id="v", paths=(tmp_path / "v.mp4",) * 10, chunk_starts_s=starts_s)
    for case in json.loads((golden_dir / "frame_sampling.json").read_text())["ego4d_chunked"]:
        places = ego4d_rule(Span("v", case["clip_start"], case["clip_end"]), files, [info] * 10, 4)
        first = 9000 * starts_s.index(case["chunk_start"])
        assert [9000 * place.file + place.frame_id - first for place in places] == case["ids4"]


def test_ego4d_chunks_cross_into_the_next_file(tmp_path: Path) -> None:
    # Chunks of 1 s at 30 fps, so frame numbers follow LaViLa's 30 fps; the second chunk continues the count.
    write_grey_video(tmp_path / "uid.mp4" / "0.mp4", 30, fps=30)
    write_grey_video(tmp_path / "uid.mp4" / "1.mp4", 20, fps=30, first=30)
    answers = read_numbers([Span("uid", 0.5, 1.5), Span("uid", 1.0, 1.5)], tmp_path, ego4d_rule)
    assert answers[0] == [18, 25, 33, 40]
    assert answers[1] == [32, 35, 38, 42]


def test_ek100_refuses_chunks(tmp_path: Path) -> None:
    for start_s in (0, 1):
        write_grey_video(tmp_path / "P01_01.mp4" / f"{start_s}.mp4", 30, fps=30)
    answers = read_numbers([Span("P01_01", 1.2, 1.8)], tmp_path, ek100_rule)
    assert "P01_01.mp4: EPIC-KITCHENS videos must be whole files, not chunks" in str(answers[0])


def info_of(path: Path, duration_s: float, fps: float = 30.0) -> VideoInfo:
    return VideoInfo(
        path=path,
        size_bytes=1,
        duration_s=duration_s,
        fps=fps,
        num_frames=round(fps * duration_s),
        width_px=64,
        height_px=48,
        rotation_deg=0,
        codec="h264",
    )


def chunk_places(chunks: dict[int, float], start_s: float, end_s: float) -> list[tuple[int, int]]:
    """The chunk's second and the frame number, for T = 4, of chunks at 30 fps that start and last so many seconds."""
    paths = tuple(Path("uid.mp4") / f"{start}.mp4" for start in chunks)
    files = VideoFiles(video_id="uid", paths=paths, chunk_starts_s=tuple(chunks))
    infos = [info_of(path, duration_s) for path, duration_s in zip(paths, chunks.values(), strict=True)]
    places = ego4d_rule(Span("uid", start_s, end_s), files, infos, 4)
    return [(tuple(chunks)[place.file], place.frame_id) for place in places]


# A span of 2 s at 30 fps is 60 frames, of which LaViLa takes the middles of 0, 15, 30, 44, 59.
TAKEN = (7, 22, 37, 51)


@pytest.mark.parametrize(
    ("chunks", "start_s", "first"),
    [
        ({0: 300.0, 300: 300.0, 600: 20.0}, 310.0, (300, 300)),
        ({0: 300.0, 600: 300.0}, 610.0, (600, 300)),
        ({0: 600.0, 600: 600.0, 1200: 40.0}, 410.0, (0, 12300)),
        ({0: 600.0, 600: 30.0}, 601.0, (600, 30)),
        ({0: 600.0}, 410.0, (0, 12300)),
        ({0: 120.0}, 20.0, (0, 600)),
        ({300: 300.0, 600: 10.0}, 602.0, (600, 60)),
    ],
)
def test_ego4d_chunk_length_is_that_of_the_files(
    chunks: dict[int, float], start_s: float, first: tuple[int, int]
) -> None:
    chunk, frame_id = first
    assert chunk_places(chunks, start_s, start_s + 2) == [(chunk, frame_id + taken) for taken in TAKEN]


def test_ego4d_spans_cross_chunks_and_end_with_the_last() -> None:
    assert chunk_places({0: 600.0, 600: 30.0}, 599.0, 601.0) == [(0, 17977), (0, 17992), (600, 7), (600, 21)]
    # Cut at the end: the frames of 270 to 300 of the last chunk.
    assert chunk_places({0: 300.0, 300: 10.0}, 309.0, 311.0) == [(300, 273), (300, 280), (300, 288), (300, 295)]
    # As far past the end, but from the chunk before: the last frame stands for the rest, as in the reference.
    assert chunk_places({0: 300.0, 300: 1.0}, 299.0, 302.0) == [(0, 8981), (300, 3), (300, 25), (300, 29)]
    # 20 s from 5 s before the second of three chunks of 10 s: LaViLa's frames 225, 375, 524 and 674.
    crossing = chunk_places({0: 10.0, 10: 10.0, 20: 10.0}, 5.0, 25.0)
    assert crossing == [(0, 225), (10, 75), (10, 224), (20, 74)]


@pytest.mark.parametrize(
    ("chunks", "start_s", "error", "message"),
    [
        ({0: 300.0, 600: 300.0}, 310.0, NotFoundError, "uid.mp4: no chunk 300 for the span from 310 to 312 s"),
        ({0: 300.0, 600: 300.0, 900: 20.0}, 299.0, NotFoundError, "no chunk 300 for the span from 299"),
        ({0: 600.0, 1200: 20.0}, 599.0, NotFoundError, "no chunk 600"),
        ({0: 300.0}, 310.0, NotFoundError, "no chunk 300"),
        ({0: 300.0, 300: 20.0}, 320.0, InputError, "300.mp4: from 320 to 322 s is asked for, the video ends at 320 s"),
        ({0: 300.0, 300: 20.0}, 450.0, InputError, "the video ends at 320 s"),
        ({0: 300.0, 300: 290.0, 600: 20.0}, 589.5, InputError, "300.mp4: lasts 290 s, must last 300 s"),
        ({0: 600.0, 1: 600.0, 2: 600.0}, 1.0, InputError, "by number, as EgoVLP's 0, 1, 2, are not read"),
        ({0: 600.0, 1: 20.0}, 1.0, InputError, "by number, as EgoVLP's"),
        ({1: 600.0}, 1.0, InputError, "by number, as EgoVLP's"),
        ({0: 200.0, 300: 20.0}, 1.0, InputError, "chunks 0, 300 last up to 200 s"),
    ],
)
def test_ego4d_refuses_what_chunks_do_not_tell(
    chunks: dict[int, float], start_s: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        chunk_places(chunks, start_s, start_s + 2)


def test_a_missing_chunk_refuses_only_the_spans_that_need_it(tmp_path: Path) -> None:
    for start_s in (0, 2, 3):
        write_grey_video(tmp_path / "uid.mp4" / f"{start_s}.mp4", 30, fps=30)
    answers = read_numbers([Span("uid", 1.0, 1.5), Span("uid", 0.0, 0.5)], tmp_path, ego4d_rule)
    assert answers[0] == f"{tmp_path / 'uid.mp4'}: no chunk 1 for the span from 1 to 1.5 s"
    assert answers[1] == [2, 5, 8, 12]


def test_egovlp_folders_are_refused_by_name(tmp_path: Path) -> None:
    write_grey_video(tmp_path / "one" / "0.mp4", 2)
    assert missing_videos(["one"], videos_by_id(tmp_path)) == ["one"]
    write_grey_video(tmp_path / "two" / "0.mp4", 2)
    with pytest.raises(InputError, match=r"same id '0'; chunks must lie in a folder <uid>.mp4, or be"):
        videos_by_id(tmp_path)


def test_egovlp_folders_are_read_where_annotations_name_them(tmp_path: Path) -> None:
    for path in ("one/0.mp4", "one/1.mp4", "two/0.mp4", "12/12.mp4"):
        write_grey_video(tmp_path / path, 2)
    found = annotated_videos(tmp_path, ["one", "two"])
    assert found["one"].chunk_starts_s == (0, 600)
    assert annotated_videos(tmp_path, ["one", "lost"])["two"].chunk_starts_s == (0,)
    with pytest.raises(InputError, match="same id '0'"):
        annotated_videos(tmp_path, ["lost"])
    only = annotated_videos(write_grey_video(tmp_path / "whole" / "a" / "12.mp4", 2).parents[1], ["12"])
    assert only["12"].chunk_starts_s is None


def test_ego4d_whole_file_uses_its_own_rate(tmp_path: Path) -> None:
    files = videos_by_id(write_grey_video(tmp_path / "uid.mp4", 40).parent)["uid"]
    places = ego4d_rule(Span("uid", 1.0, 3.0), files, [probe(tmp_path / "uid.mp4")], 4)
    assert places == tuple(FramePlace(0, frame_id) for frame_id in (12, 17, 22, 26))


@pytest.mark.parametrize(
    ("start_s", "end_s", "wanted"),
    [
        (4.0, 5.0, (41, 43, 45, 48)),
        (4.0, 5.05, (41, 43, 45, 48)),
        (4.0, 6.0, (41, 43, 45, 48)),
        (4.0, 7.0, (41, 43, 45, 48)),
        (2.0, 6.0, (23, 30, 38, 45)),
        # Taken as four frames long, of which three are there.
        (4.7, 4.8, (47, 47, 48, 49)),
        (4.96, 5.5, (49, 49, 49, 49)),
    ],
)
def test_ego4d_whole_files_are_cut_at_their_end(
    tmp_path: Path, start_s: float, end_s: float, wanted: tuple[int, ...]
) -> None:
    files = VideoFiles(video_id="uid", paths=(tmp_path / "uid.mp4",), chunk_starts_s=None)
    info = info_of(tmp_path / "uid.mp4", 5.0, fps=10.0)
    places = ego4d_rule(Span("uid", start_s, end_s), files, [info], 4)
    assert places == tuple(FramePlace(0, frame_id) for frame_id in wanted)
    assert ego4d_is_cut(Span("uid", start_s, end_s), files, [info]) == (end_s > 5.05)


@pytest.mark.parametrize("span", [(4.0, 7.1), (5.0, 5.5), (6.0, 7.0), (0.0, float("inf"))])
def test_ego4d_spans_further_past_the_end_are_refused(tmp_path: Path, span: tuple[float, float]) -> None:
    files = VideoFiles(video_id="uid", paths=(tmp_path / "uid.mp4",), chunk_starts_s=None)
    with pytest.raises(InputError, match="the video ends at 5 s; up to 2 s after it are cut off"):
        ego4d_rule(Span("uid", *span), files, [info_of(tmp_path / "uid.mp4", 5.0, fps=10.0)], 4)


def test_read_spans_says_which_spans_were_cut(tmp_path: Path) -> None:
    write_grey_video(tmp_path / "uid.mp4", 20)
    spans = [Span("uid", 0.0, 1.0), Span("uid", 1.0, 3.0), Span("uid", 1.0, 9.0), Span("uid", 1.5, 2.0)]
    cut: dict[int, bool] = {}
    for part in read_spans(spans, videos_by_id(tmp_path), EGO4D_FRAMES, 4):
        if isinstance(part, SpanBatch):
            cut |= dict(zip(part.rows.tolist(), part.is_cut.tolist(), strict=True))
    assert cut == {0: False, 1: True, 3: False}


def test_read_spans_refuses_one_video_and_reads_the_rest(tmp_path: Path) -> None:
    write_grey_video(tmp_path / "good.mp4", 20)
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 50)
    spans = [Span("bad", 0, 1), Span("good", 0, 1), Span("gone", 0, 1), Span("good", 5, 6)]
    answers = read_numbers(spans, tmp_path, ek100_rule)
    assert isinstance(answers[0], str)
    assert "bad.mp4" in answers[0]
    assert answers[1] == [1, 3, 5, 8]
    assert answers[2] == "no file of video gone"
    assert isinstance(answers[3], str)  # past the end


def test_videos_by_id_refuses(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        videos_by_id(tmp_path / "nowhere")
    write_grey_video(tmp_path / "a" / "v.mp4", 2)
    assert missing_videos(["w", "v", "w"], videos_by_id(tmp_path)) == ["w"]
    write_grey_video(tmp_path / "b" / "v.MP4", 2)
    with pytest.raises(InputError, match="same id 'v'"):
        videos_by_id(tmp_path)
    write_grey_video(tmp_path / "c" / "uid.mp4" / "first.mp4", 2)
    with pytest.raises(InputError, match="named by the second"):
        videos_by_id(tmp_path / "c")
    for name in ("0", "00"):
        write_grey_video(tmp_path / "d" / "uid.mp4" / f"{name}.mp4", 2)
    with pytest.raises(InputError, match="two chunks start at the same second"):
        videos_by_id(tmp_path / "d")
