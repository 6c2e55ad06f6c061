"""The training log: one JSON object a line, and the picture drawn from it."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw

from henasy.training.curves import Curves


class TrainLog:
    """Appends lines to `log.jsonl`, and to `tensorboard/` beside it if asked to.

    After a resume, lines past the resumed step are cut off first.
    """

    def __init__(self, path: Path, *, resume_step: int = 0, has_tensorboard: bool = False) -> None:
        self.path = path
        self._curves = Curves(path.parent / "tensorboard", resume_step=resume_step) if has_tensorboard else None
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_log(path) if int(line["step"]) < resume_step] if path.exists() else []
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(temporary, path)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one line; a value that is not finite is stored as null."""
        clean = {name: (value if math.isfinite(value) else None) for name, value in values.items()}
        with self.path.open("a") as stream:
            stream.write(json.dumps({"step": step, **clean}) + "\n")
        if self._curves is not None:
            self._curves.write(step, values)

    def close(self) -> None:
        """Ends what runs beside the writing."""
        if self._curves is not None:
            self._curves.close()


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log, oldest first; a last line cut short by a kill is left out."""
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def plot_log(path: Path, picture: Path, *, width_px: int = 900, panel_px: int = 180) -> None:
    """Draws each logged quantity over the steps, one panel below the other."""
    lines = read_log(path)
    names = sorted({name for line in lines for name in line} - {"step"})
    image = Image.new("RGB", (width_px, max(1, len(names)) * panel_px), "white")
    draw = ImageDraw.Draw(image)
    for row, name in enumerate(names):
        points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
        _draw_panel(draw, name, points, top_px=row * panel_px, width_px=width_px, height_px=panel_px)
    image.save(picture)


def _draw_panel(
    draw: ImageDraw.ImageDraw,
    name: str,
    points: list[tuple[float, float]],
    *,
    top_px: int,
    width_px: int,
    height_px: int,
) -> None:
    steps, values = [p[0] for p in points], [p[1] for p in points]
    low, high = min(values, default=0.0), max(values, default=1.0)
    last = max(steps, default=1) or 1
    left, bottom, inner = 60, top_px + height_px - 24, height_px - 48
    draw.text((left, top_px + 6), f"{name}   last {values[-1]:.4g}" if values else name, fill="black")
    draw.text((4, top_px + 24), f"{high:.3g}", fill="grey")
    draw.text((4, bottom - 12), f"{low:.3g}", fill="grey")
    draw.rectangle((left, top_px + 24, width_px - 12, bottom), outline="lightgrey")
    scale = inner / ((high - low) or 1.0)
    line = [(left + s / last * (width_px - 12 - left), bottom - (v - low) * scale) for s, v in points]
    if len(line) > 1:
        draw.line(line, fill="navy", width=2)
