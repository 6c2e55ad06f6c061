"""The command-line options that the benchmarks share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from henasy.evaluation.encoding.source import Similarity, SourceOptions
from henasy.evaluation.pages.run_report import report_run
from henasy.evaluation.tasks.benchmark import Benchmark, run_benchmark
from henasy.evaluation.tasks.report import reported_errors, show_result

_PATH = click.Path(path_type=Path)

_OPTIONS = (
    click.option("--annotations", type=_PATH, help="Annotation folder or file; without it, rendered scenes."),
    click.option("--videos", type=_PATH, help="Folder of the annotated videos."),
    click.option("--model", help="Checkpoint folder, hub id, or shipped name."),
    click.option("--device", default="cpu", show_default=True, help="Where to encode: cpu, cuda, cuda:1."),
    click.option("--features", nargs=2, type=_PATH, default=None, metavar="VIDEO.npy TEXT.npy", help="Score these."),
    click.option("--frames", "num_frames", type=int, help="Frames per clip, if not the checkpoint's own number."),
    click.option(
        "--similarity",
        type=click.Choice(("cosine", "dot")),
        default="cosine",
        show_default=True,
        help="How embeddings are compared: dot takes them as they are.",
    ),
    click.option("--archive", type=_PATH, help="Rendered archive to use instead of the cached one."),
    click.option("--allow-missing", "is_allowing_missing", is_flag=True, help="Score what there are videos for."),
    click.option("--no-cache", is_flag=True, help="Encode anew, and keep no embeddings for the next run."),
    click.option("--json", "json_path", type=_PATH, help="Write the numbers here, as fractions."),
    click.option("--report", "report_path", type=_PATH, help="Write an HTML page with curves and clips here."),
)


def source_options(command: Callable[[SourceOptions, Path | None, Path | None], None]) -> Callable[..., Any]:
    """The command with its options, and the paths of the JSON file and of the report.

    A deliberate error ends it with one line and exit code 1.
    """

    @functools.wraps(command)
    def with_options(
        *,
        annotations: Path | None,
        videos: Path | None,
        model: str | None,
        device: str,
        num_frames: int | None,
        features: tuple[Path, Path] | None,
        similarity: Similarity,
        archive: Path | None,
        is_allowing_missing: bool,
        no_cache: bool,
        json_path: Path | None,
        report_path: Path | None,
    ) -> None:
        source = SourceOptions(
            annotations=annotations,
            videos=videos,
            model=model,
            device=device,
            num_frames=num_frames,
            features=features,
            similarity=similarity,
            archive=archive,
            is_allowing_missing=is_allowing_missing,
            is_cached=not no_cache,
        )
        with reported_errors():
            command(source, json_path, report_path)

    decorated: Callable[..., Any] = with_options
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def benchmark_command(benchmark: Benchmark, description: str) -> click.Command:
    """The command of a benchmark that needs no options but the shared ones; `description` is its `--help`."""

    def run(options: SourceOptions, json_path: Path | None, report_path: Path | None) -> None:
        result = run_benchmark(benchmark, options)
        show_result(result, json_path)
        if report_path is not None:
            report_run(report_path, result)

    return click.command(help=description)(source_options(run))
