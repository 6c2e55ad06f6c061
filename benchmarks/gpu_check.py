"""Whether this machine's GPU encodes as the CPU does, how fast, and whether a training step runs: `make gpu-check`.

    python benchmarks/gpu_check.py [--clips 32] [--json FILE]

Exit code 0: all agrees. 1: something does not. 2: there is no CUDA here, so nothing was checked.

Weights are random; then near ties between entities are common, and one that falls the other way changes a clip. So the
neighbours of clips are compared beside single numbers, and the bounds leave room for a few such flips.
"""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import faiss
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from henasy.checkpoint.encoder import Encoder, default_micro_batch
from henasy.checkpoint.random_weights import PRESETS, random_checkpoint
from henasy.evaluation.machine.encoding_speed import Agreement, agreement, matmul_rate, random_clips, time_rounds
from henasy.evaluation.machine.training_probe import one_training_step
from henasy.evaluation.tasks.report import reported_errors, write_json
from henasy.model.flops import clip_cost
from henasy.model.henasy import Henasy

LEAST_OVERLAP = {"float32": 0.95, "bfloat16": 0.6}
LEAST_COSINE = {"float32": 0.9999, "bfloat16": 0.99}


class Check(NamedTuple):
    """One preset in one precision."""

    preset: str
    dtype: str
    agreement: Agreement
    clips_per_s: float
    share_of_matmul: float

    @property
    def is_passed(self) -> bool:
        """Whether the GPU agrees with the CPU within the bounds of the precision."""
        is_near = self.agreement.mean_cosine >= LEAST_COSINE[self.dtype]
        return is_near and self.agreement.top10_overlap >= LEAST_OVERLAP[self.dtype]


@click.command()
@click.option("--clips", "num_clips", type=click.IntRange(min=12), default=32, show_default=True)
@click.option("--rounds", "num_rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--preset", "presets", type=click.Choice(PRESETS), multiple=True, default=("tiny", "base"))
@click.option("--device", default="cuda", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(num_clips: int, num_rounds: int, presets: tuple[str, ...], device: str, json_path: Path | None) -> None:
    """Check this machine's GPU."""
    console = Console()
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        console.print(f"no CUDA: torch {torch.__version__} sees no GPU on this machine; nothing was checked")
        sys.exit(2)
    with reported_errors():
        checks = [check for preset in presets for check in check_preset(preset, device, num_clips, num_rounds)]
        losses = {preset: training_loss(preset, device) for preset in presets}
    show(console, device, checks, losses)
    if json_path is not None:
        write_json(json_path, numbers(checks, losses), {"device": device_name(device), "clips": num_clips})
    if not all(check.is_passed for check in checks):
        sys.exit(1)


def check_preset(preset: str, device: str, num_clips: int, num_rounds: int) -> list[Check]:
    """Encodes the same clips on the CPU and, in both precisions, on the device."""
    on_cpu = make_encoder(preset, "cpu", "float32")
    frames, rows = random_clips(num_clips, on_cpu.num_frames)
    reference = on_cpu.encode_clips(frames, rows).clip
    flops = clip_cost(on_cpu.config).flops
    checks = []
    for dtype in LEAST_OVERLAP:
        encoder = make_encoder(preset, device, dtype)
        found = agreement(reference, encoder.encode_clips(frames, rows).clip)
        many_frames, many_rows = random_clips(max(num_clips, encoder.micro_batch), encoder.num_frames, seed=1)
        seconds = time_rounds({dtype: partial(encoder.encode_clips, many_frames, many_rows)}, device, num_rounds)[dtype]
        rate = len(many_rows) / seconds
        checks.append(Check(preset, dtype, found, rate, rate * flops / matmul_rate(device, dtype)))
    return checks


def training_loss(preset: str, device: str) -> float:
    """The loss of one training step in bfloat16; an error if it cannot be done."""
    model = random_checkpoint(preset, "henasy", seed=0).model.requires_grad_(True)
    assert isinstance(model, Henasy)
    model.dual.requires_grad_(False)
    with TemporaryDirectory() as folder:
        return one_training_step(model, torch.device(device), Path(folder), precision="bfloat16", batch_size=4)


def make_encoder(preset: str, device: str, dtype: str) -> Encoder:
    """The preset's encoder with the random weights of seed 0."""
    target, checkpoint = torch.device(device), random_checkpoint(preset, "henasy", seed=0)
    return Encoder(checkpoint, device=target, dtype=dtype, micro_batch=default_micro_batch(checkpoint, target))


def device_name(device: str) -> str:
    """The device as its maker calls it."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


def faiss_state() -> str:
    """Which FAISS is installed, and whether it runs in one process with torch's CUDA."""
    if not hasattr(faiss, "StandardGpuResources"):
        return f"{faiss.__version__}, built for the CPU: searches run there"
    vectors = np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32)
    index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, faiss.IndexFlatIP(64))
    index.add(vectors)
    is_right = (index.search(vectors, 1)[1][:, 0] == (vectors @ vectors.T).argmax(axis=1)).all()
    return f"{faiss.__version__} on the GPU beside torch: {'right' if is_right else 'WRONG answers'}"


def show(console: Console, device: str, checks: list[Check], losses: dict[str, float]) -> None:
    """Prints the table of checks and what else was found."""
    columns = ("largest difference", "mean cosine", "top-10 overlap", "clips/s", "of matmul rate", "")
    table = Table("encoding against the CPU, float32", *columns)
    for check in checks:
        found = check.agreement
        values = (f"{found.largest_difference:.1e}", f"{found.mean_cosine:.6f}", f"{found.top10_overlap:.3f}")
        rates = (f"{check.clips_per_s:.1f}", f"{check.share_of_matmul:.0%}", "ok" if check.is_passed else "DIFFERS")
        table.add_row(f"{check.preset}, {check.dtype}", *values, *rates)
    console.print(device_name(device), style="bold")
    console.print(table)
    for preset, loss in losses.items():
        console.print(f"one training step of {preset}, bfloat16: loss {loss:.4f}", highlight=False)
    console.print(f"torch {torch.__version__}, CUDA {torch.version.cuda}; faiss {faiss_state()}", highlight=False)


def numbers(checks: list[Check], losses: dict[str, float]) -> dict[str, float]:
    """Everything measured, by name."""
    measured = {f"{preset}, loss of one training step": loss for preset, loss in losses.items()}
    for check in checks:
        values = check.agreement._asdict() | {"clips/s": check.clips_per_s, "of matmul rate": check.share_of_matmul}
        measured |= {f"{check.preset}, {check.dtype}, {name}": value for name, value in values.items()}
    return measured


if __name__ == "__main__":
    main()
