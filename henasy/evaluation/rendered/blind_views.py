"""What baselines see of a clip: less of its frames, only its colours, or nothing but its place in time.

N spans, T frames.
"""

import numpy as np
from numpy.typing import NDArray

HUE_BINS, SATURATION_BINS, VALUE_BINS = 12, 4, 4
# Colours of every third pixel in each direction: a ninth of the work, the same histogram to a percent.
_PIXEL_STEP = 3


def one_frame(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames (N, T, H, W, 3) with the middle one in every place: all looks, no motion."""
    middle = frames[:, frames.shape[1] // 2]
    return np.repeat(middle[:, None], frames.shape[1], axis=1)


def shuffled_frames(frames: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Frames (N, T, H, W, 3), each clip's in a random order that is not theirs: all looks, no direction of time."""
    num_frames = frames.shape[1]
    orders = [_other_order(num_frames, rng) for _ in frames]
    return np.stack([clip[order] for clip, order in zip(frames, orders, strict=True)])


def colour_histogram(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 192) square roots of the shares of hue, saturation and value bins over all frames of each clip."""
    pixels = frames[:, :, ::_PIXEL_STEP, ::_PIXEL_STEP].reshape(len(frames), -1, 3)
    num_bins = HUE_BINS * SATURATION_BINS * VALUE_BINS
    counts = np.stack([np.bincount(_hsv_bin(clip), minlength=num_bins) for clip in pixels])
    return np.sqrt(counts / pixels.shape[1]).astype(np.float32)


def place_in_time(start_s: float, end_s: float, video_s: float) -> list[float]:
    """What is known of a clip without looking: how long it is and where in its video."""
    length_s, place = end_s - start_s, start_s / video_s
    return [length_s, length_s**2, place, place**2, start_s]


def _other_order(num_frames: int, rng: np.random.Generator) -> NDArray[np.int64]:
    order = rng.permutation(num_frames)
    while num_frames > 1 and (order == np.arange(num_frames)).all():
        order = rng.permutation(num_frames)
    return order


def _hsv_bin(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(P,) bin of each pixel (P, 3)."""
    red, green, blue = (rgb[:, channel].astype(np.float32) / 255 for channel in range(3))
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    saturation = np.divide(chroma, value, out=np.zeros_like(value), where=value > 0)
    divisor = np.where(chroma > 0, chroma, 1)
    hue = np.where(
        value == red,
        (green - blue) / divisor % 6,
        np.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    hue_bin = np.minimum(hue / 6 * HUE_BINS, HUE_BINS - 1).astype(np.int64)
    saturation_bin = np.minimum(saturation * SATURATION_BINS, SATURATION_BINS - 1).astype(np.int64)
    value_bin = np.minimum(value * VALUE_BINS, VALUE_BINS - 1).astype(np.int64)
    bins: NDArray[np.int64] = (hue_bin * SATURATION_BINS + saturation_bin) * VALUE_BINS + value_bin
    return bins
