"""What a kitchen is fitted with: sink and hob in the worktop; window, shelf, rail, cupboard and socket on the wall.

Unit: decimetre; the worktop lies at z = 0, the wall stands at y = `WALL_Y`.
"""

from typing import NamedTuple

import numpy as np

from henasy.scenes.household.paint import WHITE
from henasy.scenes.mesh import (
    Colour,
    Mesh,
    Part,
    box,
    ellipsoid,
    grid_mesh,
    lathe,
    merged,
    moved,
    rotation,
    translation,
    tube,
)

STEEL: Colour = (0.78, 0.8, 0.83)
DARK: Colour = (0.1, 0.1, 0.11)
WALL_Y = 5.4


class Rect(NamedTuple):
    """A place on the worktop."""

    x0: float
    x1: float
    y0: float
    y1: float


def sheet(
    origin: tuple[float, float, float],
    across: tuple[float, float, float],
    up: tuple[float, float, float],
    repeats: tuple[float, float],
) -> Mesh:
    """A flat piece that shows its texture so many times across and up."""
    # Small squares, because the renderer lights vertices and clips whole triangles faster than parts of them.
    columns = max(2, min(10, round(float(np.linalg.norm(across)) / 2) + 1))
    rows = max(2, min(7, round(float(np.linalg.norm(up)) / 2) + 1))
    u, v = np.linspace(0, 1, columns), np.linspace(0, 1, rows)
    points = np.array(origin) + v[:, None, None] * np.array(up) + u[None, :, None] * np.array(across)
    mesh = grid_mesh(points.astype(np.float64))
    return mesh._replace(uvs=(mesh.uvs * np.array(repeats)).astype(np.float32))


def build_sink(rect: Rect) -> list[Part]:
    """A steel basin with a rim, a drain and a bent tap."""
    width, depth, low = rect.x1 - rect.x0, rect.y1 - rect.y0, -1.7
    walls = [
        sheet((rect.x0, rect.y1, low), (width, 0, 0), (0, 0, -low), (2, 1)),
        sheet((rect.x0, rect.y0, low), (0, depth, 0), (0, 0, -low), (2, 1)),
        sheet((rect.x1, rect.y0, low), (0, depth, 0), (0, 0, -low), (2, 1)),
        sheet((rect.x0, rect.y0, low), (width, 0, 0), (0, depth, 0), (2, 2)),
    ]
    middle_x, middle_y = (rect.x0 + rect.x1) / 2, (rect.y0 + rect.y1) / 2
    rims = [
        moved(box((width + 0.5, 0.25, 0.12)), translation(middle_x, y, 0.03)) for y in (rect.y0 - 0.1, rect.y1 + 0.1)
    ]
    rims += [
        moved(box((0.25, depth + 0.2, 0.12)), translation(x, middle_y, 0.03)) for x in (rect.x0 - 0.1, rect.x1 + 0.1)
    ]
    drain = moved(lathe([(0.4, 0), (0, 0.01)], 14), translation(middle_x, middle_y, low + 0.08))
    angles = np.radians(np.linspace(0, 180, 9))
    bend = np.stack([np.zeros(9), 0.75 * np.cos(angles), 2.1 + 0.75 * np.sin(angles)], 1)
    path = np.concatenate([[[0, 0.75, 0], [0, 0.75, 1.2]], bend, [[0, -0.75, 1.7]]])
    tap = moved(tube(path, np.full(len(path), 0.16), 8), translation(middle_x, rect.y1 - 0.2, 0))
    knobs = [
        moved(
            lathe([(0.22, 0), (0.22, 0.45), (0.22, 0.45), (0, 0.5)], 10), translation(middle_x + x, rect.y1 + 0.45, 0)
        )
        for x in (-0.7, 0.7)
    ]
    return [
        Part(merged([*walls, *rims]), WHITE, "steel"),
        Part(drain, DARK, "plain"),
        Part(merged([tap, *knobs]), STEEL, "plain"),
    ]


def _rings(rect: Rect) -> list[tuple[float, float, float]]:
    """x, y and radius of a hob's plates."""
    width, depth = rect.x1 - rect.x0, rect.y1 - rect.y0
    shares = ((0.27, 0.3, 0.9), (0.73, 0.3, 0.7), (0.27, 0.74, 0.7), (0.73, 0.74, 0.9))
    return [(rect.x0 + u * width, rect.y0 + v * depth, radius) for u, v, radius in shares]


def build_hob(rect: Rect) -> list[Part]:
    """A black glass hob with four plates, knobs in front and a pale edge."""
    middle_x, middle_y = (rect.x0 + rect.x1) / 2, (rect.y0 + rect.y1) / 2
    glass = moved(box((rect.x1 - rect.x0, rect.y1 - rect.y0, 0.1)), translation(middle_x, middle_y, 0.03))
    edge = moved(box((rect.x1 - rect.x0 + 0.24, rect.y1 - rect.y0 + 0.24, 0.06)), translation(middle_x, middle_y, 0.02))
    rings = [
        moved(lathe([(radius, 0.0), (radius, 0.14), (radius, 0.14), (0.55 * radius, 0.14)], 20), translation(x, y, 0))
        for x, y, radius in _rings(rect)
    ]
    centres = [
        moved(lathe([(0.5 * radius, 0.13), (0, 0.13)], 16), translation(x, y, 0)) for x, y, radius in _rings(rect)
    ]
    knobs = [
        moved(
            lathe([(0.2, 0), (0.2, 0.3), (0.2, 0.3), (0, 0.32)], 10),
            translation(rect.x0 + 0.6 + 0.8 * k, rect.y0 + 0.35, 0),
        )
        for k in range(4)
    ]
    return [
        Part(edge, STEEL, "plain"),
        Part(glass, DARK, "plain"),
        Part(merged(rings), (0.34, 0.34, 0.36), "plain"),
        Part(merged(centres), (0.24, 0.24, 0.26), "plain"),
        Part(merged(knobs), STEEL, "plain"),
    ]


