"""Writes videos that carry the number of every frame as a barcode in its picture, and reads the number back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

_ROWS, _COLUMNS = 4, 8
"""16 bits, then the same bits inverted: a picture that is turned, mirrored or damaged does not read."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How a test video is written; `times_s` are the presentation times of its frames."""

    times_s: Sequence[float]
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (180, 320)
    rotation_deg: int = 0
    is_mirrored: bool = False
    fps: int = 30
    time_base: Fraction = Fraction(1, 90000)
    suffix: str = ".mp4"
    container_options: dict[str, str] = field(default_factory=dict)
    aspect: Fraction | None = None
    pix_fmt: str = "yuv420p"
    audio_from_s: float | None = None


def regular_times(num_frames: int, fps: float = 30.0, start_s: float = 0.0) -> list[float]:
    return [start_s + i / fps for i in range(num_frames)]


def write_video(path: Path, writing: Writing) -> Path:
    """The video, as tests ask for it. `rotation_deg` is the clockwise turn a player must apply."""
    with av.open(str(path), "w", container_options=writing.container_options) as container:
        stream = container.add_stream(writing.codec, rate=writing.fps, options=dict(writing.options))
        stream.height, stream.width = writing.size
        stream.pix_fmt = writing.pix_fmt
        stream.time_base = stream.codec_context.time_base = writing.time_base
        if writing.aspect is not None:
            stream.codec_context.sample_aspect_ratio = writing.aspect
        if writing.rotation_deg or writing.is_mirrored:
            stream.set_display_rotation(-writing.rotation_deg, hflip=writing.is_mirrored)
        audio = None
        if writing.audio_from_s is not None:
            audio = container.add_stream("aac", rate=48000, layout="mono")
        for number, time_s in enumerate(writing.times_s):
            frame = av.VideoFrame.from_ndarray(_stored_picture(number, writing), format="rgb24")
            frame.pts = round(time_s / writing.time_base)
            frame.time_base = writing.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            _write_silence(container, audio, writing.audio_from_s or 0.0, writing.times_s[-1])
    return path


def _write_silence(
    container: av.container.OutputContainer, stream: av.AudioStream, start_s: float, end_s: float
) -> None:
    for index in range(int((end_s - start_s) * 48000) // 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        frame.pts = round(start_s * 48000) + index * 1024
        frame.time_base = Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _stored_picture(number: int, writing: Writing) -> NDArray[np.uint8]:
    """The picture as it must be stored for the barcode to be upright after the display matrix."""
    height, width = writing.size
    if writing.rotation_deg % 180:
        height, width = width, height
    picture = barcode(number, height, width)
    if writing.is_mirrored:  # a player turns first, then mirrors
        picture = picture[:, ::-1]
    return np.ascontiguousarray(np.rot90(picture, writing.rotation_deg // 90))


def barcode(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) of the number."""
    bits = (number >> np.arange(16)) & 1
    cells = np.concatenate([bits, 1 - bits]).reshape(_ROWS, _COLUMNS)
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    gray = np.where(cells[rows][:, columns], 235, 20).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def read_number(image: NDArray[np.uint8]) -> int:
    """The number in a picture of any size; fails if it is not one whole upright barcode."""
    height, width = image.shape[:2]
    rows = ((np.arange(_ROWS) + 0.5) / _ROWS * height).astype(int)
    columns = ((np.arange(_COLUMNS) + 0.5) / _COLUMNS * width).astype(int)
    cells = image.mean(axis=2)[np.ix_(rows, columns)].reshape(-1) > 128
    assert (cells[:16] != cells[16:]).all(), "not an upright barcode"
    return int((cells[:16].astype(int) << np.arange(16)).sum())


def number_shown_at(time_s: float, times_s: Sequence[float], origin_s: float = 0.0) -> int:
    """The frame a player shows at a time: naive search of the last one that has started, to 0.6 ms."""
    started = [number for number, start_s in enumerate(times_s) if start_s - origin_s <= time_s + 6e-4]
    return max(started)
