"""Visual grounding: the IoU of the mask that a noun or a verb phrase chooses, beside the best one and one by lot.

python benchmarks/grounding.py                                             # rendered scenes, henasy-tiny
python benchmarks/grounding.py --annotations MASKS.json --videos DIR --model M

MASKS.json is a list of {"video", "time_s", "noun" or "phrase", "segmentation": COCO run-length code}; see
henasy/evaluation/annotations/mask_annotations.py.
"""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from source_options import source_options

from henasy.evaluation.encoding.source import SourceOptions
from henasy.evaluation.metrics.grounding import GroundingScore
from henasy.evaluation.metrics.intervals import Estimate
from henasy.evaluation.pages.html_report import Page, write_page
from henasy.evaluation.tasks import grounding_run
from henasy.evaluation.tasks.grounding_run import GroundingResult
from henasy.evaluation.tasks.report import write_json

COLUMNS = {
    "text_chosen": "text's\nentity",
    "gain": "better than\nby lot by",
    "by_lot": "entity\nby lot",
    "oracle": "best\nentity",
    "ceiling": "ceiling of\nthe grid",
}


@click.command()
@source_options
def main(options: SourceOptions, json_path: Path | None, report_path: Path | None) -> None:
    """Score the masks that texts choose: rendered scenes, or masks made by hand."""
    result = grounding_run.run(options)
    show(Console(), result)
    if json_path is not None:
        write_json(json_path, numbers(result), result.facts)
    if report_path is not None:
        write_page(report_path, page(result))


def show(console: Console, result: GroundingResult) -> None:
    """Prints heading, tables and what fixes their numbers."""
    console.print(result.heading, style="bold", highlight=False, soft_wrap=True)
    console.print(score_table(result))
    for name, value in facts_of(result).items():
        console.print(f"{name}: {value}", style="dim", highlight=False, markup=False, soft_wrap=True)


def page(result: GroundingResult) -> Page:
    """The same with curves, and the best and worst masks."""
    return Page(
        title=result.title,
        remark=result.heading.removeprefix(result.title).lstrip("; "),
        tables=(score_table(result),),
        facts=facts_of(result),
        details=result.illustrated.details(),
        draw=result.illustrated.draw,
    )


def score_table(result: GroundingResult) -> Table:
    """A row per kind of text, under the papers' rows."""
    table = Table("mIoU %", *COLUMNS.values())
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for row in result.published:
        table.add_row(row.method, row.values[0] or "-", style="dim")
    for kind, score in result.rows.items():
        table.add_row(kind, *_cells(score), style="bold")
    return table


def facts_of(result: GroundingResult) -> dict[str, object]:
    """What fixes the numbers, and what each row rests on."""
    rests = {
        f"{kind} rests on": f"{score.num_frames} frames of {score.num_labels} labels in {score.num_videos} videos"
        for kind, score in result.rows.items()
    }
    return {**rests, **result.facts}


def numbers(result: GroundingResult) -> dict[str, float]:
    """The scores by kind, column and end of the interval, as fractions."""
    return {
        f"{kind}/{name}{end}": value
        for kind, score in result.rows.items()
        for name in COLUMNS
        for end, value in zip(("", "/low", "/high"), getattr(score, name), strict=True)
    }


def _cells(score: GroundingScore) -> list[str]:
    estimates: dict[str, Estimate] = {name: getattr(score, name) for name in COLUMNS}
    return [f"{100 * value.mean:.1f}\n[{100 * value.low:.1f},{100 * value.high:.1f}]" for value in estimates.values()]


if __name__ == "__main__":
    main()
