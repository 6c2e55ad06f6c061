"""The command-line options that the benchmarks of spans in long videos share, and what becomes of their results."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from henasy.evaluation.encoding.source import SourceOptions
from henasy.evaluation.pages.run_report import report_runs
from henasy.evaluation.span_tasks.egonlq_run import write_results
from henasy.evaluation.tasks.report import reported_errors, show_result
from henasy.evaluation.tasks.result import BenchmarkResult

PATH = click.Path(path_type=Path)
Own = TypeVar("Own")
Run = Callable[[SourceOptions, Own, Callable[[str], None]], dict[str, BenchmarkResult]]

_FIRST = (
    click.option("--videos", type=PATH, help="Folder of the annotated videos, or of Ego4D's clips of them."),
    click.option("--model", help="Checkpoint folder, hub id, or shipped name."),
    click.option("--device", default="cpu", show_default=True, help="Where to encode and train: cpu, cuda, cuda:1."),
    click.option("--frames", "num_frames", type=int, help="Frames per feature, if not the checkpoint's own number."),
    click.option("--archive", type=PATH, help="Rendered archive to use instead of the cached one."),
    click.option("--head", type=PATH, help="Folder of the head: read if there, else trained and written."),
    click.option("--steps", "num_steps", type=click.IntRange(min=1), help="Steps of training."),
    click.option("--features", type=PATH, help="Folder of <clip_uid>.npy or .pt, each (N, D), instead of videos."),
)
_LAST = (
    click.option("--allow-missing", "is_allowing_missing", is_flag=True, help="Score what there is."),
    click.option("--no-cache", is_flag=True, help="Encode anew, and keep no features for the next run."),
    click.option("--json", "json_path", type=PATH, help="Write the numbers here, as fractions."),
    click.option(
        "--report", "report_path", type=PATH, help="Write an HTML page with curves and clips here, one per result."
    ),
)


def span_command(
    run: Run[Own], own: type[Own], annotations: str, options: tuple[Callable[..., Any], ...], description: str
) -> click.Command:
    """The command of a benchmark.

    Args:
        run: from options to results.
        own: the options of this benchmark alone; a dataclass.
        annotations: what `--annotations` is.
        options: those of `own` that the benchmarks do not share.
        description: its `--help`.
    """

    def command(json_path: Path | None, report_path: Path | None, no_cache: bool, **given: Any) -> None:
        theirs = own(**{field.name: given.pop(field.name) for field in fields(own)})  # type: ignore[arg-type]
        source = SourceOptions(**given, features=None, similarity="cosine", is_cached=not no_cache)
        progress = Console(stderr=True)
        with reported_errors():
            results = run(source, theirs, lambda line: progress.print(line, highlight=False, soft_wrap=True))
            for result in results.values():
                show_result(result, None)
            if json_path is not None:
                write_results(json_path, results)
            if report_path is not None:
                report_runs(report_path, results)

    decorated: Callable[..., Any] = command
    for option in reversed((click.option("--annotations", type=PATH, help=annotations), *_FIRST, *options, *_LAST)):
        decorated = option(decorated)
    return click.command(help=description)(decorated)
