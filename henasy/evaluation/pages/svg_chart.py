"""Line charts as SVG, without a library: a report has to stand alone in one file."""

import html
import math

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.pages.details import Chart, Line

WIDTH_PX, HEIGHT_PX = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 30, 44
_LEGEND_ROW_PX = 16
_TITLE_ROW_CHARS = 58
"""What fits into the row of the title, in characters of about 7 px, with this many between names:"""
_BETWEEN_CHARS = 2
_COLOURS = ("#1f6fb4", "#d1495b", "#2a9d6f", "#b07d2b", "#7d5ba6")


def svg_chart(chart: Chart) -> str:
    """An SVG element; lines without a point are left to the legend."""
    points = [line for line in chart.lines if len(line.x)]
    x_ticks = _ticks(np.concatenate([line.x for line in points] or [np.array([1.0, 10.0])]), is_log=chart.is_log_x)
    y_ticks = _ticks(np.concatenate([line.y for line in points] or [np.array([0.0, 1.0])]), is_log=False)
    is_beside = len(chart.title) + sum(len(line.name) + _BETWEEN_CHARS for line in chart.lines) <= _TITLE_ROW_CHARS
    height_px = HEIGHT_PX + (0 if is_beside else len(chart.lines) * _LEGEND_ROW_PX)
    parts = [
        f'<svg viewBox="0 0 {WIDTH_PX} {height_px}" width="{WIDTH_PX}" height="{height_px}" role="img">',
        f'<text x="{_LEFT}" y="18" class="title">{html.escape(chart.title)}</text>',
        *(_x_tick(tick, x_ticks, chart) for tick in x_ticks),
        *(_y_tick(tick, y_ticks) for tick in y_ticks),
        _axis_label(f"translate({(_LEFT + WIDTH_PX) / 2:.0f},{HEIGHT_PX - 8})", chart.x_label),
        _axis_label(f"translate(13,{HEIGHT_PX / 2:.0f}) rotate(-90)", chart.y_label),
    ]
    for number, line in enumerate(chart.lines):
        parts.append(_line(line, number, x_ticks, y_ticks, chart))
    return "\n".join([*parts, _legend_beside(chart) if is_beside else _legend_below(chart), "</svg>"])


def _legend_below(chart: Chart) -> str:
    """The names of the lines in their colours, one under the other, for names that do not fit beside the title."""
    return "".join(
        f'<text x="{_LEFT}" y="{HEIGHT_PX + 8 + row * _LEGEND_ROW_PX}">'
        f'<tspan fill="{_COLOURS[row % len(_COLOURS)]}">{html.escape(line.name)}</tspan></text>'
        for row, line in enumerate(chart.lines)
    )


def _legend_beside(chart: Chart) -> str:
    """The names of the lines in their colours, in the row of the title."""
    names = " &#160; ".join(
        f'<tspan fill="{_COLOURS[number % len(_COLOURS)]}">{html.escape(line.name)}</tspan>'
        for number, line in enumerate(chart.lines)
    )
    return f'<text x="{WIDTH_PX - _RIGHT}" y="18" text-anchor="end">{names}</text>'


def _axis_label(place: str, text: str) -> str:
    return f'<text transform="{place}" class="axis">{html.escape(text)}</text>'


def _line(line: Line, number: int, x_ticks: list[float], y_ticks: list[float], chart: Chart) -> str:
    places = zip(_across(line.x, x_ticks, chart), _down(line.y, y_ticks), strict=True)
    path = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
    return f'<polyline points="{path}" fill="none" stroke="{_COLOURS[number % len(_COLOURS)]}" stroke-width="2"/>'


def _x_tick(tick: float, ticks: list[float], chart: Chart) -> str:
    left = _across(np.array([tick]), ticks, chart)[0]
    foot = HEIGHT_PX - _BOTTOM
    return (
        f'<line x1="{left:.1f}" y1="{_TOP}" x2="{left:.1f}" y2="{foot}" class="grid"/>'
        f'<text x="{left:.1f}" y="{foot + 16}" class="axis">{tick:g}</text>'
    )


def _y_tick(tick: float, ticks: list[float]) -> str:
    top = _down(np.array([tick]), ticks)[0]
    return (
        f'<line x1="{_LEFT}" y1="{top:.1f}" x2="{WIDTH_PX - _RIGHT}" y2="{top:.1f}" class="grid"/>'
        f'<text x="{_LEFT - 6}" y="{top + 4:.1f}" text-anchor="end">{tick:g}</text>'
    )


def _across(x: NDArray[np.float64], ticks: list[float], chart: Chart) -> NDArray[np.float64]:
    low, high = ticks[0], ticks[-1]
    if chart.is_log_x:
        x, low, high = np.log10(x), math.log10(low), math.log10(high)
    scaled: NDArray[np.float64] = _LEFT + (x - low) / (high - low) * (WIDTH_PX - _LEFT - _RIGHT)
    return scaled


def _down(y: NDArray[np.float64], ticks: list[float]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = (
        HEIGHT_PX - _BOTTOM - (y - ticks[0]) / (ticks[-1] - ticks[0]) * (HEIGHT_PX - _TOP - _BOTTOM)
    )
    return scaled


def _ticks(values: NDArray[np.float64], *, is_log: bool) -> list[float]:
    """Round numbers around the values, at least two."""
    low, high = float(values.min()), float(values.max())
    if is_log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [10.0**power for power in range(first, max(last, first + 1) + 1)]
    span = high - low or abs(high) or 1.0
    rough = span / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(step * number, 12) for number in range(first, max(last, first + 1) + 1)]
