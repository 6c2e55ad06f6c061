"""How long a search through gRPC takes per target, and what of it is neither encoding nor nearest neighbours.

    python benchmarks/speed/search.py [--index DIR] [--clips 20000] [--calls 300] [--callers 8] [--json FILE]
    python benchmarks/speed/search.py --kind dual --clips 3600000 --calls 100    # a thousand hours

Without --index it makes one of random vectors with a random henasy-tiny-sized model: speed does not depend on what the
vectors say, but for moments, which random vectors cost most: the best clips all lie in different places. The server is
a henasy-serve of its own process; the client is the generated stub.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import click
import grpc
import numpy as np
import torch
from henasy_api.v1 import search_pb2, search_pb2_grpc
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.checkpoint.folder import save_checkpoint
from henasy.checkpoint.random_weights import random_checkpoint
from henasy.heads.moment_ends import EndsConfig
from henasy.heads.moment_ends_file import save_ends_head
from henasy.index import ClipRows, Index, IndexSettings, IndexWriter, StagedUnit, VideoRecord
from henasy.index.layout import MAX_UNIT_CLIPS
from henasy.video import ClipPlan

TARGETS = {"henasy": ("CLIPS", "VIDEOS", "MOMENTS", "ENTITIES"), "dual": ("CLIPS", "VIDEOS", "MOMENTS")}
"""By kind of index."""
TEXT_BATCHES = (1, 32)
VERBS = ("opens", "closes", "picks up", "puts down", "washes", "cuts", "stirs", "pours")
NOUNS = ("the drawer", "a mug", "the knife", "an onion", "the pan", "a towel", "the bottle", "the tap")
TEXTS = tuple(f"#C C {verb} {noun} {place}" for verb in VERBS for noun in NOUNS for place in ("again", "with a hand"))


class Call(NamedTuple):
    """One call: all of it as the client saw it, and what the server says of it, in milliseconds."""

    total_ms: float
    encode_ms: float
    nearest_ms: float


@dataclass(frozen=True, kw_only=True)
class TargetSpeed:
    """What was measured for one target."""

    calls: NDArray[np.float64]
    """(n, 3) columns of `Call`"""
    calls_per_s: float
    """By all callers together."""

    def percentiles(self) -> dict[str, float]:
        """Milliseconds by name; `neither` is all but encoding and nearest neighbours."""
        total, encode, nearest = self.calls.T
        columns = {"total": total, "encode": encode, "nearest": nearest, "neither": total - encode - nearest}
        return {
            f"{name} p{share}": float(np.percentile(values, share))
            for name, values in columns.items()
            for share in (50, 99)
        }


@click.command(context_settings={"show_default": True})
@click.option("--index", type=click.Path(path_type=Path), help="Measure on this index instead of a random one.")
@click.option("--clips", "num_clips", type=click.IntRange(min=1), default=20_000, help="Clips of the random index.")
@click.option("--kind", type=click.Choice(list(TARGETS)), default="henasy", help="Kind of the random index.")
@click.option("--calls", "num_calls", type=click.IntRange(min=10), default=300, help="Calls per target, one by one.")
@click.option("--callers", type=click.IntRange(min=1), default=8, help="Callers at a time for calls per second.")
@click.option("--top-k", type=click.IntRange(1, 1000), default=10)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the numbers here.")
def main(
    index: Path | None, num_clips: int, kind: str, num_calls: int, callers: int, top_k: int, json_file: Path | None
) -> None:
    """Measures search through gRPC, and the encoding of texts."""
    with tempfile.TemporaryDirectory() as scratch:
        encoder = random_encoder(Path(scratch), kind) if index is None else encoder_of(index)
        # First: FAISS, when it trains an index, changes the number of threads that torch takes.
        rates = {batch: texts_per_second(encoder, batch) for batch in TEXT_BATCHES}
        folder = index or random_index(Path(scratch), encoder, num_clips)
        opened = Index.open(folder, is_checked=False)
        with serving(folder) as address:
            speeds = {target: measure(address, target, num_calls, callers, top_k) for target in TARGETS[opened.kind]}
    show(opened, speeds, rates, callers)
    if json_file is not None:
        numbers = {target: {**speed.percentiles(), "calls/s": speed.calls_per_s} for target, speed in speeds.items()}
        content = {
            "clips": opened.num_clips,
            "targets": numbers,
            "moments over clips": moments_over_clips(speeds),
            "texts/s": {str(b): r for b, r in rates.items()},
        }
        json_file.write_text(json.dumps(content, indent=1))


def encoder_of(index: Path) -> Encoder:
    """The encoder that an index was made with."""
    settings = Index.open(index, is_checked=False).settings
    return load_encoder(settings.model, num_frames=settings.num_frames)


def random_encoder(folder: Path, kind: str) -> Encoder:
    """A random model of henasy-tiny's size, kept in the folder `model`; one with entities has a head for ends too."""
    save_checkpoint(folder / "model", random_checkpoint("tiny", kind, seed=0))
    encoder = load_encoder(folder / "model")
    if encoder.num_entities:
        plan = ClipPlan(num_frames=encoder.num_frames)
        config = EndsConfig(
            num_frames=plan.num_frames,
            grid=encoder.grid,
            num_entities=encoder.num_entities,
            clip_s=plan.clip_s,
            stride_s=plan.stride_s,
        )
        generator = torch.Generator().manual_seed(0)
        weights = {name: torch.rand(shape, generator=generator) - 0.5 for name, shape in config.shapes().items()}
        save_ends_head(folder / "model", config, weights, {"space_id": encoder.space_id, "trained on": []})
    return encoder


