"""A clip as training sees it: chosen moments, one crop for all of them, at the size of the model's input. Torch-free.

T frames, (H, W) displayed frame in px, S side of the model's square input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import VideoError
from henasy.video.decode import find_decoder
from henasy.video.probe import probe

MAX_PAST_END_S = 2.0
"""Moments up to this long after the last frame show that frame, as LaViLa's loader does; later ones are refused."""
CROPS = ("random", "whole", "center")
_NUM_TRIES = 10
_ASPECT = (3 / 4, 4 / 3)


class FilePart(NamedTuple):
    """Moments of one file."""

    path: Path
    times_s: NDArray[np.float64]
    """(n,) ascending, on the file's own clock."""


class ViewRule(NamedTuple):
    """What is done to frames; the same in all frames of a clip."""

    image_px: int
    """S"""
    crop: Literal["random", "whole", "center"]
    """`random`: LaViLa's, a share of the area and an aspect ratio drawn at random; `whole`: the whole frame with its
    aspect ratio distorted, as HelpingHands; `center`: the centre square, as evaluation."""
    min_area: float = 0.5
    """Least share of the frame's area that a random crop takes."""
    is_antialiased: bool = False
    """Low-pass before downscaling."""


class View(NamedTuple):
    """What was read."""

    frames: NDArray[np.uint8]
    """(T, S, S, 3) RGB"""
    crop: NDArray[np.float64]
    """(4,) left, top, right, bottom of what is seen, as shares of the displayed frame."""


def read_view(
    parts: Sequence[FilePart],
    rule: ViewRule,
    *,
    seed: int,
    decoder: str = "pyav",
    on_progress: Callable[[], None] | None = None,
) -> View:
    """The frames at the moments of all parts, in their order.

    Args:
        parts: moments of one clip, by file.
        rule: crop and size.
        seed: of the random crop.
        decoder: `pyav` or `decord`.
        on_progress: called often while decoding advances.

    Raises:
        VideoError: a file cannot be read, a frame is damaged or missing, or the files' pictures differ in size.
    """
    images = [image for part in parts for image in _images(part, decoder, on_progress or _no_progress)]
    sizes = {image.shape[:2] for image in images}
    if len(sizes) != 1:
        raise VideoError(f"{parts[0].path}: the clip's frames have the sizes {sorted(sizes)}; they must have one")
    (height, width) = sizes.pop()
    left, top, right, bottom = crop_box(height, width, rule, np.random.default_rng(seed))
    frames = resized(np.stack(images)[:, top:bottom, left:right], rule.image_px, rule.is_antialiased)
    return View(frames, np.array([left / width, top / height, right / width, bottom / height]))


def crop_box(height: int, width: int, rule: ViewRule, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in px of what is seen of a frame.

    Source: torchvision's RandomResizedCrop: ten draws of area and aspect, then the largest allowed centre crop.
    """
    if rule.crop == "whole":
        return 0, 0, width, height
    if rule.crop == "center":
        return _centred(height, width, min(height, width), min(height, width))
    for _ in range(_NUM_TRIES):
        area = height * width * rng.uniform(rule.min_area, 1.0)
        aspect = math.exp(rng.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    return _centred(height, width, min(height, round(width / _ASPECT[0])), min(width, round(height * _ASPECT[1])))


def resized(images: NDArray[np.uint8], side_px: int, is_antialiased: bool) -> NDArray[np.uint8]:
    """Images (T, H, W, 3) brought to (T, S, S, 3) bilinearly, rounded to whole levels."""
    count, height, width, _ = images.shape
    short = _along_rows(images.reshape(count, height, -1), resize_taps(height, side_px, is_antialiased))
    turned = np.ascontiguousarray(short.reshape(count, side_px, width, 3).swapaxes(1, 2))
    small = _along_rows(turned.reshape(count, width, -1), resize_taps(width, side_px, is_antialiased))
    levels = np.clip(np.rint(small), 0, 255).astype(np.uint8).reshape(count, side_px, side_px, 3)
    return np.ascontiguousarray(levels.swapaxes(1, 2))


class Taps(NamedTuple):
    """Which of the old places, and how much of each, make up every new place along one axis."""

    places: NDArray[np.int64]
    """(taps, S)"""
    shares: NDArray[np.float32]
    """(taps, S), summing to 1 over the taps."""


@lru_cache(maxsize=512)
def resize_taps(size: int, target: int, is_antialiased: bool) -> Taps:
    """Bilinear resizing of one axis from `size` to `target` places, centres at halves, edges repeated.

    With a low-pass the triangle is as wide as the scale when sizes shrink, cut at the edges and brought to sum 1.
    """
    scale = size / target
    centres = (np.arange(target) + 0.5) * scale - 0.5
    support = max(scale, 1.0) if is_antialiased else 1.0
    if support == 1.0:
        centres = np.clip(centres, 0, size - 1)
    first = np.floor(centres - support).astype(np.int64) + 1
    places = first + np.arange(math.ceil(2 * support))[:, None]
    shares = np.maximum(0.0, 1.0 - np.abs(places - centres) / support)
    shares[(places < 0) | (places >= size)] = 0.0
    return Taps(np.clip(places, 0, size - 1), (shares / shares.sum(axis=0)).astype(np.float32))


def _along_rows(images: NDArray[Any], taps: Taps) -> NDArray[np.float32]:
    """(T, S, X) float32 of (T, H, X)."""
    total = np.zeros((images.shape[0], taps.places.shape[1], images.shape[2]), np.float32)
    for places, shares in zip(taps.places, taps.shares, strict=True):
        total += images[:, places] * shares[:, None]
    return total


def _images(part: FilePart, decoder: str, on_progress: Callable[[], None]) -> list[NDArray[np.uint8]]:
    """The frame at each moment; one just past the end is the last frame."""
    images, fault = _shown(part, decoder, on_progress)
    if fault:
        info = probe(part.path)
        last_s = info.duration_s - 0.5 / info.fps
        within = np.minimum(part.times_s, last_s)
        if 0 < float((part.times_s - within).max()) <= MAX_PAST_END_S:
            images, fault = _shown(FilePart(part.path, within), decoder, on_progress)
    if fault:
        raise VideoError(f"{part.path}: {fault}")
    return images


def _shown(part: FilePart, decoder: str, on_progress: Callable[[], None]) -> tuple[list[NDArray[np.uint8]], str]:
    """The frames, or why one of them cannot be had."""
    images: list[NDArray[np.uint8]] = []
    for run in find_decoder(decoder)(part.path, part.times_s, on_progress):
        if run.image is None:
            return [], run.fault
        images += [run.image] * (run.last - run.first)
    return images, ""


def _centred(height: int, width: int, h: int, w: int) -> tuple[int, int, int, int]:
    left, top = round((width - w) / 2), round((height - h) / 2)
    return left, top, left + w, top + h


def _no_progress() -> None:
    return None
