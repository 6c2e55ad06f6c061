"""The two retrieval benchmarks from videos to numbers, on a small rendered archive with random weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.checkpoint.encoder import load_encoder
from henasy.evaluation.annotations.egomcq import load_egomcq
from henasy.evaluation.rendered.layouts import write_layouts
from henasy.evaluation.tasks.report import RENDERED_HEADING
from henasy.video.decode import find_decoder
from henasy.video.reference_frames import lavila_frame_ids


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def naive_clip(encoder: Any, video: Path, start_s: float, end_s: float, fps: int) -> np.ndarray:
    first = round(start_s * fps)
    ids = lavila_frame_ids(first, first + max(int((end_s - start_s) * fps), 4), 4)
    times_s = (np.array(ids) + 0.5) / fps
    runs = find_decoder("pyav")(video, times_s, lambda: None)
    frames = [run.image for run in runs for _ in range(run.first, run.last)]
    return encoder.encode_clips(np.stack(frames), np.arange(4)[None]).clip[0]


def test_egomcq_on_an_archive_equals_a_naive_loop(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    result = run_script("egomcq.py", "--archive", small_archive, "--model", random_checkpoint, "--json", out)
    assert result.exit_code == 0, result.output
    assert RENDERED_HEADING in result.output
    assert "EgoVLP" not in result.output
    written = json.loads(out.read_text())
    assert written["facts"]["space"] == load_encoder(random_checkpoint).space_id
    assert "random" in written["facts"]["warning"]

    encoder = load_encoder(random_checkpoint)
    questions = load_egomcq(write_layouts(small_archive, tmp_path).egomcq).questions
    right: dict[int, list[bool]] = {1: [], 2: []}
    clips: dict[Any, np.ndarray] = {}
    for question in questions:
        text = encoder.encode_texts([question.text])[0]
        for span in question.choices:
            if span not in clips:
                video = small_archive / "videos" / f"{span.video_id}.mp4"
                clips[span] = naive_clip(encoder, video, span.start_s, span.end_s, 8)
        scores = [float(clips[span] @ text) for span in question.choices]
        right[question.type].append(int(np.argmax(scores)) == question.answer)
    assert written["inter"] == pytest.approx(np.mean(right[1]))
    assert written["intra"] == pytest.approx(np.mean(right[2]))


def test_ek100_on_real_layout_beside_the_papers(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    layout = write_layouts(small_archive, tmp_path)
    out = tmp_path / "scores.json"
    arguments = ("--annotations", layout.epic_annotations, "--videos", layout.videos, "--model", random_checkpoint)
    result = run_script("ek100_mir.py", *arguments, "--json", out)
    assert result.exit_code == 0, result.output
    assert "HelpingHands" in result.output
    written = json.loads(out.read_text())
    assert 0 < written["mAP_avg"] < 1
    assert written["mAP_avg"] == pytest.approx((written["mAP_v2t"] + written["mAP_t2v"]) / 2)
    again = run_script("ek100_mir.py", "--archive", small_archive, "--model", random_checkpoint, "--json", out)
    assert RENDERED_HEADING in again.output
    assert json.loads(out.read_text())["mAP_avg"] == written["mAP_avg"]


def test_missing_and_broken_videos_stop_the_run_unless_allowed(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    layout = write_layouts(small_archive, tmp_path)
    videos = tmp_path / "videos"
    shutil.copytree(layout.videos, videos)
    gone, broken, *_ = sorted(videos.iterdir())
    gone.unlink()
    arguments = ("--annotations", layout.epic_annotations, "--videos", videos, "--model", random_checkpoint)
    stopped = run_script("ek100_mir.py", *arguments)
    assert stopped.exit_code == 1
    assert f"1 annotated videos are not there: {gone.stem}" in stopped.output

    broken.write_bytes(broken.read_bytes()[:300])
    allowed = run_script("ek100_mir.py", *arguments, "--allow-missing")
    assert allowed.exit_code == 0, allowed.output
    assert "not the whole test set" in allowed.output
    assert str(broken) in allowed.output
    questions = ("--annotations", layout.egomcq, "--videos", videos, "--model", random_checkpoint)
    assert run_script("egomcq.py", *questions).exit_code == 1
    partial = run_script("egomcq.py", *questions, "--allow-missing")
    assert "not the whole published set, which has about 39,000 questions" in partial.output
    gone.write_bytes(b"")
    refused = run_script("ek100_mir.py", *arguments)
    assert refused.exit_code == 1
    assert "cannot be read" in refused.output
    assert "is empty" in refused.output
