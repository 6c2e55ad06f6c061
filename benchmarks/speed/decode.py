"""How fast each decoder gives the clips of a video, and what memory that takes.

    python benchmarks/speed/decode.py [--video FILE] [--minutes 2] [--memory-minutes 10 30]

Without a video, footage of 456x256 at 30 frames per second is made: a drifting, noisy texture, H.264, B-frames, a key
frame every 250. The clips are those of the default plan. Every row is measured in a process of its own; OpenCV reads
by frame number and is listed for comparison, if it is installed.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import click
import numpy as np
from rich.console import Console
from rich.table import Table

from henasy.evaluation.tasks.report import reported_errors, write_json
from henasy.video import ClipBatch, ClipPlan, frame_times, probe, read_clips
from henasy.video.isolated import read_clips_isolated

PLAN = ClipPlan()
HEIGHT_PX, WIDTH_PX, FPS = 256, 456, 30
LOOP_S = 10


@click.command()
@click.option(
    "--video", "given", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Footage to decode."
)
@click.option("--minutes", type=click.FloatRange(min=0.2), default=2.0, show_default=True)
@click.option("--rounds", "num_rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--memory-minutes", type=(float, float), default=(10.0, 30.0), show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
@click.option("--only", type=click.Choice(["pyav", "pyav, isolated", "decord", "opencv"]), hidden=True)
def main(
    given: Path | None,
    minutes: float,
    num_rounds: int,
    memory_minutes: tuple[float, float],
    json_path: Path | None,
    only: str | None,
) -> None:
    """Measure the decoders."""
    if only is not None:
        assert given is not None
        print(json.dumps(measure(given, READERS[only], num_rounds)))
        return
    with reported_errors(), TemporaryDirectory() as folder:
        loop = given or make_footage(Path(folder) / "loop.mp4")
        video = repeat(loop, Path(folder) / "video.mp4", minutes)
        speeds = {name: measure_apart(video, name, num_rounds) for name in READERS}
        spans = [repeat(loop, Path(folder) / f"{length:g}.mp4", length) for length in memory_minutes]
        memory = {name: [measure_apart(each, name, 1) for each in spans] for name in READERS if speeds[name]}
    Console().print(speed_table(speeds), memory_table(memory, memory_minutes))
    if json_path is not None:
        write_json(json_path, speed_numbers(speeds), {"minutes": minutes, "rounds": num_rounds, "video": str(given)})


def read_with(decoder: str) -> Callable[[Path], int]:
    """A reader that decodes all clips with one of the library's decoders and counts them."""

    def read(path: Path) -> int:
        batches = read_clips(path, PLAN.spans(probe(path).duration_s), PLAN.num_frames, decoder=decoder)
        return sum(len(batch.spans) for batch in batches if isinstance(batch, ClipBatch))

    return read


def read_isolated(path: Path) -> int:
    """Clips that came through a child process."""
    batches = read_clips_isolated(path, PLAN.spans(probe(path).duration_s), PLAN.num_frames)
    return sum(len(batch.spans) for batch in batches if isinstance(batch, ClipBatch))


def read_with_opencv(path: Path) -> int:
    """Clips whose frames OpenCV gave, found by frame number."""
    import cv2

    cv2.setNumThreads(1)
    info = probe(path)
    spans = PLAN.spans(info.duration_s)
    wanted = set(np.floor(frame_times(spans, PLAN.num_frames) * info.fps + 1e-6).astype(int).ravel().tolist())
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    number = 0
    while capture.grab():
        if number in wanted:
            cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
        number += 1
    return len(spans)


READERS: dict[str, Callable[[Path], int]] = {
    "pyav": read_with("pyav"),
    "pyav, isolated": read_isolated,
    "decord": read_with("decord"),
    "opencv": read_with_opencv,
}


def measure(path: Path, read: Callable[[Path], int], num_rounds: int) -> dict[str, float]:
    """Best wall and processor time over rounds, and the most memory this process and its child ever held."""
    seconds, cpu_seconds = [], []
    for _ in range(num_rounds):
        start_s, start_cpu_s = time.perf_counter(), sum(os.times()[:4])
        num_clips = read(path)
        seconds.append(time.perf_counter() - start_s)
        cpu_seconds.append(sum(os.times()[:4]) - start_cpu_s)
    info = probe(path)
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return {
        "clips_per_s": num_clips / min(seconds),
        "frames_per_s": info.duration_s * info.fps / min(seconds),
        "times_real": info.duration_s / min(seconds),
        "times_real_per_cpu": info.duration_s / min(cpu_seconds),
        "resident_mb": sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024,
    }


def measure_apart(path: Path, name: str, num_rounds: int) -> dict[str, float]:
    """As `measure`, in a new process; empty if the decoder is not installed."""
    command = [sys.executable, __file__, "--only", name, "--video", str(path), "--rounds", str(num_rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return dict(json.loads(done.stdout))
    if "No module named" in done.stderr or "needs the package" in done.stderr:
        return {}
    raise click.ClickException(f"{name} failed on {path}: {done.stderr.strip()[-500:]}")


def make_footage(path: Path) -> Path:
    """Ten seconds of a noisy texture over which a camera drifts."""
    chooser = np.random.default_rng(0)
    coarse = chooser.integers(0, 256, (HEIGHT_PX // 4, WIDTH_PX // 4, 3), dtype=np.uint8)
    scene = np.tile(coarse.repeat(8, axis=0).repeat(8, axis=1), (1, 2, 1)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": "250", "crf": "23"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT_PX, WIDTH_PX, "yuv420p"
        for number in range(LOOP_S * FPS):
            top, left = int(100 + 80 * np.sin(number / 40)), 2 * number
            view = scene[top : top + HEIGHT_PX, left : left + WIDTH_PX]
            noisy = np.clip(view + chooser.normal(0, 4, view.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def repeat(loop: Path, path: Path, minutes: float) -> Path:
    """The loop again and again without decoding, for this long."""
    duration_s = probe(loop).duration_s
    with av.open(str(path), "w") as output:
        stream = None
        for turn in range(max(1, round(minutes * 60 / duration_s))):
            with av.open(str(loop)) as source:
                video = source.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                shift = round(turn * duration_s / video.time_base)
                for packet in source.demux(video):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        output.mux(packet)
    return path


def speed_table(speeds: dict[str, dict[str, float]]) -> Table:
    """One row per decoder."""
    table = Table("decoder", "clips/s", "source frames/s", "times real time", "resident MB")
    for name, row in speeds.items():
        numbers = (
            [f"{row[key]:.0f}" for key in ("clips_per_s", "frames_per_s", "times_real", "resident_mb")] if row else []
        )
        table.add_row(name, *(numbers or ["not installed"]))
    return table


def memory_table(memory: dict[str, list[dict[str, float]]], minutes: tuple[float, float]) -> Table:
    """Whether memory grows with the length of a video."""
    table = Table("decoder", *(f"resident MB, {length:g} min" for length in minutes))
    for name, rows in memory.items():
        table.add_row(name, *(f"{row['resident_mb']:.0f}" for row in rows))
    return table


def speed_numbers(speeds: dict[str, dict[str, float]]) -> dict[str, float]:
    """The numbers of the table under flat names."""
    return {f"{name} {key}": value for name, row in speeds.items() for key, value in row.items()}


if __name__ == "__main__":
    main()
