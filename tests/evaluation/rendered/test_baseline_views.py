"""What the baselines see and learn, against the standard library's colours and plain least squares."""

import colorsys

import numpy as np
import pytest

from henasy.errors import InputError
from henasy.evaluation.rendered.blind_views import colour_histogram, one_frame, shuffled_frames
from henasy.evaluation.rendered.ridge import fit_ridge


def test_one_frame_repeats_the_middle() -> None:
    frames = np.arange(2 * 4, dtype=np.uint8).reshape(2, 4, 1, 1, 1) * np.ones((1, 1, 6, 6, 3), np.uint8)
    assert one_frame(frames)[:, :, 0, 0, 0].tolist() == [[2] * 4, [6] * 4]


def test_shuffled_frames_keep_the_set_and_lose_the_order() -> None:
    frames = np.tile(np.arange(4, dtype=np.uint8)[None, :, None, None, None], (300, 1, 2, 2, 3))
    orders = shuffled_frames(frames, np.random.default_rng(0))[:, :, 0, 0, 0]
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    assert (orders != np.arange(4)).any(axis=1).all()
    assert len(np.unique(orders, axis=0)) == 23
    assert shuffled_frames(frames[:, :1], np.random.default_rng(0)).shape == (300, 1, 2, 2, 3)


def test_colour_histogram_equals_colorsys() -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (2, 3, 10, 7, 3)).astype(np.uint8)
    histogram = colour_histogram(frames)
    for clip in range(2):
        counts = np.zeros(192)
        for red, green, blue in frames[clip, :, ::3, ::3].reshape(-1, 3) / 255:
            hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
            bins = min(int(hue * 12 + 1e-6), 11), min(int(saturation * 4 + 1e-6), 3), min(int(value * 4 + 1e-6), 3)
            counts[(bins[0] * 4 + bins[1]) * 4 + bins[2]] += 1
        np.testing.assert_allclose(histogram[clip] ** 2, counts / counts.sum(), atol=1e-6)


def test_fit_ridge_finds_a_linear_law() -> None:
    rng = np.random.default_rng(2)
    features, law = rng.standard_normal((400, 6)) * [1, 2, 3, 4, 5, 0], rng.standard_normal((6, 3))
    groups = np.repeat(np.arange(20), 20)
    fitted = fit_ridge(features, features @ law + 5.0, groups)
    assert fitted.penalty == 0.01
    asked = rng.standard_normal((50, 6)) * [1, 2, 3, 4, 5, 0]
    cosines = (fitted.predict(asked) * fitted.centred(asked @ law + 5.0)).sum(axis=1)
    assert cosines.min() > 0.999
    with pytest.raises(InputError, match="at least 5 videos"):
        fit_ridge(features[:4], features[:4], np.arange(4))
