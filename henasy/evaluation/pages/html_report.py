"""A run as one HTML file that needs no network: table, curves, best and worst queries with their clips."""

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from henasy.evaluation.pages.details import COLOURS, Candidate, Details, ItemPicture, QueryItem, Wanted
from henasy.evaluation.pages.svg_chart import svg_chart
from henasy.evaluation.tasks.report import score_table, write_text
from henasy.evaluation.tasks.result import BenchmarkResult

DrawPictures = Callable[[Sequence[Wanted]], Sequence[ItemPicture]]
"""One picture per wanted clip, in the same order."""

NUM_SHOWN = 8
"""Best queries, and as many worst ones."""
_CANDIDATES_SHOWN = 5
_ROW_CLASSES = {"bold": ' class="run"'}
_CSS = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; color: #222; }
.remark { font-weight: 600; color: #8a5a00; } .table { overflow-x: auto; margin: 1em 0; }
caption { text-align: left; font-weight: 600; padding: .3em 0; } td { white-space: nowrap; }
table { border-collapse: collapse; } th, td { padding: .25em .6em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } tr.run { font-weight: 600; background: #eef4fb; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; color: #555; font-size: 13px; }
dl.facts dd { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
.charts { display: flex; flex-wrap: wrap; gap: 1em; } svg text { font-size: 12px; fill: #444; }
svg text.axis { text-anchor: middle; } svg text.title { font-weight: 600; font-size: 13px; }
svg .grid { stroke: #e3e3e3; } .item { margin: 1.2em 0; } .item h3 { font-size: 15px; margin: 0 0 .3em; }
.note { color: #777; font-weight: 400; } .found { display: flex; flex-wrap: wrap; gap: .6em; }
figure { margin: 0; padding: 4px; border: 2px solid #ccc; border-radius: 4px; max-width: 430px; font-size: 12px; }
figure.right { border-color: #2a9d6f; } figure.wrong { border-color: #d1495b; }
figure img { display: block; max-width: 100%; }
i.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 .6em; }
"""


class _Shown(NamedTuple):
    """An item with the rows of its candidates' pictures."""

    item: QueryItem
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a report shows."""

    title: str
    """What was measured."""
    remark: str = ""
    """What must be said of the numbers at once."""
    tables: tuple[Table, ...]
    """As a terminal shows them."""
    facts: Mapping[str, object]
    details: Details | None = None
    """Queries and curves; None gives the tables alone."""
    draw: DrawPictures | None = None
    """Makes the pictures of clips; None leaves them out."""


def write_page(path: Path, page: Page) -> None:
    """One HTML file."""
    parts = [*map(_table, page.tables), _facts(page.facts)]
    if page.details is not None:
        parts.append(_charts(page.details))
        best, worst = _best_and_worst(page.details.items)
        pictures = _pictures([*best, *worst], page.draw)
        parts.append(_items("Best queries", best, page.details.score_name, pictures))
        parts.append(_items("Worst queries", worst, page.details.score_name, pictures))
    write_text(path, _page(page.title, page.remark, parts))


def write_report(
    path: Path, result: BenchmarkResult, details: Details | None = None, draw: DrawPictures | None = None
) -> None:
    """The report of a run.

    Args:
        path: of the HTML file.
        result: what was measured, heading, scores, facts, rows of the papers.
        details: queries and curves; None gives the table alone.
        draw: makes the pictures of clips; None leaves them out.
    """
    page = Page(
        title=result.title,
        remark=result.heading.removeprefix(result.title).lstrip("; "),
        tables=(score_table(result.columns, list(result.scores.values()), result.published),),
        facts=result.facts,
        details=details,
        draw=draw,
    )
    write_page(path, page)


def _page(title: str, remark: str, parts: Iterable[str]) -> str:
    title = html.escape(title)
    said = f'<p class="remark">{html.escape(remark)}</p>\n' if remark else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title} - henasy</title>'
        f"<style>{_CSS}</style></head>\n<body><h1>{title}</h1>\n{said}" + "\n".join(parts) + "\n</body></html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{_cell(column.header)}</th>" for column in table.columns)
    rows = zip(*(column.cells for column in table.columns), strict=True)
    body = "\n".join(
        f"<tr{_ROW_CLASSES.get(str(row.style), '')}>{''.join(f'<td>{_cell(cell)}</td>' for cell in cells)}</tr>"
        for row, cells in zip(table.rows, rows, strict=True)
    )
    caption = f"<caption>{_cell(table.title)}</caption>" if table.title else ""
    return f'<div class="table"><table>{caption}<tr>{head}</tr>\n{body}</table></div>'


def _cell(text: object) -> str:
    return html.escape(str(text)).replace("\n", "<br>")


def _facts(facts: Mapping[str, object]) -> str:
    lines = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(fact))}</dd>" for name, fact in facts.items())
    return f'<h2>What fixes these numbers</h2><dl class="facts">{"".join(lines)}</dl>'


def _charts(details: Details) -> str:
    return f'<h2>Curves</h2><div class="charts">{"".join(svg_chart(chart) for chart in details.charts)}</div>'


def _best_and_worst(items: Sequence[QueryItem]) -> tuple[list[_Shown], list[_Shown]]:
    """The items of both ends, none of them twice; candidates are those that explain the score."""
    ordered = sorted(items, key=lambda item: -item.score)
    num_best = min(NUM_SHOWN, (len(ordered) + 1) // 2)
    best, rest = ordered[:num_best], ordered[num_best:]
    worst = rest[::-1][:NUM_SHOWN]
    shown = [[_Shown(item, _shown_candidates(item)) for item in part] for part in (best, worst)]
    return shown[0], shown[1]


def _shown_candidates(item: QueryItem) -> tuple[Candidate, ...]:
    """The closest ones, the last of them given up for the closest right one where none is among them."""
    closest = item.candidates[:_CANDIDATES_SHOWN]
    first_right = next((candidate for candidate in item.candidates if candidate.is_right), None)
    if first_right is None or any(candidate.is_right for candidate in closest):
        return closest
    return (*closest[:-1], first_right)


def _pictures(shown: Sequence[_Shown], draw: DrawPictures | None) -> dict[Wanted, ItemPicture]:
    if draw is None:
        return {}
    wanted = dict.fromkeys(
        Wanted(candidate.span, one.item.text)
        for one in shown
        for candidate in one.candidates
        if candidate.span is not None
    )
    return dict(zip(wanted, draw(list(wanted)), strict=True)) if wanted else {}


def _items(title: str, shown: Sequence[_Shown], score_name: str, pictures: dict[Wanted, ItemPicture]) -> str:
    blocks = []
    for one in shown:
        kind = f", {one.item.kind}" if one.item.kind else ""
        figures = "".join(_figure(one.item, candidate, pictures) for candidate in one.candidates)
        blocks.append(
            f'<div class="item"><h3>{html.escape(one.item.text)} <span class="note">'
            f"{html.escape(score_name)} {one.item.score:.3f}{html.escape(kind)}</span></h3>"
            f'<div class="found">{figures}</div></div>'
        )
    return f"<h2>{html.escape(title)}</h2>{''.join(blocks)}"


def _figure(item: QueryItem, candidate: Candidate, pictures: dict[Wanted, ItemPicture]) -> str:
    picture = None if candidate.span is None else pictures.get(Wanted(candidate.span, item.text))
    image, keys = "", ""
    if picture is not None:
        image = f'<img src="{picture.data_uri}" alt="">' if picture.data_uri else html.escape(picture.fault)
        keys = "<br>" * bool(picture.met) + "".join(
            f'<i class="key" style="background: rgb{colour}"></i>{html.escape(met.phrase)} {met.similarity:.2f}'
            for met, colour in zip(picture.met, COLOURS, strict=False)
        )
    verdict = "" if candidate.is_right is None else "right" if candidate.is_right else "wrong"
    caption = f"{html.escape(candidate.label)} <b>{candidate.similarity:.3f}</b> {verdict}{keys}"
    return f'<figure class="{verdict}">{image}<figcaption>{caption}</figcaption></figure>'