def random_index(folder: Path, encoder: Encoder, num_clips: int) -> Path:
    """An index of random vectors, a video per 512 clips, in the space of `random_encoder`'s model."""
    settings = IndexSettings(
        kind=encoder.kind,
        space_id=encoder.space_id,
        model=str(folder / "model"),
        plan=ClipPlan(num_frames=encoder.num_frames),
        width=encoder.width,
        num_entities=encoder.num_entities,
        grid=encoder.grid,
    )
    rng = np.random.default_rng(0)
    starts = range(0, num_clips, MAX_UNIT_CLIPS)
    with IndexWriter(folder / "index", settings) as writer:
        for number, start in enumerate(starts):
            rows = random_rows(settings, min(MAX_UNIT_CLIPS, num_clips - start), rng)
            writer.stage(StagedUnit(video_id=f"{number:06d}", unit=0, rows=rows))
        writer.publish([random_video(number, folder) for number in range(len(starts))], [])
    return folder / "index"


def random_rows(settings: IndexSettings, num_clips: int, rng: np.random.Generator) -> ClipRows:
    """Clips whose vectors and patches say nothing."""
    entities = settings.num_entities
    patches = (num_clips, settings.num_frames, settings.num_patches) if entities else (num_clips, 0, 0)
    return ClipRows(
        clip_rows=np.arange(num_clips),
        spans=np.stack([np.arange(num_clips), np.arange(num_clips) + 2], axis=1).astype(np.float64),
        clip=unit(rng.standard_normal((num_clips, settings.width), np.float32)),
        entities=unit(rng.standard_normal((num_clips, entities, settings.width), np.float32)),
        is_valid=np.ones((num_clips, entities), np.bool_),
        patch_share=np.full((num_clips, entities), 1 / max(1, entities), np.float32),
        assignment=rng.integers(0, max(1, entities), patches, np.uint8),
    )


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float16]:
    """The vectors at length 1, as they are stored."""
    scaled: NDArray[np.float16] = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16)
    return scaled


def random_video(number: int, folder: Path) -> VideoRecord:
    """A video that no file stands for."""
    return VideoRecord(
        video_id=f"{number:06d}",
        fingerprint=f"{number:06d}",
        root=str(folder),
        path=f"{number:06d}.mp4",
        size_bytes=0,
        modified_ns=0,
        duration_s=513.0,
        fps=30.0,
        num_frames=15_390,
        width_px=456,
        height_px=256,
        rotation_deg=0,
        codec="h264",
        num_clips=MAX_UNIT_CLIPS,
        is_online=False,
    )


@contextmanager
def serving(index: Path) -> Iterator[str]:
    """The address of a henasy-serve over the index."""
    command = [sys.executable, "-c", "from service.serve_cli import main; main()", "--index", str(index), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(f"henasy-serve ended with {process.wait()}")
        try:
            yield line.split()[-1]
        finally:
            process.terminate()


def measure(address: str, target: str, num_calls: int, callers: int, top_k: int) -> TargetSpeed:
    """Calls one by one, then as many at a time."""
    options = [("grpc.max_receive_message_length", 128 * 1024**2)]
    with grpc.insecure_channel(address, options=options) as channel:
        stub = search_pb2_grpc.HenasySearchStub(channel)

        def call(number: int) -> Call:
            number_of_target = search_pb2.Target.Value(f"TARGET_{target}")
            query = TEXTS[number % len(TEXTS)]
            started = time.perf_counter()
            answer = stub.Search(search_pb2.SearchRequest(query=query, target=number_of_target, top_k=top_k))
            total_ms = 1e3 * (time.perf_counter() - started)
            return Call(total_ms, answer.timing.encode_ms, answer.timing.nearest_ms)

        for number in range(10):
            call(number)
        calls = np.array([call(number) for number in range(num_calls)])
        started = time.perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(call, range(num_calls)))
        return TargetSpeed(calls=calls, calls_per_s=num_calls / (time.perf_counter() - started))


def texts_per_second(encoder: Encoder, batch: int, seconds: float = 2.0) -> float:
    """Texts encoded per second at one batch size, the best of three rounds."""
    texts = [TEXTS[number % len(TEXTS)] for number in range(batch)]
    encoder.encode_texts(texts)
    rates = []
    for _ in range(3):
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < seconds / 3:
            encoder.encode_texts(texts)
            count += batch
        rates.append(count / (time.perf_counter() - started))
    return max(rates)


def moments_over_clips(speeds: dict[str, TargetSpeed]) -> dict[str, float]:
    """How many times a clip query's time a query for moments takes, by percentile."""
    moments, clips = speeds["MOMENTS"].percentiles(), speeds["CLIPS"].percentiles()
    return {name: moments[f"total {name}"] / clips[f"total {name}"] for name in ("p50", "p99")}


def show(index: Index, speeds: dict[str, TargetSpeed], rates: dict[int, float], callers: int) -> None:
    """Prints both tables."""
    parts = ("total", "encode", "nearest", "neither")
    table = Table("target", *parts, f"calls/s, {callers} callers")
    for target, speed in speeds.items():
        found = speed.percentiles()
        cells = (f"{found[f'{part} p50']:.2f} / {found[f'{part} p99']:.2f}" for part in parts)
        table.add_row(target.lower(), *cells, f"{speed.calls_per_s:.0f}")
    for column in table.columns[1:]:
        column.justify = "right"
    console = Console()
    console.print(table)
    size = f"{index.num_clips:,} clips, {index.num_valid_entities:,} entities"
    console.print(f"p50 / p99 in milliseconds; {size}; calls one by one", style="dim")
    ratio = moments_over_clips(speeds)
    console.print(f"moments take {ratio['p50']:.2f} (p50) and {ratio['p99']:.2f} (p99) times as long as clips")
    for batch, rate in rates.items():
        console.print(f"{rate:,.0f} texts/s at batch {batch}")


if __name__ == "__main__":
    main()
