"""EgoMQ from videos to numbers, on a small rendered archive with random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from henasy.checkpoint.encoder import load_encoder
from henasy.evaluation.annotations.egomq import load_egomq
from henasy.evaluation.encoding.dense import RateRule
from henasy.evaluation.rendered.spans import SpanLayout, write_span_layout
from henasy.evaluation.span_tasks import egomq_encoded
from henasy.heads.proposal_training import ProposalTraining
from henasy.training.config import TrainConfig
from henasy.video.clips import ClipBatch, read_clips


@pytest.fixture
def layout(small_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpanLayout:
    """The archive as both splits; training takes a moment."""
    train = TrainConfig(num_steps=3, batch_size=2, log_every=3)
    monkeypatch.setattr(
        egomq_encoded, "ProposalTraining", lambda: ProposalTraining(hidden=8, num_levels=3, train=train)
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_span_layout(small_archive, small_archive, tmp_path)


def test_both_ways_are_scored_and_the_second_run_reads_what_the_first_kept(
    run_script: Any, layout: SpanLayout, random_checkpoint: Path, tmp_path: Path
) -> None:
    out, vsgn = tmp_path / "scores.json", tmp_path / "vsgn"
    arguments = ["--annotations", layout.annotations, "--videos", layout.videos, "--model", random_checkpoint]
    result = run_script("egomq.py", *arguments, "--zero-shot", "--export", vsgn, "--json", out)
    assert result.exit_code == 0, result.output
    assert "HENASY, VSGN" in result.output
    assert "not the whole published task" in result.output  # eleven classes
    written = json.loads(out.read_text())
    for made in ("zero_shot", "head"):
        scores = {name: value for name, value in written[made].items() if name != "facts"}
        assert list(scores) == ["mAP@0.1", "mAP@0.2", "mAP@0.3", "mAP@0.4", "mAP@0.5", "mAP", "R@1x", "R@5x"]
        assert all(0 <= value <= 1 for value in scores.values())
        assert scores["mAP"] == pytest.approx(np.mean(list(scores.values())[:5]))
        assert written[made]["facts"]["space"] == load_encoder(random_checkpoint).space_id
        assert "random" in written[made]["facts"]["warning"]
    assert "over 6 videos" in written["head"]["facts"]["above zero-shot"]
    files = ("--json", tmp_path / "again.json", "--report", tmp_path / "page.html")
    again = run_script("egomq.py", *arguments, "--zero-shot", *files)
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "again.json").read_text())["head"]["mAP"] == written["head"]["mAP"]
    for made in ("zero_shot", "head"):
        page = (tmp_path / f"page-{made}.html").read_text()
        assert page.count("annotated, ") >= 8
        assert page.count("data:image/jpeg") > 8
        assert "no file of video" not in page
    _check_exported(vsgn, layout, random_checkpoint)


def _check_exported(vsgn: Path, layout: SpanLayout, checkpoint: Path) -> None:
    """Every clip has EgoVLP's number of features, and one is what the encoder says of its part of the video."""
    encoder = load_encoder(checkpoint)
    clips = load_egomq(layout.annotations, "val").clips
    assert sorted(path.stem for path in (vsgn / "features").iterdir()) == sorted(clip.clip_uid for clip in clips)
    tensor = torch.load(vsgn / "features" / f"{clips[0].clip_uid}.pt", weights_only=True)
    span = clips[0].part_of_video()
    assert tuple(tensor.shape) == (int((span.end_s - span.start_s) * 1.87 * 4) // 4, encoder.width)
    spans = RateRule().spans(span.end_s - span.start_s, 4)[7:8]
    (batch,) = read_clips(layout.videos / f"{span.video_id}.mp4", spans, 4)
    assert isinstance(batch, ClipBatch)
    np.testing.assert_allclose(
        tensor[7].numpy(), encoder.encode_clips(batch.frames, batch.frame_rows).clip[0], atol=1e-5
    )


def test_a_missing_video_stops_the_run_or_is_said(
    run_script: Any, layout: SpanLayout, random_checkpoint: Path, tmp_path: Path
) -> None:
    gone = min(layout.videos.iterdir())
    gone.unlink()
    out = tmp_path / "scores.json"
    arguments = ["--annotations", layout.annotations, "--videos", layout.videos, "--model", random_checkpoint]
    stopped = run_script("egomq.py", *arguments)
    assert stopped.exit_code == 1
    assert f"clip {gone.stem}-clip of video {gone.stem}" in stopped.output
    partial = run_script("egomq.py", *arguments, "--allow-missing", "--json", out)
    assert partial.exit_code == 0, partial.output
    facts = json.loads(out.read_text())["head"]["facts"]
    assert "5 of 6 clips" in facts["scored"]
    assert gone.stem in str(facts["missing"])
    assert gone.stem in str(facts["training missing"])
