"""How close a whole build comes to what decoding and encoding cost alone, and whether its memory stays flat.

python benchmarks/speed/build.py VIDEOS [--model M] [--processes N] [--clips N] [--json FILE]

D and E are the rates of decoding alone and of encoding alone, each with all cores, measured in the same run. On
shared cores nothing can be faster than 1 / (1/D + 1/E). Both use the clips that the build encodes, in its batches.
"""

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from henasy.checkpoint.shipped import SHIPPED
from henasy.video import ClipBatch, ClipPlan, find_videos, probe, read_clips

_BATCH_CLIPS = 16
_SAMPLE_EVERY_S = 1.0
_ENCODE_BATCHES = 6
_NUM_FRAMES = 4


class Video(NamedTuple):
    """A video and the seconds of its clips."""

    file: str
    spans: list[list[float]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured."""

    num_clips: int
    num_processes: int
    decode_clips_per_s: float
    """D"""
    encode_clips_per_s: float
    """E"""
    bound_clips_per_s: float
    """1 / (1/D + 1/E)"""
    build_clips_per_s: float
    """From encoders being up to the last unit being durable: without starting and publishing."""
    build_share: float
    """Of the bound."""
    command_s: float
    """The whole command: start of Python, Ray and encoders, build, publishing."""
    command_share: float
    """Of the bound, everything counted."""
    memory: list[tuple[float, float, float]]
    """(seconds, MB of the driver, MB of all its processes), each page counted once."""


def decode_alone(videos: Sequence[Video]) -> int:
    """Decodes all clips of some videos; returns how many."""
    return sum(len(item.clip_rows) for video in videos for item in _batches(video))


def _batches(video: Video) -> Iterator[ClipBatch]:
    items = read_clips(video.file, np.array(video.spans), _NUM_FRAMES, batch_clips=_BATCH_CLIPS)
    return (item for item in items if isinstance(item, ClipBatch))


def encode_alone(model: str, video: Video, seconds: float) -> tuple[int, float]:
    """Encodes the first batches of a video again and again; returns clips and seconds."""
    import torch

    from henasy.checkpoint.encoder import load_encoder

    torch.set_num_threads(1)
    encoder = load_encoder(model)
    batches = [batch for batch, _ in zip(_batches(video), range(_ENCODE_BATCHES), strict=False)]
    encoder.encode_clips(batches[0].frames, batches[0].frame_rows)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for batch in batches:
            encoder.encode_clips(batch.frames, batch.frame_rows)
            count += len(batch.clip_rows)
    return count, time.perf_counter() - began


def measure_decoding(videos: Sequence[Video], num_processes: int) -> float:
    """D: clips per second of all processes together."""
    shares = [list(videos[number::num_processes]) for number in range(num_processes)]
    with _pool(num_processes) as pool:
        list(pool.map(decode_alone, [share[:1] for share in shares]))
        began = time.perf_counter()
        count = sum(pool.map(decode_alone, shares))
        return count / (time.perf_counter() - began)


def measure_encoding(model: str, videos: Sequence[Video], num_processes: int, seconds: float) -> float:
    """E: clips per second of all processes together, one thread each."""
    with _pool(num_processes) as pool:
        work = [pool.submit(encode_alone, model, videos[n % len(videos)], seconds) for n in range(num_processes)]
        return sum(count / elapsed for count, elapsed in (one.result() for one in work))


@contextlib.contextmanager
def _pool(num_processes: int) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(num_processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


class MemoryWatch(threading.Thread):
    """Samples the resident memory of a process and its descendants until told to stop."""

    def __init__(self, pid: int) -> None:
        """Does not start yet."""
        super().__init__(daemon=True)
        self._pid = pid
        self._is_over = threading.Event()
        self.samples: list[tuple[float, float, float]] = []

    def run(self) -> None:
        """Samples once a second."""
        began = time.perf_counter()
        while not self._is_over.wait(_SAMPLE_EVERY_S):
            sizes = [_memory_mb(pid) for pid in _family(self._pid)]
            self.samples.append((round(time.perf_counter() - began, 1), sizes[0], sum(sizes)))

    def stop(self) -> None:
        """Ends the sampling."""
        self._is_over.set()
        self.join()


def _family(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The name before the closing bracket may hold anything; the parent is the second field after it.
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    family = [pid]
    for one in family:
        family += parents.get(one, [])
    return family


def _memory_mb(pid: int) -> float:
    """Proportional set size: shared pages are divided among those who share them; 0 when it is gone."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3
    return 0.0


class BuildTimes(NamedTuple):
    """One run of `henasy-index build`."""

    num_clips: int
    command_s: float
    clips_per_s: float
    memory: list[tuple[float, float, float]]


def measure_build(files: Sequence[str], model: str, num_processes: int) -> BuildTimes:
    """Runs the real command on a list of videos into a new index."""
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "videos.txt"
        listing.write_text("\n".join(files), encoding="utf-8")
        options = ["--index", f"{folder}/index", "--model", model, "--workers", str(num_processes), "--json"]
        command = [sys.executable, "-m", "indexer.cli", "build", str(listing), *options]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        watch = MemoryWatch(process.pid)
        watch.start()
        assert process.stdout is not None
        reports = [(time.perf_counter(), json.loads(line)) for line in process.stdout]
        code = process.wait()
        command_s = time.perf_counter() - began
        watch.stop()
    if code != 0:
        raise click.ClickException(f"the build ended with code {code}: {reports[-1:]}")
    began_at = next(at for at, event in reports if event["event"] == "encoding")
    done_at, done = [(at, event["clips"]) for at, event in reports if event["event"] == "progress"][-1]
    return BuildTimes(done, command_s, done / (done_at - began_at), watch.samples)


def choose_videos(folder: Path, max_clips: int) -> list[Video]:
    """Videos below a folder, as many as it takes to have that many clips."""
    videos: list[Video] = []
    for found in find_videos([folder]).videos:
        if sum(len(video.spans) for video in videos) >= max_clips:
            break
        info = probe(found.path)
        videos.append(Video(str(found.path.absolute()), ClipPlan().spans(info.duration_s).tolist()))
    if not videos:
        raise click.BadParameter(f"no video in {folder}")
    return videos


def measure(folder: Path, model: str, num_processes: int, max_clips: int, encode_s: float) -> Result:
    """All of it, one after another."""
    videos = choose_videos(folder, max_clips)
    decode = measure_decoding(videos, num_processes)
    encode = measure_encoding(model, videos, num_processes, encode_s)
    built = measure_build([video.file for video in videos], model, num_processes)
    bound = 1 / (1 / decode + 1 / encode)
    return Result(
        num_clips=built.num_clips,
        num_processes=num_processes,
        decode_clips_per_s=decode,
        encode_clips_per_s=encode,
        bound_clips_per_s=bound,
        build_clips_per_s=built.clips_per_s,
        build_share=built.clips_per_s / bound,
        command_s=built.command_s,
        command_share=built.num_clips / built.command_s / bound,
        memory=built.memory,
    )


def lines_of(result: Result) -> list[str]:
    """The result as a Markdown table, with memory at ten moments."""
    rows = [
        ("clips", f"{result.num_clips}"),
        ("processes", f"{result.num_processes}"),
        ("D, decoding alone", f"{result.decode_clips_per_s:.1f} clips/s"),
        ("E, encoding alone", f"{result.encode_clips_per_s:.1f} clips/s"),
        ("1 / (1/D + 1/E)", f"{result.bound_clips_per_s:.1f} clips/s"),
        ("build", f"{result.build_clips_per_s:.1f} clips/s, {result.build_share:.0%} of the bound"),
        ("whole command", f"{result.command_s:.1f} s, {result.command_share:.0%} of the bound"),
    ]
    step = max(1, len(result.memory) // 10)
    rows += [
        (f"memory at {at:.0f} s", f"driver {driver:.0f} MB, all processes {everything:.0f} MB")
        for at, driver, everything in result.memory[::step]
    ]
    return ["| what | measured |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


@click.command()
@click.argument("videos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default=SHIPPED, show_default=True, help="Checkpoint with 4 frames per clip.")
@click.option("--processes", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--clips", default=2000, show_default=True, help="Take videos until there are so many clips.")
@click.option("--encode-s", default=15.0, show_default=True, help="Seconds of encoding alone.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the numbers here too.")
def main(videos: Path, model: str, processes: int, clips: int, encode_s: float, json_path: Path | None) -> None:
    """Measure decoding alone, encoding alone and the whole build of VIDEOS."""
    result = measure(videos, model, processes, clips, encode_s)
    print("\n".join(lines_of(result)))
    if json_path is not None:
        json_path.write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
