"""How should a query be put, and does evidence beside the clip's own score help? One table.

    python benchmarks/phrasing.py                                              # rendered scenes, henasy-tiny
    python benchmarks/phrasing.py --archive DIR --validation DIR --model M
    python benchmarks/phrasing.py --annotations egomcq.json --videos DIR --model M [--swaps EgoMCQ_hardnegHOI.csv]

Rows: the query as it is typed (bare), as a narration ("#C C ..."), the mean of both; the same with its verb as an
order; then phrases that meet entities, and the global encoder's embedding, beside the clip's. Weights come from other
videos than the numbers.
"""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from henasy.errors import InputError
from henasy.evaluation.encoding.source import RenderedSource, SourceOptions, VideoSource, choose_source
from henasy.evaluation.metrics.intervals import Difference
from henasy.evaluation.pages.html_report import Page, write_page
from henasy.evaluation.queries.phrasing import OBJECTIVE, WayRow
from henasy.evaluation.queries.run import PhrasingResult, run_annotated, run_rendered
from henasy.evaluation.tasks.report import reported_errors, write_json

PAGE_TITLE = "ways to put a query, percent"
MEASURES = ("inter", "intra", "verb", "noun", "action")
_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--annotations", type=_PATH, help="egomcq.json; without it, rendered scenes.")
@click.option("--swaps", type=_PATH, help="EgoHOIBench's file, with --annotations.")
@click.option("--videos", type=_PATH, help="Folder of the annotated videos.")
@click.option("--model", help="Checkpoint folder, hub id, or shipped name.")
@click.option("--device", default="cpu", show_default=True, help="Where to encode: cpu, cuda, cuda:1.")
@click.option("--frames", "num_frames", type=int, help="Frames per clip, if not the checkpoint's own number.")
@click.option("--archive", type=_PATH, help="Rendered archive to judge by instead of the cached one.")
@click.option("--validation", type=_PATH, help="Rendered archive to choose by instead of the cached one.")
@click.option("--allow-missing", "is_allowing_missing", is_flag=True, help="Ask what there are videos for.")
@click.option("--no-cache", is_flag=True, help="Encode anew, and keep no embeddings for the next run.")
@click.option("--json", "json_path", type=_PATH, help="Write the numbers here, as fractions.")
@click.option("--report", "report_path", type=_PATH, help="Write an HTML page with the table here.")
def main(
    annotations: Path | None,
    swaps: Path | None,
    videos: Path | None,
    model: str | None,
    device: str,
    num_frames: int | None,
    archive: Path | None,
    validation: Path | None,
    is_allowing_missing: bool,
    no_cache: bool,
    json_path: Path | None,
    report_path: Path | None,
) -> None:
    """Compare ways to put a query, on questions between videos, within one, and on word swaps."""
    with reported_errors():
        options = SourceOptions(
            annotations=annotations,
            videos=videos,
            model=model,
            device=device,
            num_frames=num_frames,
            features=None,
            similarity="cosine",
            archive=archive,
            is_allowing_missing=is_allowing_missing,
            is_cached=not no_cache,
        )
        result = _run(options, swaps, validation)
        _show(Console(), result)
        if json_path is not None:
            write_json(json_path, _numbers(result), result.facts)
        if report_path is not None:
            remark = result.heading.removeprefix(PAGE_TITLE).lstrip("; ")
            write_page(report_path, Page(title=PAGE_TITLE, remark=remark, tables=(_table(result),), facts=result.facts))


def _run(options: SourceOptions, swaps: Path | None, validation: Path | None) -> PhrasingResult:
    source = choose_source(options)
    if isinstance(source, RenderedSource):
        if swaps is not None:
            raise InputError("--swaps", "goes with --annotations; a rendered archive has swaps of its own")
        return run_rendered(source, validation)
    if validation is not None:
        raise InputError("--validation", "goes with rendered archives; real videos are split in two halves")
    assert isinstance(source, VideoSource)
    return run_annotated(source, swaps)


def _show(console: Console, result: PhrasingResult) -> None:
    console.print(result.heading, style="bold", highlight=False, soft_wrap=True)
    console.print(_table(result))
    for name, value in result.facts.items():
        console.print(f"{name}: {value}", style="dim", highlight=False, markup=False, soft_wrap=True)


def _table(result: PhrasingResult) -> Table:
    measures = [name for name in MEASURES if name in result.rows[0].accuracy]
    table = Table("query")
    for name in measures:
        table.add_column(name, justify="right")
    table.add_column("better than")
    deciding = [name for name in OBJECTIVE if name in measures]
    for name in deciding:
        table.add_column(f"{name}: by", justify="right")
    for row in result.rows:
        values = [f"{100 * row.accuracy[name]:.1f}" for name in measures]
        table.add_row(_name(row), *values, row.against, *(_interval(row.gain.get(name)) for name in deciding))
    return table


def _name(row: WayRow) -> str:
    weights = {row.way.phrase_kind: row.way.phrase_weight, "global": row.way.global_weight}
    shown = [f"{name} {weight:g}" for name, weight in weights.items() if weight]
    return row.name + (f" ({', '.join(shown)})" if shown else "")


def _interval(gain: Difference | None) -> str:
    return "" if gain is None else f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def _numbers(result: PhrasingResult) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for row in result.rows:
        numbers |= {f"{row.name}/{name}": value for name, value in row.accuracy.items()}
        numbers |= {
            f"{row.name}/phrase weight": row.way.phrase_weight,
            f"{row.name}/global weight": row.way.global_weight,
        }
        for name, gain in row.gain.items():
            numbers |= {f"{row.name}/{name} gain {key}": value for key, value in gain._asdict().items()}
    return numbers


if __name__ == "__main__":
    main()
