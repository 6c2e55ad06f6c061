"""A contact sheet of an archive: one row per narration, frames over its time, masks outlined."""

import csv
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from henasy.errors import NotFoundError
from henasy.scenes.archive import video_path
from henasy.scenes.truth import Truth

_LINE_PX = 12
_OUTLINES = {"object": (255, 255, 0), "hand": (0, 255, 255)}


def contact_sheet(folder: Path, num_rows: int = 12, num_frames: int = 5) -> Image.Image:
    """A picture of `num_rows` narrations spread over the archive, each with the handled object and hand outlined.

    Raises:
        NotFoundError: the archive is not finished.
    """
    path = folder / "narrations.csv"
    if not path.exists():
        raise NotFoundError(f"{folder} has no narrations.csv: the archive is not finished")
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    chosen = np.unique(np.linspace(0, len(lines) - 1, num_rows).astype(int))
    strips = [_strip(folder, lines[row], num_frames) for row in chosen.tolist()]
    sheet = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)))
    for row, strip in enumerate(strips):
        sheet.paste(strip, (0, row * strip.height))
    return sheet


def _strip(folder: Path, line: dict[str, str], num_frames: int) -> Image.Image:
    truth = Truth.open(folder, line["video_uid"])
    start_s, end_s = float(line["clip_start"]), float(line["clip_end"])
    wanted = np.linspace(start_s, end_s, num_frames + 2)[1:-1]
    times_s = truth.times_s[[int(np.argmin(np.abs(truth.times_s - time_s))) for time_s in wanted]]
    frames = _frames(video_path(folder, line["video_uid"]), times_s.tolist())
    marks = {"object": int(line["object_id"]), "hand": truth.hands()[f"{line['hand']} hand"]}
    for frame, time_s in zip(frames, times_s.tolist(), strict=True):
        for name, instance in marks.items():
            frame[_outline(truth.masks_at(time_s, instance))] = _OUTLINES[name]
    row = np.concatenate(frames, axis=1)
    strip = Image.new("RGB", (row.shape[1], row.shape[0] + _LINE_PX))
    strip.paste(Image.fromarray(row), (0, _LINE_PX))
    ImageDraw.Draw(strip).text((2, 0), f"{start_s:.1f}-{end_s:.1f} s  {line['clip_text']}", fill=(255, 255, 255))
    return strip


def _frames(path: Path, times_s: list[float]) -> list[NDArray[np.uint8]]:
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


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inside = mask.copy()
    inside[1:-1, 1:-1] = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~inside
