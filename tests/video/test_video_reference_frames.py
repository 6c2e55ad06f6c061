"""Frame numbers against those that the reference code chose."""

import json
from pathlib import Path
from typing import Any

import pytest

from henasy.errors import InputError
from henasy.video.reference_frames import (
    ChunkedFrames,
    ChunkFrame,
    ego4d_chunk_frames,
    egovlp_frame_ids,
    ek100_frame_range,
    lavila_frame_ids,
    locate_in_chunks,
    timestamp_s,
)


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, Any]:
    return dict(json.loads((golden_dir / "frame_sampling.json").read_text()))


def test_frame_ids_equal_the_reference(golden: dict[str, Any]) -> None:
    for case in golden["frame_ids"]:
        arguments = case["start"], case["end"], case["n"]
        assert list(lavila_frame_ids(*arguments)) == case["lavila"], case
        assert list(egovlp_frame_ids(*arguments)) == case["egovlp_uniform"], case


def test_ek100_frames_equal_the_reference(golden: dict[str, Any]) -> None:
    for case in golden["ek100"]:
        times = timestamp_s(case["start_timestamp"]), timestamp_s(case["stop_timestamp"])
        frames = ek100_frame_range(*times, case["fps"])
        assert frames == (case["start_frame"], case["end_frame"]), case
        assert list(lavila_frame_ids(*frames, 4)) == case["ids4"]
        assert list(lavila_frame_ids(*frames, 16)) == case["ids16"]


def test_ego4d_frames_equal_the_reference(golden: dict[str, Any]) -> None:
    for case in golden["ego4d_chunked"]:
        chosen = ego4d_chunk_frames(case["clip_start"], case["clip_end"], 4)
        assert chosen == (case["chunk_start"], tuple(case["ids4"])), case


def test_frames_past_a_chunk_spill_into_the_next_or_stay_at_the_last() -> None:
    frames = ChunkedFrames(0, (8994, 9000, 9014))
    spilled = (ChunkFrame(0, 8994), ChunkFrame(300, 0), ChunkFrame(300, 14))
    assert locate_in_chunks(frames, [9000, 9000]) == spilled
    assert locate_in_chunks(frames, [9000, 5])[2] == ChunkFrame(300, 4)
    assert locate_in_chunks(frames, [9000]) == (ChunkFrame(0, 8994), ChunkFrame(0, 8999), ChunkFrame(0, 8999))


@pytest.mark.parametrize("text", ["", "12", "00:61:00", "00:00:-1", "a:b:c", "1:2:3:4"])
def test_timestamps_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="HH:MM:SS"):
        timestamp_s(text)


def test_bad_ranges_are_refused() -> None:
    with pytest.raises(InputError, match="0 <= start < end, got 5 and 5"):
        lavila_frame_ids(5, 5, 4)
    with pytest.raises(InputError, match="num_frames"):
        lavila_frame_ids(0, 5, 0)
    with pytest.raises(InputError, match="fps"):
        ek100_frame_range(0, 1, 0.0)
