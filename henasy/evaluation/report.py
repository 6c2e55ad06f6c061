"""What a benchmark prints and writes: a table beside the papers' rows, the facts that fix it, a JSON file."""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from henasy.evaluation.published import PublishedRow

RENDERED_HEADING = "rendered scenes, not comparable with the papers"


def score_table(
    heading: str, columns: Sequence[str], run: Sequence[float], published: Sequence[PublishedRow] = ()
) -> Table:
    """One row for this run (fractions, shown in percent) under the papers' rows."""
    table = Table(title=heading, title_justify="left")
    table.add_column("method")
    for column in columns:
        table.add_column(column, justify="right")
    for row in published:
        table.add_row(row.method, *(_percent(value) for value in row.values), style="dim")
    table.add_row("this run", *(_percent(100 * value) for value in run), style="bold")
    return table


def print_report(console: Console, table: Table, facts: Mapping[str, object]) -> None:
    """The table, then what fixes its numbers, one fact a line."""
    console.print(table)
    for name, value in facts.items():
        console.print(f"{name}: {value}", style="dim", highlight=False, markup=False, soft_wrap=True)


def write_json(path: Path, scores: Mapping[str, float], facts: Mapping[str, object]) -> None:
    """A JSON object with the scores under their own keys, null where undefined, and the facts under `facts`."""
    content = {name: None if math.isnan(value) else value for name, value in scores.items()}
    _write_atomically(path, json.dumps({**content, "facts": dict(facts)}, indent=2, default=str) + "\n")


def file_digest(*paths: Path) -> str:
    """sha256 over the bytes of the files, in this order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.1f}"


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
