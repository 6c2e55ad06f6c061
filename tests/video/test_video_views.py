"""Views of clips: resizing against torch's, crops against their definition, moments, and what cannot be read."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from spoiled_decoder import set_fate, spoil_decoders

from henasy.errors import VideoError
from henasy.video.isolated import DecodeProcess
from henasy.video.view_pool import ViewPool
from henasy.video.views import FilePart, View, ViewRule, crop_box, read_view, resized

WHOLE = ViewRule(16, "whole")


def grey_video(path: Path, num_frames: int, first: int = 0) -> Path:
    """10 frames a second of grey level 20 + 3 i."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options={"crf": "1", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(first, first + num_frames):
            picture = np.full((48, 64, 3), 20 + 3 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def numbers(frames: np.ndarray) -> list[int]:
    return np.rint((frames.mean(axis=(1, 2, 3)) - 20) / 3).astype(int).tolist()


@pytest.mark.parametrize("is_antialiased", [False, True])
@pytest.mark.parametrize("size", [(48, 64), (16, 16), (9, 7), (201, 333)])
def test_resized_is_torch_interpolation_to_half_a_level(size: tuple[int, int], is_antialiased: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    expected = F.interpolate(
        torch.from_numpy(images).permute(0, 3, 1, 2).float(),
        size=(32, 32),
        mode="bilinear",
        align_corners=False,
        antialias=is_antialiased,
    )
    got = resized(images, 32, is_antialiased)
    assert got.shape == (2, 32, 32, 3)
    assert float((torch.from_numpy(got).permute(0, 3, 1, 2) - expected).abs().max()) <= 0.5 + 1e-3


def test_random_crop_keeps_area_and_aspect_in_their_ranges() -> None:
    rule, rng = ViewRule(16, "random", 0.5), np.random.default_rng(3)
    boxes = np.array([crop_box(288, 512, rule, rng) for _ in range(500)])
    left, top, right, bottom = boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 512).all()
    assert (bottom <= 288).all()
    area, aspect = (right - left) * (bottom - top) / (288 * 512), (right - left) / (bottom - top)
    assert area.min() > 0.495
    assert (aspect > 0.74).all()
    assert (aspect < 1.35).all()
    assert len(np.unique(left)) > 50


def test_other_crops_are_fixed() -> None:
    rng = np.random.default_rng(0)
    assert crop_box(48, 64, ViewRule(16, "whole"), rng) == (0, 0, 64, 48)
    assert crop_box(48, 64, ViewRule(16, "center"), rng) == (8, 0, 56, 48)


def test_read_view_takes_moments_across_files_in_order(tmp_path: Path) -> None:
    parts = [
        FilePart(grey_video(tmp_path / "a.mp4", 20), np.array([1.75, 1.95])),
        FilePart(grey_video(tmp_path / "b.mp4", 20, first=20), np.array([0.05, 0.35])),
    ]
    view = read_view(parts, WHOLE, seed=0)
    assert numbers(view.frames) == [17, 19, 20, 23]
    assert view.crop.tolist() == [0, 0, 1, 1]


def test_read_view_shortly_past_the_end_is_the_last_frame_later_is_refused(tmp_path: Path) -> None:
    path = grey_video(tmp_path / "a.mp4", 20)
    assert numbers(read_view([FilePart(path, np.array([1.85, 3.5]))], WHOLE, seed=0).frames) == [18, 19]
    with pytest.raises(VideoError, match="no frame after"):
        read_view([FilePart(path, np.array([1.85, 4.5]))], WHOLE, seed=0)


def test_view_pool_reads_in_children_and_outlives_damage(tmp_path: Path) -> None:
    good, bad = grey_video(tmp_path / "a.mp4", 20), tmp_path / "b.mp4"
    bad.write_bytes(b"no video at all")
    rule = ViewRule(16, "random")
    with ViewPool(2) as pool:
        asked = [pool.submit([FilePart(path, np.array([0.5, 1.5]))], rule, seed=7) for path in (good, bad, good)]
        with pytest.raises(VideoError, match=r"b\.mp4"):
            asked[1].result()
        here = read_view([FilePart(good, np.array([0.5, 1.5]))], rule, seed=7)
        for future in (asked[0], asked[2]):
            assert np.array_equal(future.result().frames, here.frames)
            assert np.array_equal(future.result().crop, here.crop)


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("crash", "was killed by SIGSEGV"),
        ("hang", "made no progress for 3 s"),
        ("endless", "decoding was not finished in time"),
    ],
)
def test_view_pool_gives_up_a_clip_at_which_two_children_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: str, reason: str
) -> None:
    spoil_decoders(tmp_path / "site", monkeypatch)
    good, bad = grey_video(tmp_path / "good.mp4", 10), grey_video(tmp_path / "bad.mp4", 10)
    set_fate(bad, fate)
    moments = np.array([0.5])
    with ViewPool(1, timeout_s=3.0, limit_s=30.0 if fate != "endless" else 4.0) as pool:
        warm = pool.submit([FilePart(good, moments)], WHOLE, seed=0).result()
        with pytest.raises(VideoError, match=reason):
            pool.submit([FilePart(bad, moments)], WHOLE, seed=0).result()
        again = pool.submit([FilePart(good, moments)], WHOLE, seed=0).result()
    assert np.array_equal(warm.frames, again.frames)


def test_view_pool_tries_a_clip_again_whose_child_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_decoders(tmp_path / "site", monkeypatch)
    path = grey_video(tmp_path / "a.mp4", 10)
    set_fate(path, "crash")
    read = DecodeProcess.read_view
    attempts: list[DecodeProcess] = []

    def healed_at_the_second(self: DecodeProcess, *args: object, **options: object) -> View:
        set_fate(path, "" if attempts else "crash")
        attempts.append(self)
        return read(self, *args, **options)

    monkeypatch.setattr(DecodeProcess, "read_view", healed_at_the_second)
    with ViewPool(1) as pool:
        view = pool.submit([FilePart(path, np.array([0.55]))], WHOLE, seed=0).result()
    assert numbers(view.frames) == [5]
    assert len(attempts) == 2
