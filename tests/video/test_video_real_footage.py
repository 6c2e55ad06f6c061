"""Real first-person clips: everything the container promises is there, and both decoders see the same."""

from pathlib import Path

import numpy as np
import pytest

from henasy.video import ClipBatch, ClipPlan, find_videos, probe, read_clips


@pytest.fixture(scope="module")
def clips(shared_dir: Path) -> list[Path]:
    found = find_videos([shared_dir / "videos"])
    if not found.videos:
        pytest.skip("needs ../shared/videos")
    return [video.path for video in found.videos]


def test_every_clip_of_real_footage_is_read(clips: list[Path]) -> None:
    for path in clips:
        info = probe(path)
        assert info.duration_s == pytest.approx(info.num_frames / info.fps, abs=0.05)
        spans = ClipPlan().spans(info.duration_s)
        rows = []
        for batch in read_clips(path, spans, 4):
            assert isinstance(batch, ClipBatch), batch
            assert min(batch.frames.shape[1:3]) == 288
            assert batch.frames.std() > 10
            rows.extend(batch.clip_rows.tolist())
        assert rows == list(range(len(spans)))


def test_decoders_agree_on_real_footage(clips: list[Path]) -> None:
    pytest.importorskip("decord")
    for path in clips[:3]:
        spans = ClipPlan().spans(4.0 if probe(path).duration_s > 4 else 2.0)
        (ours,) = read_clips(path, spans, 4)
        (theirs,) = read_clips(path, spans, 4, decoder="decord")
        assert isinstance(ours, ClipBatch)
        assert isinstance(theirs, ClipBatch)
        np.testing.assert_allclose(ours.frame_times_s, theirs.frame_times_s, atol=1e-3)
        difference = np.abs(ours.frames.astype(int) - theirs.frames).mean()
        assert difference < 4  # grey levels: they resize with different filters
