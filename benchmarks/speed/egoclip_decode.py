"""How many clips a core decodes for training on EgoClip, by how far apart the videos' key frames are.

    python benchmarks/speed/egoclip_decode.py FOOTAGE [--minutes 2] [--clips 150]

The footage, any short first-person videos, is repeated to fill one chunk in LaViLa's form (288 px, 30 fps, H.264), once
with x264's own spacing of key frames and twice with shorter ones. Clips of a second are then read from it at random as
training reads them: four random moments, a random crop, 224 px. Counted is the CPU time of this one process.
"""

import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import av
import click
import numpy as np

from henasy.video.views import FilePart, ViewRule, read_view

SIZE = (288, 512)
FPS = 30


@click.command()
@click.argument("footage", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--minutes", default=2.0, show_default=True, help="Length of the chunk.")
@click.option("--clips", default=150, show_default=True, help="Clips to read.")
@click.option("--clip-s", default=1.0, show_default=True, help="Length of a clip; EgoClip's mean is about a second.")
def main(footage: Path, minutes: float, clips: int, clip_s: float) -> None:
    """Prints a table."""
    click.echo(
        "| key frames every | MB per minute | CPU ms per clip | clips/s per core | core-hours for 5 epochs of EgoClip |"
    )
    click.echo("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for spacing in (250, 60, 30):
            path = Path(name) / f"{spacing}.mp4"
            write_chunk(path, footage, spacing, int(minutes * 60 * FPS))
            per_clip_s = cpu_s_per_clip(path, minutes * 60, clips, clip_s)
            hours = 5 * 2 * 3_847_723 * per_clip_s / 3600
            click.echo(
                f"| {spacing} frames | {path.stat().st_size / 1e6 / minutes:.1f} | {per_clip_s * 1e3:.0f} | "
                f"{1 / per_clip_s:.0f} | {hours:,.0f} |"
            )


def write_chunk(path: Path, footage: Path, spacing: int, num_frames: int) -> None:
    """The footage, repeated, as one H.264 file with a key frame at least every `spacing` frames."""
    frames = _pictures(footage)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"g": str(spacing), "crf": "23"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(num_frames):
            frame = next(frames)
            frame.pts = number
            frame.time_base = Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def cpu_s_per_clip(path: Path, duration_s: float, num_clips: int, clip_s: float) -> float:
    """CPU seconds that this process takes for a clip of the file."""
    rng = np.random.default_rng(0)
    rule = ViewRule(224, "random")
    starts_s = rng.uniform(0, duration_s - clip_s - 1, num_clips)
    started_s = time.process_time()
    for number, start_s in enumerate(starts_s):
        times_s = start_s + (np.arange(4) + rng.random(4)) / 4 * clip_s
        read_view([FilePart(path, times_s)], rule, seed=number)
    return (time.process_time() - started_s) / num_clips


def _pictures(footage: Path) -> Iterator[av.VideoFrame]:
    """All frames of all videos, again and again, at the size of LaViLa's chunks."""
    for path in cycle(sorted(footage.glob("*.mp4"))):
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                yield frame.reformat(width=SIZE[1], height=SIZE[0], format="yuv420p")


if __name__ == "__main__":
    main()
