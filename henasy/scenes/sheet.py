"""A contact sheet of an archive: one row per narration, frames over its time, masks outlined."""

import csv
from collections import Counter
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from henasy.errors import NotFoundError
from henasy.scenes.archive import video_path
from henasy.scenes.truth import Truth

_LINE_PX = 17
_FONT_PX = 12
_OUTLINES = {"object": (255, 255, 0), "hand": (0, 255, 255)}


def contact_sheet(
    folder: Path, num_rows: int = 12, num_frames: int = 5, frame_width_px: int | None = None
) -> Image.Image:
    """A picture of up to `num_rows` narrations: the handled object outlined in yellow, the hand in cyan.

    Args:
        folder: a finished archive.
        num_rows: narrations shown; every verb comes once before any comes twice.
        num_frames: of each narration, evenly over its time.
        frame_width_px: of each frame; as rendered if None.

    Raises:
        NotFoundError: the archive is not finished, or narrates nothing.
    """
    path = folder / "narrations.csv"
    if not path.exists():
        raise NotFoundError(f"{folder} has no narrations.csv: it is no archive, or one that is not finished")
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    if not lines:
        raise NotFoundError(f"{path} has no narrations")
    strips = [_strip(folder, line, num_frames, frame_width_px) for line in _chosen(lines, num_rows)]
    sheet = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)))
    for row, strip in enumerate(strips):
        sheet.paste(strip, (0, row * strip.height))
    return sheet


def _chosen(lines: list[dict[str, str]], num_rows: int) -> list[dict[str, str]]:
    """Lines that show seldom shown verbs, nouns, videos and hands first."""
    left, chosen = list(lines), list[dict[str, str]]()
    columns = ("verb_label", "noun", "video_uid", "hand")
    shown: Counter[tuple[str, str]] = Counter()
    while left and len(chosen) < num_rows:
        line = min(left, key=lambda line: tuple(shown[column, line[column]] for column in columns))
        left.remove(line)
        chosen.append(line)
        shown.update((column, line[column]) for column in columns)
    return chosen


def _strip(folder: Path, line: dict[str, str], num_frames: int, frame_width_px: int | None) -> Image.Image:
    truth = Truth.open(folder, line["video_uid"])
    start_s, end_s = float(line["clip_start"]), float(line["clip_end"])
    wanted = np.linspace(start_s, end_s, num_frames + 2)[1:-1]
    times_s = truth.times_s[[int(np.argmin(np.abs(truth.times_s - time_s))) for time_s in wanted]]
    frames = video_frames(video_path(folder, line["video_uid"]), times_s.tolist())
    marks = {"object": int(line["object_id"]), "hand": truth.hands()[f"{line['hand']} hand"]}
    marked = [
        _marked(frame, {name: truth.masks_at(time_s, number) for name, number in marks.items()}, frame_width_px)
        for frame, time_s in zip(frames, times_s.tolist(), strict=True)
    ]
    width, height = marked[0].size
    strip = Image.new("RGB", (width * num_frames, height + _LINE_PX))
    for column, frame in enumerate(marked):
        strip.paste(frame, (column * width, _LINE_PX))
    caption = f"{line['clip_text']}   {start_s:.1f}-{end_s:.1f} s of {line['video_uid']}"
    font = ImageFont.load_default(_FONT_PX)
    ImageDraw.Draw(strip).text((4, 1), caption, fill=(255, 255, 255), font=font)
    return strip


def _marked(frame: NDArray[np.uint8], masks: dict[str, NDArray[np.bool_]], width_px: int | None) -> Image.Image:
    """The frame at the asked width, with the edge of each mask drawn one pixel wide."""
    height, width, _ = frame.shape
    size = (width, height) if width_px is None else (width_px, round(height * width_px / width))
    small = np.array(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
    for name, mask in masks.items():
        shrunk = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        small[outline(shrunk)] = _OUTLINES[name]
    return Image.fromarray(small)


def video_frames(path: Path, times_s: list[float]) -> list[NDArray[np.uint8]]:
    """The frame on screen at each of ascending times."""
    frames: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        shown: NDArray[np.uint8] | None = None
        for frame in container.decode(video=0):
            while shown is not None and len(frames) < len(times_s) and frame.time > times_s[len(frames)] + 1e-6:
                frames.append(shown.copy())
            if len(frames) == len(times_s):
                return frames
            shown = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    assert shown is not None
    return frames + [shown.copy() for _ in times_s[len(frames) :]]


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask (H, W) that have a neighbour above, below or beside outside of it or of the picture."""
    inside = np.zeros_like(mask)
    inside[1:-1, 1:-1] = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~inside
