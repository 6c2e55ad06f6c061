"""What attention costs in a training step on a CPU: torch's fused one beside two products, by shape and number type.

    python benchmarks/speed/attention.py [--threads 2] [--rounds 5]

Queries, keys and values lie in memory as the model's do; forward and backward are both timed. Which of the two
`attend` takes when: henasy/model/attention.py.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from henasy.evaluation.tasks.report import reported_errors, write_json
from henasy.model.attention import written_out_attention

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


class Shape(NamedTuple):
    """One attention of a training step of 80 clips at henasy-tiny's size."""

    name: str
    batch: int
    num_queries: int
    num_keys: int


SHAPES = (
    Shape("over space", 320, 144, 145),
    Shape("over time", 11_520, 4, 5),
    Shape("global token", 80, 1, 577),
    Shape("group tokens, patches", 80, 24, 576),
    Shape("group tokens of a frame", 320, 24, 32),
    Shape("group tokens over time", 7_680, 4, 12),
    Shape("entities, segments", 80, 8, 104),
    Shape("self-attention decoder", 80, 584, 584),
)
HEADS, WIDTH = 4, 32


@click.command()
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch; its own choice by default.")
@click.option("--rounds", "num_rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(threads: int | None, num_rounds: int, json_path: Path | None) -> None:
    """Measure both attentions at the shapes of a training step."""
    if threads is not None:
        torch.set_num_threads(threads)
    with reported_errors():
        numbers: dict[str, float] = {}
        for dtype in (torch.float32, torch.bfloat16):
            table = Table(
                "attention", "queries", "keys", "fused, ms", "two products, ms", "fused takes", title=str(dtype)
            )
            for shape in SHAPES:
                fused = 1e3 * step_seconds(F.scaled_dot_product_attention, shape, dtype, num_rounds)
                plain = 1e3 * step_seconds(written_out_attention, shape, dtype, num_rounds)
                times = f"{fused / plain:.2f}x"
                table.add_row(
                    shape.name, str(shape.num_queries), str(shape.num_keys), f"{fused:.1f}", f"{plain:.1f}", times
                )
                numbers |= {f"{dtype} {shape.name} fused ms": fused, f"{dtype} {shape.name} products ms": plain}
            Console().print(table)
        if json_path is not None:
            write_json(json_path, numbers, {"threads": torch.get_num_threads(), "torch": torch.__version__})


def step_seconds(attention: Attention, shape: Shape, dtype: torch.dtype, num_rounds: int) -> float:
    """Median time of forward and backward."""
    q, k, v = (_tokens(shape.batch, count, dtype) for count in (shape.num_queries, shape.num_keys, shape.num_keys))
    gradient = torch.randn(q.shape, dtype=dtype)
    took_s = []
    for _ in range(num_rounds + 1):
        for one in (q, k, v):
            one.grad = None
        started_s = time.perf_counter()
        attention(q, k, v).backward(gradient)
        took_s.append(time.perf_counter() - started_s)
    return median(took_s[1:])


def _tokens(batch: int, count: int, dtype: torch.dtype) -> Tensor:
    """(B, H, N, C), heads inside tokens in memory."""
    return torch.randn(batch, count, HEADS, WIDTH, dtype=dtype).transpose(1, 2).requires_grad_()


if __name__ == "__main__":
    main()
