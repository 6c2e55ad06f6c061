"""The tables and the JSON file of the benchmark of moments."""

import json
import math
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from henasy.evaluation.metrics.intervals import Difference
from henasy.evaluation.moments.run import FinderResult, MomentsResult
from henasy.evaluation.moments.scores import RANKS, THRESHOLDS, Measures
from henasy.evaluation.pages.html_report import Page
from henasy.evaluation.tasks.report import RENDERED_HEADING, write_text

_PIPE_COLUMNS = 160
"""Wide enough for the widest table; narrower ones would hide their numbers in a file."""
_RECALLS = tuple((k, threshold) for k in RANKS for threshold in THRESHOLDS)


def show_moments(result: MomentsResult, json_path: Path | None) -> None:
    """Prints the tables and what fixes their numbers; writes the JSON file if one is wanted."""
    console = Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
    console.print(RENDERED_HEADING, style="bold", highlight=False)
    for table in moment_tables(result):
        console.print(table)
    for name, value in result.facts.items():
        console.print(f"{name}: {value}", style="dim", highlight=False, markup=False, soft_wrap=True)
    if json_path is not None:
        write_text(json_path, json.dumps(moments_json(result), indent=2, default=str) + "\n")


def moments_page(result: MomentsResult) -> Page:
    """The same as a page, with curves and single queries."""
    return Page(
        title="Moments of narrated actions in long videos",
        remark=RENDERED_HEADING,
        tables=moment_tables(result),
        facts=result.facts,
        details=result.illustrated.details(),
        draw=result.illustrated.draw,
    )


def moment_tables(result: MomentsResult) -> tuple[Table, ...]:
    """In the own video, among all videos, by length of the action, and by EgoNLQ's metric."""
    everywhere = [(row, row.everywhere, row.everywhere_gain) for row in result.rows if row.everywhere is not None]
    return (
        _main_table("in the query's own video", [(row, row.own, row.own_gain) for row in result.rows]),
        _main_table("among all videos", everywhere),
        _bucket_table(result),
        _nlq_table(result),
    )


def moments_json(result: MomentsResult) -> dict[str, object]:
    """All numbers as fractions and seconds, by finder; null where undefined."""
    rows = {}
    for row in result.rows:
        by_length = {name: _numbers(row.own.only(kept), None) for name, kept in result.buckets.items()}
        rows[row.name] = {
            "own video": _numbers(row.own, row.own_gain),
            "all videos": None if row.everywhere is None else _numbers(row.everywhere, row.everywhere_gain),
            "by length": by_length,
            "nlq": row.nlq.as_fractions(),
        }
    return {"finders": rows, "facts": dict(result.facts)}


def _numbers(measures: Measures, gain: Difference | None) -> dict[str, object]:
    numbers: dict[str, object] = {
        "queries": len(measures.top_iou),
        "miou": float(measures.top_iou.mean()),
        "met": float((measures.top_iou > 0).mean()),
        "miou_of_best_found": float(measures.best_iou.mean()),
        "median_end_error_s": _or_none(measures.median_end_error_s()),
        "median_end_error_s_above_0.5": _or_none(measures.median_end_error_s(0.5)),
    }
    for k, threshold in _RECALLS:
        numbers[f"r{k}@{threshold:g}"] = float(measures.is_recalled[k, threshold].mean())
    if gain is not None:
        numbers["gain_of_find_moments"] = dict(gain._asdict())
    return numbers


def _main_table(title: str, rows: list[tuple[FinderResult, Measures, Difference | None]]) -> Table:
    table = Table(title=title)
    table.add_column("finder")
    heads = ["mean IoU", "gain of find_moments", "met", "best of 10", "end error", "above 0.5"]
    heads += [f"R@{k} {threshold:g}" for k, threshold in _RECALLS]
    for head in heads:
        table.add_column(head, justify="right")
    for row, measures, gain in rows:
        cells = [f"{measures.top_iou.mean():.3f}", _gain(gain)]
        cells += [f"{100 * (measures.top_iou > 0).mean():.0f} %", f"{measures.best_iou.mean():.3f}"]
        cells += [_seconds(measures.median_end_error_s()), _seconds(measures.median_end_error_s(0.5))]
        cells += [f"{100 * measures.is_recalled[key].mean():.1f}" for key in _RECALLS]
        table.add_row(row.name, *cells)
    return table


def _bucket_table(result: MomentsResult) -> Table:
    table = Table(title="mean IoU / R@1 at 0.5 / end error by length of the action, own video")
    table.add_column("finder")
    for name, kept in result.buckets.items():
        table.add_column(f"{name} ({int(kept.sum())})", justify="right")
    for row in result.rows:
        cells = []
        for kept in result.buckets.values():
            part = row.own.only(kept)
            recall = 100 * part.is_recalled[1, 0.5].mean()
            cells.append(f"{part.top_iou.mean():.3f} / {recall:.1f} / {_seconds(part.median_end_error_s())}")
        table.add_row(row.name, *cells)
    return table


def _nlq_table(result: MomentsResult) -> Table:
    table = Table(title="EgoNLQ's metric, own video, only the narrated action itself is right")
    table.add_column("finder")
    for head in result.rows[0].nlq.as_fractions():
        table.add_column(head, justify="right")
    for row in result.rows:
        table.add_row(row.name, *(f"{100 * value:.1f}" for value in row.nlq.as_fractions().values()))
    return table


def _gain(gain: Difference | None) -> str:
    return "" if gain is None else f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f} s"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
