"""Which clips have their videos, and in which chunk a moment lies; frames tell whether it is the right one."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_egoclip import Row, frame_numbers, write_annotations, write_grey

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.training.egoclip.annotations import ClipTable, open_clips
from henasy.training.egoclip.files import REASONS, ClipFiles, check_share, write_left_out
from henasy.video.views import ViewRule, read_view

CHUNK_S = 3


def table_of(folder: Path, rows: list[Row]) -> ClipTable:
    return open_clips(write_annotations(folder / "egoclip.csv", rows), folder / "cache")


def write_chunks(folder: Path, numbers: list[int], *, is_numbered: bool, total: int = 100) -> None:
    """Chunks of 3 s of one video of `total` frames, named by second or by number."""
    for number in numbers:
        first = number * CHUNK_S * 10
        path = folder / f"{number if is_numbered else number * CHUNK_S}.mp4"
        write_grey(path, num_frames=min(CHUNK_S * 10, total - first), first=first)


def shown(files: ClipFiles, row: int, times_s: list[float]) -> list[int]:
    frames = read_view(files.parts(row, np.array(times_s)), ViewRule(16, "whole"), seed=0).frames
    return frame_numbers(frames).tolist()


@pytest.mark.parametrize("layout", ["whole", "seconds", "numbers"])
def test_parts_show_the_same_frames_in_every_layout(tmp_path: Path, layout: str) -> None:
    videos = tmp_path / "videos"
    if layout == "whole":
        write_grey(videos / "deep" / "v.MP4", num_frames=100)
    else:
        folder = videos / ("v.mp4" if layout == "seconds" else "v")
        write_chunks(folder, [0, 1, 2, 3], is_numbered=layout == "numbers")
    table = table_of(tmp_path, [Row("v", 0.0, 1.0), Row("v", 2.5, 3.5), Row("v", 1.0, 9.9), Row("v", 9.5, 11.0)])
    files = ClipFiles(table, videos, numbered_chunk_s=CHUNK_S)
    assert files.usable().rows.tolist() == [0, 1, 2, 3]
    assert shown(files, 0, [0.05, 0.95]) == [0, 9]
    assert shown(files, 1, [2.55, 2.95, 3.05, 3.45]) == [25, 29, 30, 34]  # crosses into the next chunk
    assert shown(files, 2, [1.05, 4.05, 7.05, 9.75]) == [10, 40, 70, 97]  # through all four
    assert files.spans(np.array([3]))[1].tolist() == [10.0]  # cut at the video's end, as the annotations have it
    assert shown(files, 3, [9.95, 10.95]) == [99, 99]  # an end that the file does not have


def test_usable_leaves_out_and_lists(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    write_chunks(videos / "v.mp4", [0, 1, 3], is_numbered=False)
    write_grey(videos / "w.mp4", num_frames=10)
    rows = [
        Row("v", 1.0, 2.0),
        Row("v", 2.5, 3.5),
        Row("v", 5.5, 6.5),  # runs into chunk 6, which is missing
        Row("v", 7.0, 8.0),  # lies in it
        Row("v", 5.0, 9.5),  # passes it
        Row("v", 9.5, 10.5),
        Row("v", 12.0, 13.0),  # after the end
        Row("v", 4.0, 4.0),  # no length
        Row("v", 4.5, 4.1),  # backwards
        Row("v", -1.0, 0.5),  # from the start
        Row("v", -1.0, -0.5),
        Row("w", 0.0, 1.0),
        Row("nowhere", 0.0, 1.0),
        Row("w", 0.0, 1.0, video_s=0.0),  # of unknown length
    ]
    table = table_of(tmp_path, rows)
    usable = ClipFiles(table, videos, numbered_chunk_s=600).usable()
    reasons = dict(zip(table.clip_idx.tolist(), usable.reason.tolist(), strict=True))
    assert [reasons[100 + row] for row in range(len(rows))] == [0, 0, 4, 4, 4, 0, 2, 1, 1, 0, 1, 0, 3, 0]
    assert sum(usable.counts().values()) == len(rows)
    assert usable.counts()[REASONS[4]] == 3
    write_left_out(tmp_path / "left_out.parquet", table, usable)
    listed = pq.read_table(tmp_path / "left_out.parquet").to_pylist()
    assert {line["clip_idx"]: line["reason"] for line in listed} == {
        100 + row: REASONS[reasons[100 + row]] for row in range(len(rows)) if reasons[100 + row]
    }
    with pytest.raises(AnnotationError, match=r"57\.1% of the clips cannot be used, at most 1\.0%.*max_missing_share"):
        check_share(usable, 0.01, videos)
    check_share(usable, 0.7, videos)


def test_usable_agrees_with_parts_on_random_chunks(tmp_path: Path) -> None:
    """What is called usable can be located, moment by moment, and nothing else."""
    rng = np.random.default_rng(0)
    videos = tmp_path / "videos"
    for video in range(6):
        folder = videos / f"v{video}.mp4"
        folder.mkdir(parents=True)
        for second in rng.permutation(8)[: rng.integers(2, 9)] * CHUNK_S:
            (folder / f"{second}.mp4").touch()
    starts = rng.uniform(0, 25, 300)
    rows = [Row(f"v{rng.integers(6)}", s, s + rng.uniform(0.1, 9), video_s=24.0) for s in starts]
    table = table_of(tmp_path, rows)
    files = ClipFiles(table, videos, numbered_chunk_s=600)
    assert files.chunk_s == CHUNK_S
    usable = set(files.usable().rows.tolist())
    start_s, end_s = files.spans(np.arange(len(table)))
    assert 20 < len(usable) < 280
    for row in range(len(table)):
        times_s = np.linspace(start_s[row], end_s[row] - 1e-3, 60)
        if start_s[row] >= 24.0:
            assert row not in usable
            continue
        try:
            files.parts(row, times_s)
        except NotFoundError:
            assert row not in usable
        else:
            assert row in usable


def test_clip_files_refuses_chunks_that_are_named_otherwise(tmp_path: Path) -> None:
    table = table_of(tmp_path, [Row("v", 0, 1)])
    for second in (0, 300, 600):
        path = tmp_path / "videos" / "v" / f"{second}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(InputError, match="chunks lie 180000 s apart"):
        ClipFiles(table, tmp_path / "videos", numbered_chunk_s=600)
    with pytest.raises(NotFoundError, match="no such folder"):
        ClipFiles(table, tmp_path / "nowhere", numbered_chunk_s=600)


def test_clip_files_single_chunks_have_the_length_of_their_layout(tmp_path: Path) -> None:
    for folder in ("seconds/v.mp4", "numbers/v"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0.mp4").touch()
    table = table_of(tmp_path, [Row("v", 0, 1)])
    assert ClipFiles(table, tmp_path / "seconds", numbered_chunk_s=600).chunk_s == 300
    assert ClipFiles(table, tmp_path / "numbers", numbered_chunk_s=600).chunk_s == 600
