"""`henasy-train moments`: a head is trained, written beside the weights, and used; what is no lesson is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import MOMENT_ENDS
from henasy.checkpoint.locate import locate_checkpoint
from henasy.commands.train import main
from henasy.errors import AnnotationError, NotFoundError
from henasy.heads.moment_ends_file import read_ends_head
from henasy.heads.moment_ends_videos import narrated_spans, narrated_videos
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.video.plan import ClipPlan

HEADER = "video_uid\tclip_start\tclip_end\n"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short rendered videos, 12.4 s long, so that the last clip of each is off the raster."""
    folder = tmp_path_factory.mktemp("archive")
    config = ArchiveConfig(seed=5, num_videos=2, video_s=12.375, width_px=128, height_px=72, fps=8, split="train")
    write_archive(config, folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shipped one without its head."""
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    shutil.copytree(locate_checkpoint("henasy-tiny"), folder, ignore=shutil.ignore_patterns(MOMENT_ENDS))
    return folder


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["moments", *map(str, arguments)])


def test_a_head_is_written_beside_the_weights(checkpoint: Path, archive: Path) -> None:
    result = train(checkpoint, archive, "--videos", 1)
    assert result.exit_code == 0, result.output
    assert f"wrote {checkpoint / MOMENT_ENDS}" in result.output
    assert json.loads((checkpoint / MOMENT_ENDS / "head.json").read_text())["facts"]["num_videos_left_out"] == 0
    encoder = load_encoder(checkpoint)
    head = read_ends_head(checkpoint, encoder, ClipPlan(num_frames=encoder.num_frames))
    assert head is not None
    videos = narrated_videos(encoder, archive, ClipPlan(num_frames=encoder.num_frames))
    assert [len(video.starts_s) for video in videos] == [11, 11]
    scores = head.scores(videos[0].starts_s, videos[0].starts_s + 2, videos[0].assignment)
    # A head that was shown one video knows its ends by heart.
    for column, log_odds in enumerate((scores.starts, scores.ends)):
        inside = videos[0].spans[(videos[0].spans[:, column] > 0.7) & (videos[0].spans[:, column] < 10.3), column]
        for end_s in inside:
            is_near = np.abs(scores.times_s - end_s) < 1
            assert np.abs(scores.times_s[is_near][log_odds[is_near].argmax()] - end_s) < 0.5


def test_what_cannot_be_trained_on_is_refused(checkpoint: Path, archive: Path, tmp_path: Path) -> None:
    assert "no narrations here" in train(checkpoint, tmp_path).output
    assert "Missing argument 'ARCHIVES...'" in train(checkpoint).output
    (tmp_path / "narrations.csv").write_text(HEADER + "gone\t1.0\t2.0\n")
    result = train(checkpoint, tmp_path)
    assert result.exit_code == 1
    assert "gone.mp4" in result.output
    assert "clip_s must be in" in train(checkpoint, archive, "--clip-s", 0).output


def test_a_span_after_its_video_is_refused_before_anything_is_encoded(
    checkpoint: Path, archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "videos").symlink_to(archive / "videos")
    uid = next(iter(narrated_spans(archive)))
    (tmp_path / "narrations.csv").write_text(HEADER + f"{uid}\t1.0\t12.8\n{uid}\t5000\t6000\n")
    result = train(checkpoint, archive, tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path / 'narrations.csv'}, line 3: spans 5000 to 6000 s" in result.output
    assert f"{uid}.mp4 ends at 12.375 s" in result.output
    assert "clips," not in result.output


def test_a_place_and_a_seed_are_checked_before_anything_is_encoded(
    checkpoint: Path, archive: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, copy, ignore=shutil.ignore_patterns(MOMENT_ENDS))
    (copy / MOMENT_ENDS).mkdir()
    (copy / MOMENT_ENDS / "notes.txt").write_text("mine")
    result = train(copy, archive)
    assert result.exit_code == 1
    assert "holds something else (notes.txt), not a head" in result.output
    assert "clips," not in result.output
    result = train(copy, archive, "--seed", -1)
    assert result.exit_code == 2
    assert "Invalid value for '--seed': -1 is not in the range" in result.output


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("video_uid\tclip_start\n", AnnotationError, "lacks clip_end; needed are video_uid, clip_start, clip_end"),
        (HEADER + "a\t1.0\tlate\n", AnnotationError, "line 2: clip_start '1.0', clip_end 'late'"),
        (HEADER + "a\t1.0\t2.0\na\t3.0\t2.5\n", AnnotationError, "line 3: spans 3 to 2.5 s; needs 0 <= start < end"),
        (HEADER + "a\tnan\t2.0\n", AnnotationError, "spans nan to 2 s"),
        (None, NotFoundError, "no narrations here"),
    ],
)
def test_narrations_are_checked(tmp_path: Path, text: str | None, error: type[Exception], said: str) -> None:
    if text is not None:
        (tmp_path / "narrations.csv").write_text(text)
    with pytest.raises(error, match=said):
        narrated_spans(tmp_path)
