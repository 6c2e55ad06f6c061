"""What EgoNCE++ did to a checkpoint: word swaps before and after, and what it cost on questions and retrieval.

    python benchmarks/egoncepp.py henasy-tiny RUN/checkpoint                  # the cached test archive
    python benchmarks/egoncepp.py BEFORE AFTER --archive DIR --json FILE

Each clip has its caption, ten with another verb and ten with another noun. Both models answer the same items; intervals
are 95 %, paired, bootstrap over whole videos. Every clip is encoded once, with EgoMCQ's frames, also for retrieval.
"""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from henasy.evaluation.ablation.before_after import Change, RenderedFiles, compare_models
from henasy.evaluation.rendered.archives import TEST_ARCHIVE, cached_archive
from henasy.evaluation.rendered.layouts import rendered_layout
from henasy.evaluation.rendered.swaps import swap_layout
from henasy.evaluation.tasks.report import RENDERED_HEADING, reported_errors, write_json


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), help="Held-out rendered archive.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the numbers here, as fractions.")
def main(before: str, after: str, archive: Path | None, device: str, json_path: Path | None) -> None:
    """Compare a checkpoint BEFORE with the one AFTER further training."""
    with reported_errors():
        folder = archive or cached_archive(TEST_ARCHIVE)
        files = RenderedFiles(swaps=swap_layout(folder), layout=rendered_layout(folder))
        changes, spaces = compare_models(before, after, files, device=device)
        facts: dict[str, object] = {"before": before, "after": after, **spaces, "archive": str(folder)}
        facts["intervals"] = "95 %, paired, bootstrap over videos (T-V: over sentences), 10,000 resamples, seed 0"
        console = Console()
        console.print(RENDERED_HEADING, style="bold", soft_wrap=True)
        console.print(_table(changes))
        for name, value in facts.items():
            console.print(f"{name}: {value}", style="dim", highlight=False, markup=False, soft_wrap=True)
        if json_path is not None:
            write_json(json_path, _numbers(changes), facts)


def _table(changes: list[Change]) -> Table:
    table = Table("measure, percent")
    for column in ("before", "after", "change", "items"):
        table.add_column(column, justify="right")
    for change in changes:
        gain = change.difference
        interval = f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        values = (f"{100 * change.before:.1f}", f"{100 * change.after:.1f}", interval, str(change.num_items))
        table.add_row(change.measure, *values)
    return table


def _numbers(changes: list[Change]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for change in changes:
        numbers |= {f"{change.measure}/before": change.before, f"{change.measure}/after": change.after}
        numbers |= {f"{change.measure}/change {name}": value for name, value in change.difference._asdict().items()}
    return numbers


if __name__ == "__main__":
    main()
