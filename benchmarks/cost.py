"""What each model costs: parameters, arithmetic per clip, time and peak memory, beside the paper's Table 5.

    python benchmarks/cost.py                        # this machine's CPU, some minutes
    python benchmarks/cost.py --device cuda --batch 16

GFLOP counts a multiplication and its addition as two, GMAC as one; only matrix products, convolutions and attention
count. Weights are random, float32; time is that of the model alone, frames ready, one clip at a time.
"""

import platform
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from henasy.evaluation.machine.cost import COUNTED_FRAMES, EXPLAINED, MEASURED, ModelCost, count_cost, counted_models
from henasy.evaluation.machine.cost_probe import INFERENCE, TRAINING, Measured, Probe, run_probe
from henasy.evaluation.pages.html_report import Page, write_page
from henasy.evaluation.tasks.published import COST_ROWS
from henasy.evaluation.tasks.report import reported_errors, write_json
from henasy.model.config import ModelConfig

_GIGA, _MEGA = 1e9, 1e6


@click.command()
@click.option("--model", "names", type=click.Choice(tuple(counted_models())), multiple=True, help="Only these.")
@click.option("--device", default="cpu", show_default=True, help="Where to measure: cpu, cuda, cuda:1.")
@click.option(
    "--batch",
    "batch_size",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Anchors per training step; each brings a second clip.",
)
@click.option("--rounds", "num_rounds", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--count-only", is_flag=True, help="Run nothing.")
@click.option("--json", "json_path", type=click.Path(path_type=Path))
@click.option(
    "--report", "report_path", type=click.Path(path_type=Path), help="Write an HTML page with the tables here."
)
def main(
    names: tuple[str, ...],
    device: str,
    batch_size: int,
    num_rounds: int,
    count_only: bool,
    json_path: Path | None,
    report_path: Path | None,
) -> None:
    """Count and measure what models cost."""
    with reported_errors():
        models = {name: config for name, config in counted_models().items() if not names or name in names}
        console, facts = Console(), machine_facts(device, batch_size)
        counted = {name: count_cost(config) for name, config in models.items()}
        tables = [count_table(counted)]
        console.print(tables[0])
        numbers = count_numbers(counted)
        if not count_only:
            measured = {
                name: measure_model(config, device, batch_size, num_rounds)
                for name, config in models.items()
                if name in (names or MEASURED)
            }
            tables.append(measure_table(measured, batch_size))
            console.print(tables[-1])
            numbers |= measure_numbers(measured)
            facts |= missing_facts(measured)
        tables.append(paper_table())
        console.print(tables[-1])
        for name, value in facts.items():
            console.print(f"{name}: {value}", style="dim", highlight=False, markup=False, soft_wrap=True)
        if json_path is not None:
            write_json(json_path, numbers, facts)
        if report_path is not None:
            write_page(report_path, Page(title="Cost of models", tables=tuple(tables), facts=facts))


def measure_model(config: ModelConfig, device: str, batch_size: int, num_rounds: int) -> dict[str, Measured | str]:
    """Inference on one clip and a step of training, each in a process of its own."""
    sizes = {INFERENCE: 1, TRAINING: batch_size}
    return {task: run_probe(Probe(config, task, size, num_rounds, device)) for task, size in sizes.items()}


def count_table(counted: dict[str, ModelCost]) -> Table:
    """A row per model of what needs no running."""
    heads = [f"{unit}\n{num_frames} fr." for num_frames in COUNTED_FRAMES for unit in ("GFLOP", "GMAC")]
    table = _table("model", "M\nparams", "M\ntrained", *heads)
    for name, cost in counted.items():
        sizes = (cost.num_parameters / _MEGA, cost.num_trainable / _MEGA)
        arithmetic = [value / _GIGA for clip in cost.clip.values() for value in (clip.flops, clip.macs)]
        table.add_row(name, *(f"{value:.2f}" for value in sizes), *(f"{value:.1f}" for value in arithmetic))
    return table


def measure_table(measured: dict[str, dict[str, Measured | str]], batch_size: int) -> Table:
    """A row per model of what was measured."""
    step = f"training\n{batch_size} + {batch_size} clips"
    heads = [f"{task}\n{unit}" for task in ("inference\n1 clip", step) for unit in ("seconds", "peak GB")]
    table = _table("model", *heads)
    for name, tasks in measured.items():
        table.add_row(name, *(cell for found in tasks.values() for cell in _cells(found)))
    return table


def _cells(found: Measured | str) -> tuple[str, str]:
    if isinstance(found, str):
        return "-", "-"
    return f"{found.seconds:.3f}", f"{found.peak_bytes / _GIGA:.2f}"


def paper_table() -> Table:
    """The rows of Table 5."""
    table = _table(
        "paper, Table 5", "GFLOPs\nper clip", "M\nparameters", "training\nGB", "inference\nGB", "inference\ns"
    )
    for row in COST_ROWS:
        table.add_row(row.method, *(value or "-" for value in row.values), style="dim")
    return table


def count_numbers(counted: dict[str, ModelCost]) -> dict[str, float]:
    """What was counted, for the JSON file."""
    numbers: dict[str, float] = {}
    for name, cost in counted.items():
        numbers |= {f"{name}/parameters": cost.num_parameters, f"{name}/trainable": cost.num_trainable}
        for num_frames, clip in cost.clip.items():
            numbers[f"{name}/FLOP per clip, {num_frames} frames, 2 x MAC"] = clip.flops
            numbers[f"{name}/MAC per clip, {num_frames} frames"] = clip.macs
    return numbers


def measure_numbers(measured: dict[str, dict[str, Measured | str]]) -> dict[str, float]:
    """What was measured, for the JSON file."""
    return {
        f"{name}/{task} {key}": value
        for name, tasks in measured.items()
        for task, found in tasks.items()
        if isinstance(found, Measured)
        for key, value in found._asdict().items()
    }


def missing_facts(measured: dict[str, dict[str, Measured | str]]) -> dict[str, object]:
    """Why something was not measured, and how much of the peaks is no model's."""
    facts: dict[str, object] = {
        f"{name}, {task}": f"not measured: {found}"
        for name, tasks in measured.items()
        for task, found in tasks.items()
        if isinstance(found, str)
    }
    idle = [found.idle_bytes for tasks in measured.values() for found in tasks.values() if isinstance(found, Measured)]
    if any(idle):
        facts["of each peak"] = f"{max(idle) / _GIGA:.2f} GB are Python and torch before there is a model"
    return facts


def machine_facts(device: str, batch_size: int) -> dict[str, object]:
    """Where and how it was measured."""
    is_gpu = torch.device(device).type == "cuda"
    name = torch.cuda.get_device_name(device) if is_gpu else f"{processor()}, {torch.get_num_threads()} threads"
    peak = "tensors on the GPU (max_memory_allocated)" if is_gpu else "resident memory of a process of its own"
    return {
        "machine": name,
        "measured": f"float32, one clip of the model's own frames; training at {batch_size} anchors and as many hard "
        "negatives, with AdamW's state",
        "peak": peak,
        "paper": EXPLAINED,
    }


def processor() -> str:
    """The CPU's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _table(*heads: str) -> Table:
    table = Table(*heads)
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column is table.columns[0] else "right"
    return table


if __name__ == "__main__":
    main()
