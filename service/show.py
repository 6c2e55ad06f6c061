"""Hits for people (a table) and for programs (JSON)."""

import dataclasses
import json
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from henasy.search.hits import Box, Explanation, Hit, QueryResult, SearchAnswer


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
    """One line per hit; below them, what each phrase met in the hits that were explained."""
    has_entities = any(hit.entity is not None for hit in result.hits)
    has_clips = any(hit.clips for hit in result.hits)
    # A tab or a line break in a title would tear the table apart.
    query = " ".join(result.query.split())
    table = Table(title=escape(f'"{query}"'), title_justify="left", box=None)
    table.add_column("#", justify="right")
    table.add_column("score", justify="right")
    table.add_column("video", overflow="fold")
    table.add_column("span", justify="right", no_wrap=True)
    if has_entities:
        table.add_column("entity", justify="right")
        table.add_column("largest box, px", justify="right")
    if has_clips:
        table.add_column("clips", justify="right")
        table.add_column("best clip", justify="right", no_wrap=True)
    for hit in result.hits:
        cells = (*_entity_cells(hit), *_clip_cells(hit))
        table.add_row(str(hit.rank), f"{hit.score:.3f}", escape(_printable(hit.video.path)), _span(hit), *cells)
    console.print(table)
    if not result.hits:
        console.print("no hit")
    for hit in result.hits:
        if hit.explanation is not None:
            console.print(escape(f"{hit.rank:>3}: {_phrases(hit.explanation)}"), style="dim", soft_wrap=True)


def _printable(path: str) -> str:
    """A file's name on one line: a tab or an escape sequence in it would tear the table apart."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in path)


def _span(hit: Hit) -> str:
    # The ends of moments are finer than those of clips.
    digits = 2 if hit.clips else 1
    return f"{hit.span.start_s:.{digits}f}-{hit.span.end_s:.{digits}f} s"


def _clip_cells(hit: Hit) -> list[str]:
    if not hit.clips:
        return []
    best = max(hit.clips, key=lambda clip: clip.score)
    return [str(len(hit.clips)), f"{best.span.start_s:.1f} s ({best.score:.3f})"]


def _entity_cells(hit: Hit) -> list[str]:
    if hit.entity is None:
        return []
    boxes = [region.box for region in hit.entity.regions if region.box is not None]
    if not boxes:
        return [str(hit.entity.slot), "-"]
    box = max(boxes, key=_area)
    return [str(hit.entity.slot), f"{box.left_px:.0f},{box.top_px:.0f} {box.right_px:.0f},{box.bottom_px:.0f}"]


def _area(box: Box) -> float:
    return (box.right_px - box.left_px) * (box.bottom_px - box.top_px)


def _phrases(explanation: Explanation) -> str:
    if not explanation.phrases:
        return "no phrase"
    return "; ".join(f"{match.phrase} -> entity {match.slot} ({match.score:.3f})" for match in explanation.phrases)