def build_glow(rect: Rect) -> Part:
    """A ring of a burning plate."""
    x, y, radius = _rings(rect)[0]
    return Part(
        moved(lathe([(radius, 0.17), (0.35 * radius, 0.17)], 20), translation(x, y, 0)), (0.95, 0.28, 0.08), "plain"
    )


def build_window(x: float, width: float) -> tuple[list[Part], list[Part]]:
    """Frame and sill, and the view, which light does not change."""
    bottom, height = 1.0, 4.2
    view = sheet((x, WALL_Y - 0.03, bottom), (width, 0, 0), (0, 0, height), (1, 1))
    bars = [
        moved(box((0.22, 0.2, height)), translation(x + share * width, WALL_Y - 0.08, bottom + height / 2))
        for share in (0, 0.5, 1)
    ]
    bars += [
        moved(box((width + 0.2, 0.2, 0.22)), translation(x + width / 2, WALL_Y - 0.08, z))
        for z in (bottom, 3.1, bottom + height)
    ]
    sill = moved(box((width + 0.6, 0.7, 0.16)), translation(x + width / 2, WALL_Y - 0.3, bottom - 0.1))
    return [Part(merged([*bars, sill]), (0.95, 0.95, 0.93), "plain")], [Part(view, WHITE, "outdoors")]


def build_shelf(rng: np.random.Generator, x: float, width: float, accent: Colour) -> list[Part]:
    """A board with jars, cups and leaning plates."""
    height = float(rng.uniform(1.5, 2.0))
    parts = [Part(moved(box((width, 0.9, 0.16)), translation(x + width / 2, WALL_Y - 0.45, height)), WHITE, "wood")]
    colours = (accent, (0.9, 0.88, 0.8), (0.35, 0.3, 0.28), (0.55, 0.65, 0.7))
    place = x + 0.45
    while place < x + width - 0.3:
        colour = colours[int(rng.integers(len(colours)))]
        if rng.random() < 0.7:
            radius, tall = float(rng.uniform(0.22, 0.36)), float(rng.uniform(0.6, 1.2))
            body = lathe(
                [(radius, 0), (radius, tall), (radius, tall), (0.7 * radius, tall + 0.08), (0, tall + 0.1)], 10
            )
            parts.append(Part(moved(body, translation(place, WALL_Y - 0.4, height + 0.08)), colour, "plain"))
            place += 2 * radius + 0.15
        else:
            disc = moved(lathe([(0.55, 0), (0.5, 0.06), (0, 0.08)], 16), rotation("x", 78))
            parts.append(Part(moved(disc, translation(place + 0.3, WALL_Y - 0.25, height + 0.62)), colour, "plain"))
            place += 1.2
    return parts


def build_rail(rng: np.random.Generator, x: float, width: float) -> list[Part]:
    """A steel rail with hanging ladles, lids and a towel."""
    height = float(rng.uniform(2.3, 2.7))
    bar = moved(box((width, 0.1, 0.1)), translation(x + width / 2, WALL_Y - 0.25, height))
    hung: list[Mesh] = []
    parts: list[Part] = []
    for place in np.arange(x + 0.4, x + width - 0.2, 0.8).tolist():
        if rng.random() < 0.25:
            cloth = sheet((place - 0.32, WALL_Y - 0.32, height - 1.5), (0.64, 0, 0), (0, 0, 1.5), (0.5, 1))
            parts.append(Part(cloth, WHITE, "mat"))
            continue
        length = float(rng.uniform(0.8, 1.3))
        hung.append(moved(box((0.09, 0.07, length)), translation(place, WALL_Y - 0.28, height - length / 2)))
        hung.append(moved(ellipsoid((0.26, 0.1, 0.26), 8), translation(place, WALL_Y - 0.28, height - length)))
    return [Part(merged([bar, *hung]), (0.6, 0.62, 0.66), "plain"), *parts]


def build_cupboard(rng: np.random.Generator, x: float, width: float) -> list[Part]:
    """The lower part of a wall cupboard with two doors."""
    bottom = float(rng.uniform(2.2, 2.6))
    body = moved(box((width, 1.6, 5.0)), translation(x + width / 2, WALL_Y - 0.8, bottom + 2.5))
    gap = moved(box((0.06, 0.06, 4.8)), translation(x + width / 2, WALL_Y - 1.62, bottom + 2.5))
    knobs = [
        moved(ellipsoid((0.12, 0.12, 0.12), 8), translation(x + width / 2 + k, WALL_Y - 1.7, bottom + 0.5))
        for k in (-0.35, 0.35)
    ]
    return [Part(body, WHITE, "wood"), Part(gap, DARK, "plain"), Part(merged(knobs), STEEL, "plain")]


def build_socket(rng: np.random.Generator, x: float, width: float, accent: Colour) -> list[Part]:
    """A power socket, and a picture above it."""
    plate = moved(box((0.8, 0.08, 0.8)), translation(x + width / 2, WALL_Y - 0.05, 1.1))
    holes = [
        moved(ellipsoid((0.07, 0.04, 0.07), 6), translation(x + width / 2 + k, WALL_Y - 0.1, 1.1))
        for k in (-0.15, 0.15)
    ]
    frame = moved(box((1.8, 0.1, 1.4)), translation(x + width / 2, WALL_Y - 0.05, 2.6 + float(rng.uniform(0, 0.3))))
    return [Part(plate, (0.95, 0.95, 0.93), "plain"), Part(merged(holes), DARK, "plain"), Part(frame, accent, "plain")]
