"""A short film of an archive: what the camera saw, beside it the truth, below it what is being said."""

import colorsys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from henasy.errors import InputError, NotFoundError
from henasy.scenes.archive import read_config, video_path
from henasy.scenes.sheet import outline, video_frames
from henasy.scenes.truth import Truth

_LINE_PX = 18
_FONT_PX = 12
_TINT_SHARE = 0.5
_GOLDEN_TURN = 0.381966


class Film(NamedTuple):
    """Pictures that follow each other."""

    pictures: list[Image.Image]
    per_s: float


def draw_film(folder: Path, video_uid: str, start_s: float, length_s: float, frame_width_px: int) -> Film:
    """A film with a picture for every time that the truth describes.

    Args:
        folder: a finished archive.
        video_uid: one of its videos.
        start_s: where the film begins.
        length_s: how long it is; cut at the end of the video.
        frame_width_px: of each of the two frames of a picture.

    Raises:
        NotFoundError: the archive is not finished or has no such video.
        InputError: no truth lies between the times.
    """
    if not (folder / "narrations.csv").exists():
        raise NotFoundError(f"{folder} has no narrations.csv: it is no archive, or one that is not finished")
    truth = Truth.open(folder, video_uid)
    rows = np.flatnonzero((truth.times_s >= start_s) & (truth.times_s < start_s + length_s))
    if not len(rows):
        raise InputError("start_s", f"is {start_s}, truth is there from 0 to {truth.times_s[-1]} s")
    frames = video_frames(video_path(folder, video_uid), truth.times_s[rows].tolist())
    size = (frame_width_px, round(frame_width_px * frames[0].shape[0] / frames[0].shape[1]))
    colours = _colours(max(row.instance for row in truth.instances))
    pictures = [
        _picture(frame, truth.ids[row], colours, _caption(truth, float(truth.times_s[row])), size)
        for frame, row in zip(frames, rows.tolist(), strict=True)
    ]
    return Film(pictures, float(read_config(folder).truth_fps))


def _picture(
    frame: NDArray[np.uint8], ids: NDArray[np.uint8], colours: NDArray[np.uint8], caption: str, size: tuple[int, int]
) -> Image.Image:
    small = Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)
    small_ids = np.asarray(Image.fromarray(ids).resize(size, Image.Resampling.NEAREST))
    picture = Image.new("RGB", (2 * size[0], size[1] + _LINE_PX))
    picture.paste(small, (0, 0))
    picture.paste(Image.fromarray(_tinted(np.asarray(small), small_ids, colours)), (size[0], 0))
    font = ImageFont.load_default(_FONT_PX)
    ImageDraw.Draw(picture).text((5, size[1] + 1), caption, fill=(255, 255, 255), font=font)
    return picture


def _tinted(frame: NDArray[np.uint8], ids: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame in grey, with every instance in its own colour and a bright edge."""
    grey = np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2) * 0.6
    mixed = np.where((ids > 0)[..., None], (1 - _TINT_SHARE) * grey + _TINT_SHARE * colours[ids], grey)
    for instance in np.unique(ids[ids > 0]).tolist():
        mixed[outline(ids == instance)] = colours[instance]
    return mixed.astype(np.uint8)


def _colours(num_instances: int) -> NDArray[np.uint8]:
    """(N + 1, 3), neighbours far apart."""
    hues = [colorsys.hsv_to_rgb(row * _GOLDEN_TURN % 1.0, 0.75, 1.0) for row in range(num_instances + 1)]
    return np.array([[round(255 * channel) for channel in hue] for hue in hues], np.uint8)


def _caption(truth: Truth, time_s: float) -> str:
    said = [narration.text for narration in truth.narrations if narration.start_s <= time_s < narration.end_s]
    return said[0] if said else ""
