"""What a benchmark prints and writes: a table beside the papers' rows, the facts that fix it, a JSON file."""

import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from henasy.errors import HenasyError
from henasy.evaluation.tasks.published import PublishedRow
from henasy.evaluation.tasks.result import BenchmarkResult

RENDERED_HEADING = "rendered scenes, not comparable with the papers"
_BLOCK_BYTES = 1 << 20


def score_table(columns: Sequence[str], run: Sequence[float], published: Sequence[PublishedRow] = ()) -> Table:
    """One row for this run (fractions, shown in percent) under the papers' rows, which keep their sources' digits."""
    table = Table()
    table.add_column("method")
    for column in columns:
        table.add_column(column, justify="right")
    for row in published:
        table.add_row(row.method, *(value or "-" for value in row.values), style="dim")
    table.add_row("this run", *run_percents(run, published), style="bold")
    return table


def run_percents(run: Sequence[float], published: Sequence[PublishedRow]) -> list[str]:
    """Fractions in percent, with as many decimals as the most exact of the papers' numbers beside them, at least one.

    "-" where there is no number.
    """
    texts = [text for row in published for text in row.values if text is not None]
    decimals = max([len(text.partition(".")[2]) for text in texts] + [1])
    return ["-" if math.isnan(value) else f"{100 * value:.{decimals}f}" for value in run]


def show_result(result: BenchmarkResult, json_path: Path | None) -> None:
    """Prints heading, table and what fixes its numbers, one fact a line; writes the JSON file if one is wanted."""
    console = Console()
    console.print(result.heading, style="bold", highlight=False, soft_wrap=True)
    console.print(score_table(result.columns, list(result.scores.values()), result.published))
    for name, value in result.facts.items():
        console.print(f"{name}: {value}", style="dim", highlight=False, markup=False, soft_wrap=True)
    if json_path is not None:
        write_json(json_path, result.scores, result.facts)


def write_json(path: Path, scores: Mapping[str, float], facts: Mapping[str, object]) -> None:
    """A JSON object with the scores under their own keys, null where undefined, and the facts under `facts`."""
    content = {name: None if math.isnan(value) else value for name, value in scores.items()}
    write_text(path, json.dumps({**content, "facts": dict(facts)}, indent=2, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """A file that is either wholly there or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not a file of tempfile's, which nobody else could read.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def file_digest(*paths: Path) -> str:
    """sha256 over the bytes of the files, in this order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turns a deliberate error, or a file that cannot be read or written, into one line and exit code 1."""
    try:
        yield
    except (HenasyError, OSError) as error:
        raise click.ClickException(str(error)) from error
