"""Moments: find narrated actions of half a second to a minute in videos of ten minutes, beside plain baselines.

python benchmarks/moments.py                                   # rendered scenes, henasy-tiny
python benchmarks/moments.py --archive DIR --model M --index INDEX
"""

from pathlib import Path

import click

from henasy.checkpoint.shipped import SHIPPED
from henasy.evaluation.moments.report import moments_page, show_moments
from henasy.evaluation.moments.run import MomentsOptions, run
from henasy.evaluation.pages.html_report import write_page
from henasy.evaluation.tasks.report import reported_errors

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--model", default=SHIPPED, show_default=True, help="Checkpoint folder, hub id, or shipped name.")
@click.option("--device", default="cpu", show_default=True, help="Where to encode: cpu, cuda, cuda:1.")
@click.option("--frames", "num_frames", type=int, help="Frames per clip, if not the checkpoint's own number.")
@click.option("--archive", type=_PATH, help="Rendered archive to search instead of the cached long one.")
@click.option("--train-archive", type=_PATH, help="Rendered archive to tune baselines on instead of the cached one.")
@click.option("--index", type=_PATH, help="Index of the archive: its clips and vectors are used.")
@click.option("--no-cache", is_flag=True, help="Encode anew, and keep no features for the next run.")
@click.option("--json", "json_path", type=_PATH, help="Write the numbers here, as fractions and seconds.")
@click.option("--report", "report_path", type=_PATH, help="Write an HTML page with curves and moments here.")
def main(
    model: str,
    device: str,
    num_frames: int | None,
    archive: Path | None,
    train_archive: Path | None,
    index: Path | None,
    no_cache: bool,
    json_path: Path | None,
    report_path: Path | None,
) -> None:
    """Score finders of moments on long rendered videos."""
    options = MomentsOptions(
        model=model,
        device=device,
        num_frames=num_frames,
        archive=archive,
        train_archive=train_archive,
        index=index,
        is_cached=not no_cache,
    )
    with reported_errors():
        result = run(options)
        show_moments(result, json_path)
        if report_path is not None:
            write_page(report_path, moments_page(result))


if __name__ == "__main__":
    main()
