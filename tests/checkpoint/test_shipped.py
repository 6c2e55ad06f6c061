"""The checkpoint that comes with the package: its size, what it says of itself, what it makes of new scenes."""

from pathlib import Path

import numpy as np
import pytest

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.checkpoint.folder import CARD, WEIGHTS, read_checkpoint
from henasy.checkpoint.locate import locate_checkpoint
from henasy.checkpoint.shipped import SHIPPED
from henasy.scenes.archive import ArchiveConfig, video_path, write_archive
from henasy.training.clip_cache import Narration, read_narrations
from henasy.video.clips import RefusedClips, read_clips

TEST = ArchiveConfig(seed=424242, num_videos=3, video_s=40.0, width_px=228, height_px=128, fps=8, split="test")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(SHIPPED)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three held-out videos: another seed than any used in training, and combinations that training never shows."""
    folder = tmp_path_factory.mktemp("scenes")
    write_archive(TEST, folder, workers=2)
    return folder


def test_shipped_checkpoint_keeps_to_its_limits() -> None:
    folder = locate_checkpoint(SHIPPED)
    checkpoint = read_checkpoint(folder)
    assert sum(parameter.numel() for parameter in checkpoint.model.parameters()) <= 4_000_000
    assert (folder / WEIGHTS).stat().st_size <= 8_000_000
    assert checkpoint.training.is_rendered_only


def test_shipped_card_reports_every_baseline_and_both_masks() -> None:
    card = (locate_checkpoint(SHIPPED) / CARD).read_text()
    rows = ("chance", "text alone", "colour histogram", "one frame", "shuffled frames", "first stage", "HENASY")
    for row in (*rows, "handled object", "acting hand"):
        assert f"| {row}" in card, row


def test_shipped_checkpoint_ranks_the_narrated_clip_above_others(encoder: Encoder, scenes: Path) -> None:
    narrations = read_narrations(scenes)
    clips = np.concatenate(
        [_embed(encoder, scenes, [n for n in narrations if n.video_uid == v]) for v in _videos(narrations)]
    )
    texts = encoder.encode_texts([narration.text for narration in narrations])
    scores = texts @ clips.T
    action = np.array([(n.noun_rows[0], n.verb_row) for n in narrations])
    is_other = (action[:, None] != action[None, :]).any(axis=2)
    is_won = scores.diagonal()[:, None] > scores
    # 0.5 by chance; some 50 narrations, so that 0.65 is far outside of luck
    assert is_won[is_other].mean() > 0.65


def _videos(narrations: list[Narration]) -> list[str]:
    return list(dict.fromkeys(narration.video_uid for narration in narrations))


def _embed(encoder: Encoder, archive: Path, narrations: list[Narration]) -> np.ndarray:
    spans = np.array([(narration.start_s, narration.end_s) for narration in narrations])
    out = np.empty((len(spans), encoder.width), np.float32)
    for part in read_clips(video_path(archive, narrations[0].video_uid), spans, encoder.num_frames):
        assert not isinstance(part, RefusedClips)
        out[part.clip_rows] = encoder.encode_clips(part.frames, part.frame_rows).clip
    return out
