"""What attention costs in a training step on a CPU: torch's fused one beside two products, by shape and number type.

    python benchmarks/speed/attention.py [--threads 2] [--rounds 5]

Forward alone (without gradients), and forward and backward. Which of the two `attend` takes when:
henasy/model/attention.py.
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
    heads: int
    num_queries: int
    num_keys: int


SHAPES = (
    Shape("over space", 320, 4, 144, 145),
    Shape("over time", 80, 4 * 144, 4, 5),
    Shape("global token", 80, 4, 1, 577),
    Shape("group tokens, patches", 80, 4, 24, 576),
    Shape("group tokens of a frame", 320, 4, 24, 32),
    Shape("group tokens over time", 80, 4 * 24, 4, 12),
    Shape("entities, segments", 80, 4, 8, 104),
    Shape("self-attention decoder", 80, 4, 584, 584),
)
"""Over time a position's heads are one axis."""
WIDTH = 32


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
            table = Table("attention", "keys", "forward: fused, products, ms", "", "training: fused, products, ms", "")
            table.title = str(dtype)
            for shape in SHAPES:
                row = [shape.name, str(shape.num_keys)]
                for phase, has_gradients in (("forward", False), ("training", True)):
                    fused, products = (
                        1e3 * seconds(attention, shape, dtype, num_rounds, has_gradients=has_gradients)
                        for attention in (F.scaled_dot_product_attention, written_out_attention)
                    )
                    row += [f"{fused:.1f}  {products:.1f}", f"{fused / products:.2f}x"]
                    numbers |= {f"{dtype} {shape.name} {phase} fused ms": fused}
                    numbers |= {f"{dtype} {shape.name} {phase} products ms": products}
                table.add_row(*row)
            Console().print(table)
        if json_path is not None:
            write_json(json_path, numbers, {"threads": torch.get_num_threads(), "torch": torch.__version__})


def seconds(attention: Attention, shape: Shape, dtype: torch.dtype, num_rounds: int, *, has_gradients: bool) -> float:
    """Median time of a forward pass, and of the backward pass where there are gradients."""
    q, k, v = (_tokens(shape, count, dtype) for count in (shape.num_queries, shape.num_keys, shape.num_keys))
    gradient = torch.randn(q.shape, dtype=dtype)
    took_s = []
    with torch.set_grad_enabled(has_gradients):
        for _ in range(num_rounds + 1):
            for one in (q, k, v):
                one.grad = None
            started_s = time.perf_counter()
            out = attention(q, k, v)
            if has_gradients:
                out.backward(gradient)
            took_s.append(time.perf_counter() - started_s)
    return median(took_s[1:])


def _tokens(shape: Shape, count: int, dtype: torch.dtype) -> Tensor:
    """(B, H, N, C), heads inside tokens in memory."""
    return torch.randn(shape.batch, count, shape.heads, WIDTH, dtype=dtype).transpose(1, 2).requires_grad_()


if __name__ == "__main__":
    main()
