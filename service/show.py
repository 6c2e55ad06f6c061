"""Hits for people (a table) and for programs (JSON)."""

import dataclasses
import json
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from henasy.search.hits import Explanation, Hit, QueryResult, SearchAnswer


def to_json(answer: SearchAnswer) -> str:
    """The answer with all its evidence, keys as in `henasy.search.hits`."""
    return json.dumps(_plain(answer), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def print_table(console: Console, result: QueryResult) -> None:
    """One line per hit, with what each phrase met below it when it was explained."""
    has_entities = any(hit.entity is not None for hit in result.hits)
    table = Table(title=escape(f'"{result.query}"'), title_justify="left", show_edge=False)
    for heading, justify in (("#", "right"), ("score", "right"), ("video", "left"), ("span", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    if has_entities:
        table.add_column("entity", justify="right")
        table.add_column("box in the middle frame", justify="right")
    for hit in result.hits:
        table.add_row(str(hit.rank), f"{hit.score:.3f}", escape(hit.video.path), _span(hit), *_entity_cells(hit))
        if hit.explanation is not None:
            table.add_row("", "", f"[dim]{escape(_phrases(hit.explanation))}[/dim]")
    console.print(table)
    if not result.hits:
        console.print("no hit")


def _span(hit: Hit) -> str:
    return f"{hit.span.start_s:.1f}-{hit.span.end_s:.1f} s"


def _entity_cells(hit: Hit) -> list[str]:
    if hit.entity is None:
        return []
    regions = hit.entity.regions
    box = regions[len(regions) // 2].box if regions else None
    shown = "not there" if box is None else f"{box.left_px:.0f},{box.top_px:.0f} {box.right_px:.0f},{box.bottom_px:.0f}"
    return [str(hit.entity.slot), shown]


def _phrases(explanation: Explanation) -> str:
    if not explanation.phrases:
        return "no phrase"
    return "; ".join(f"{match.phrase} -> entity {match.slot} ({match.score:.3f})" for match in explanation.phrases)
