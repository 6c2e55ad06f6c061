"""Clips and texts per second of an encoder, against the plain float32 loop over the same weights.

    python benchmarks/speed/encode.py [--preset tiny --preset base] [--device cpu] [--clips 16] [--vocab FILE]

Weights are random: speed does not depend on them. Frames are 456x256, already decoded; preparing them is included.
The share is that of a large matrix product of the same type, measured in the same run on the same threads.
"""

from functools import partial
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from henasy.checkpoint.encoder import Encoder, default_micro_batch
from henasy.checkpoint.folder import Checkpoint
from henasy.checkpoint.random_weights import PRESETS, random_checkpoint
from henasy.evaluation.machine.encoding_speed import matmul_rate, plain_loop, random_clips, time_rounds
from henasy.evaluation.tasks.report import reported_errors, write_json
from henasy.model.flops import clip_cost

TEXT_BATCHES = (1, 32)
TEXT = "#C C picks up the blue mug with the left hand"


@click.command()
@click.option("--preset", "presets", type=click.Choice(PRESETS), multiple=True, default=("tiny", "base"))
@click.option("--device", default="cpu", show_default=True)
@click.option("--clips", "num_clips", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--rounds", "num_rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch; its own choice by default.")
@click.option("--vocab", type=click.Path(path_type=Path, dir_okay=False), help="CLIP's vocabulary, for base's texts.")
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(
    presets: tuple[str, ...],
    device: str,
    num_clips: int,
    num_rounds: int,
    threads: int | None,
    vocab: Path | None,
    json_path: Path | None,
) -> None:
    """Measure how fast clips and texts are encoded."""
    if threads is not None:
        torch.set_num_threads(threads)
    with reported_errors():
        peaks = {dtype: matmul_rate(device, dtype) for dtype in ("float32", "bfloat16")}
        table = Table("clips", "clips/s", "of plain loop", "GFLOP per clip", "GFLOP/s", "of matmul rate")
        texts = Table("texts", *(f"texts/s at batch {size}" for size in TEXT_BATCHES))
        for column in (*table.columns[1:], *texts.columns[1:]):
            column.justify = "right"
        numbers: dict[str, float] = {f"matmul {dtype} FLOP/s": rate for dtype, rate in peaks.items()}
        for preset in presets:
            checkpoint = random_checkpoint(preset, "henasy", seed=0, vocabulary=None if preset == "tiny" else vocab)
            numbers |= add_clip_rows(table, preset, checkpoint, device, num_clips, num_rounds, peaks)
            numbers |= add_text_row(texts, preset, checkpoint, device, num_rounds)
    console = Console()
    console.print(table, texts)
    rates = ", ".join(f"{dtype} {rate / 1e9:.0f} GFLOP/s" for dtype, rate in peaks.items())
    console.print(f"{device}, {torch.get_num_threads()} threads; matrix products: {rates}", style="dim")
    if json_path is not None:
        write_json(json_path, numbers, {"device": device, "threads": torch.get_num_threads(), "clips": num_clips})


def add_clip_rows(
    table: Table,
    preset: str,
    checkpoint: Checkpoint,
    device: str,
    num_clips: int,
    num_rounds: int,
    peaks: dict[str, float],
) -> dict[str, float]:
    """Adds the plain loop and both precisions of the encoder; returns their clips per second."""
    encoders = {dtype: make_encoder(checkpoint, device, dtype) for dtype in peaks}
    frames, rows = random_clips(num_clips, encoders["float32"].num_frames)
    calls = {f"encoder, {dtype}": partial(encoder.encode_clips, frames, rows) for dtype, encoder in encoders.items()}
    seconds = time_rounds(
        {"plain loop, float32": partial(plain_loop, checkpoint, frames, rows), **calls}, device, num_rounds
    )
    flops = clip_cost(checkpoint.config).flops
    plain = seconds["plain loop, float32"]
    for name, taken in seconds.items():
        rate, peak = num_clips / taken, peaks[name.split(", ")[1]]
        share = f"{rate * flops / peak:.0%}"
        table.add_row(
            f"{preset}, {name}",
            f"{rate:.2f}",
            f"{plain / taken:.2f}x",
            f"{flops / 1e9:.2f}",
            f"{rate * flops / 1e9:.1f}",
            share,
        )
    return {f"{preset}, {name}, clips/s": num_clips / taken for name, taken in seconds.items()}


def add_text_row(table: Table, preset: str, checkpoint: Checkpoint, device: str, num_rounds: int) -> dict[str, float]:
    """Adds texts per second, tokenising included; a checkpoint without a tokenizer gives none."""
    if checkpoint.tokenizer is None:
        table.add_row(f"{preset}, needs --vocab", *("-" for _ in TEXT_BATCHES))
        return {}
    encoder = make_encoder(checkpoint, device, "float32")
    calls = {size: partial(encoder.encode_texts, [TEXT] * size) for size in TEXT_BATCHES}
    seconds = time_rounds({str(size): call for size, call in calls.items()}, device, 10 * num_rounds)
    rates = {size: size / seconds[str(size)] for size in TEXT_BATCHES}
    table.add_row(f"{preset}, float32", *(f"{rate:.0f}" for rate in rates.values()))
    return {f"{preset}, texts/s at batch {size}": rate for size, rate in rates.items()}


def make_encoder(checkpoint: Checkpoint, device: str, dtype: str) -> Encoder:
    """The encoder as the index build uses it."""
    target = torch.device(device)
    return Encoder(checkpoint, device=target, dtype=dtype, micro_batch=default_micro_batch(checkpoint, target))


if __name__ == "__main__":
    main()
