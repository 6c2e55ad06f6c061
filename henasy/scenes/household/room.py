"""Kitchens: worktop, sink, hob, walls, window, shelves and cupboards in several layouts, and the light in them.

Unit: decimetre; the worktop lies at z = 0, the wearer stands before it at y < -4.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.scenes.household import paint
from henasy.scenes.household.paint import WHITE, Texture
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
from henasy.scenes.renderer import Light

STEEL: Colour = (0.78, 0.8, 0.83)
DARK: Colour = (0.1, 0.1, 0.11)
_WALL_Y = 5.4
_FRONT_Y = -4.5
_HALF_WIDTH = 10.0

WOODS: tuple[Colour, ...] = ((0.74, 0.54, 0.34), (0.5, 0.33, 0.21), (0.88, 0.76, 0.58), (0.62, 0.36, 0.22))
STONES: tuple[Colour, ...] = ((0.9, 0.89, 0.87), (0.33, 0.34, 0.36), (0.72, 0.68, 0.6), (0.58, 0.66, 0.62))
WALLS: tuple[Colour, ...] = (
    (0.93, 0.93, 0.9),
    (0.72, 0.82, 0.86),
    (0.9, 0.8, 0.66),
    (0.62, 0.72, 0.6),
    (0.86, 0.68, 0.62),
    (0.45, 0.53, 0.6),
)
ACCENTS: tuple[Colour, ...] = ((0.75, 0.2, 0.18), (0.18, 0.34, 0.62), (0.2, 0.5, 0.34), (0.85, 0.62, 0.15))

Corner = Literal["sink", "hob", "nothing"]


class Room(NamedTuple):
    """Everything that is neither an object nor a hand."""

    parts: list[Part]
    glowing: list[Part]
    """What light does not change: the view from the window, a burning hob"""
    textures: dict[str, Texture]
    light: Light
    background: Colour


class _Rect(NamedTuple):
    """A place on the worktop."""

    x0: float
    x1: float
    y0: float
    y1: float


def draw_room(rng: np.random.Generator) -> Room:
    """A kitchen; equal generators give equal kitchens."""
    textures = _draw_textures(rng)
    wall = WALLS[int(rng.integers(len(WALLS)))]
    accent = ACCENTS[int(rng.integers(len(ACCENTS)))]
    sink, hob = _places(rng)
    parts = _worktop(sink) + ([] if sink is None else _sink(sink)) + ([] if hob is None else _hob(hob))
    glowing: list[Part] = [] if hob is None or rng.random() < 0.5 else [_glow(hob)]
    parts += _mats(rng)
    back, shining = _back_wall(rng, wall, accent)
    light = _draw_light(rng)
    return Room(parts + back, glowing + shining, textures, light, (wall[0] * 0.4, wall[1] * 0.4, wall[2] * 0.4))


def _draw_textures(rng: np.random.Generator) -> dict[str, Texture]:
    wood = WOODS[int(rng.integers(len(WOODS)))]
    stone = STONES[int(rng.integers(len(STONES)))]
    other = STONES[int(rng.integers(len(STONES)))]
    wall, second = (WALLS[int(row)] for row in rng.permutation(len(WALLS))[:2])
    accent = ACCENTS[int(rng.integers(len(ACCENTS)))]
    worktops = (
        lambda: paint.wood(rng, wood, 5),
        lambda: paint.marble(rng, (0.92, 0.91, 0.89), (0.45, 0.46, 0.5)),
        lambda: paint.marble(rng, (0.2, 0.22, 0.24), (0.75, 0.72, 0.66)),
        lambda: paint.speckled(rng, stone, other),
        lambda: paint.tiles(rng, (0.92, 0.9, 0.85), accent, "square"),
        lambda: paint.wood(rng, wood, 2),
    )
    layouts = ("square", "brick", "chess")
    return {
        "worktop": worktops[int(rng.integers(len(worktops)))](),
        "tiles": paint.tiles(rng, wall, second, layouts[int(rng.integers(len(layouts)))]),
        "wood": paint.wood(rng, wood),
        "board": paint.wood(rng, WOODS[int(rng.integers(len(WOODS)))], 3),
        "mat": paint.checked(accent) if rng.random() < 0.6 else paint.striped_cloth(accent),
        "outdoors": paint.outdoors(rng),
        "steel": paint.brushed(rng, STEEL),
    }


def _places(rng: np.random.Generator) -> tuple[_Rect | None, _Rect | None]:
    """Where sink and hob are: at the sides, or one of them in the middle at the back."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    layout = int(rng.integers(4))
    beside, opposite = _mirrored(_Rect(3.9, 8.4, 0.6, 4.2), side), _mirrored(_Rect(4.0, 8.8, 0.2, 4.4), -side)
    if layout == 0:
        return beside, opposite
    if layout == 1:
        return beside, None
    if layout == 2:
        return None, opposite
    return _mirrored(_Rect(3.7, 8.6, 0.9, 4.4), side), _mirrored(_Rect(3.6, 8.6, 0.9, 4.5), -side)


def _mirrored(rect: _Rect, side: float) -> _Rect:
    return rect if side > 0 else _Rect(-rect.x1, -rect.x0, rect.y0, rect.y1)


def _worktop(hole: _Rect | None) -> list[Part]:
    whole = _Rect(-_HALF_WIDTH, _HALF_WIDTH, _FRONT_Y, _WALL_Y)
    if hole is None:
        return [Part(_slab(whole), WHITE, "worktop")]
    pieces = (
        whole._replace(x1=hole.x0),
        whole._replace(x0=hole.x1),
        _Rect(hole.x0, hole.x1, whole.y0, hole.y0),
        _Rect(hole.x0, hole.x1, hole.y1, whole.y1),
    )
    return [Part(merged([_slab(piece) for piece in pieces]), WHITE, "worktop")]


def _slab(rect: _Rect) -> Mesh:
    """A flat piece of worktop with texture coordinates of the whole."""
    across, away = rect.x1 - rect.x0, rect.y1 - rect.y0
    mesh = _sheet((rect.x0, rect.y0, 0.0), (across, 0, 0), (0, away, 0), (1, 1))
    return mesh._replace(uvs=(mesh.points[:, :2] / 4.5).astype(np.float32))


def _sheet(
    origin: tuple[float, float, float],
    across: tuple[float, float, float],
    up: tuple[float, float, float],
    repeats: tuple[float, float],
) -> Mesh:
    # Small squares, because the renderer lights vertices and clips whole triangles faster than parts of them.
    columns = max(2, min(10, round(float(np.linalg.norm(across)) / 2) + 1))
    rows = max(2, min(7, round(float(np.linalg.norm(up)) / 2) + 1))
    u, v = np.linspace(0, 1, columns), np.linspace(0, 1, rows)
    points = np.array(origin) + v[:, None, None] * np.array(up) + u[None, :, None] * np.array(across)
    mesh = grid_mesh(points.astype(np.float64))
    return mesh._replace(uvs=(mesh.uvs * np.array(repeats)).astype(np.float32))


def _sink(rect: _Rect) -> list[Part]:
    """A steel basin with a rim, a drain and a bent tap."""
    width, depth, low = rect.x1 - rect.x0, rect.y1 - rect.y0, -1.7
    walls = [
        _sheet((rect.x0, rect.y1, low), (width, 0, 0), (0, 0, -low), (2, 1)),
        _sheet((rect.x0, rect.y0, low), (0, depth, 0), (0, 0, -low), (2, 1)),
        _sheet((rect.x1, rect.y0, low), (0, depth, 0), (0, 0, -low), (2, 1)),
        _sheet((rect.x0, rect.y0, low), (width, 0, 0), (0, depth, 0), (2, 2)),
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


def _rings(rect: _Rect) -> list[tuple[float, float, float]]:
    """x, y and radius of a hob's plates."""
    width, depth = rect.x1 - rect.x0, rect.y1 - rect.y0
    shares = ((0.27, 0.3, 0.9), (0.73, 0.3, 0.7), (0.27, 0.74, 0.7), (0.73, 0.74, 0.9))
    return [(rect.x0 + u * width, rect.y0 + v * depth, radius) for u, v, radius in shares]


def _hob(rect: _Rect) -> list[Part]:
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


def _glow(rect: _Rect) -> Part:
    x, y, radius = _rings(rect)[0]
    return Part(
        moved(lathe([(radius, 0.17), (0.35 * radius, 0.17)], 20), translation(x, y, 0)), (0.95, 0.28, 0.08), "plain"
    )


def _mats(rng: np.random.Generator) -> list[Part]:
    """A cloth or a board that lies under things."""
    parts = []
    if rng.random() < 0.55:
        turn = rotation("z", float(rng.uniform(-15, 15)))
        place = translation(float(rng.uniform(-2.6, 2.6)), float(rng.uniform(0.0, 0.8)), 0.015)
        parts.append(
            Part(moved(_sheet((-1.9, -1.5, 0), (3.8, 0, 0), (0, 3.0, 0), (2, 1.6)), place @ turn), WHITE, "mat")
        )
    if rng.random() < 0.4:
        turn = rotation("z", float(rng.uniform(-12, 12)))
        place = translation(float(rng.uniform(-3, 3)), float(rng.uniform(2.4, 3.4)), 0.03)
        parts.append(Part(moved(box((3.4, 2.2, 0.06)), place @ turn), WHITE, "board"))
    return parts


def _back_wall(rng: np.random.Generator, wall: Colour, accent: Colour) -> tuple[list[Part], list[Part]]:
    """The wall behind the worktop with what is on it, and what shines there."""
    tiled = float(rng.uniform(1.6, 7.0))
    parts = [
        Part(_sheet((-13, _WALL_Y, 0), (26, 0, 0), (0, 0, tiled), (9, tiled / 3)), WHITE, "tiles"),
        Part(_sheet((-13, _WALL_Y, tiled), (26, 0, 0), (0, 0, 9 - tiled), (1, 1)), wall, "plain"),
    ]
    glowing: list[Part] = []
    x = -7.5 + float(rng.uniform(-1, 1))
    while x < 7.5:
        width = float(rng.uniform(3.6, 5.2))
        what = ("window", "shelf", "rail", "cupboard", "socket")[int(rng.choice(5, p=[0.28, 0.26, 0.2, 0.14, 0.12]))]
        if what == "window":
            frame, view = _window(x, width)
            parts += frame
            glowing += view
        else:
            parts += {"shelf": _shelf, "rail": _rail, "cupboard": _cupboard, "socket": _socket}[what](
                rng, x, width, accent
            )
        x += width + 0.7
    return parts, glowing


def _window(x: float, width: float) -> tuple[list[Part], list[Part]]:
    bottom, height = 1.0, 4.2
    view = _sheet((x, _WALL_Y - 0.03, bottom), (width, 0, 0), (0, 0, height), (1, 1))
    bars = [
        moved(box((0.22, 0.2, height)), translation(x + share * width, _WALL_Y - 0.08, bottom + height / 2))
        for share in (0, 0.5, 1)
    ]
    bars += [
        moved(box((width + 0.2, 0.2, 0.22)), translation(x + width / 2, _WALL_Y - 0.08, z))
        for z in (bottom, 3.1, bottom + height)
    ]
    sill = moved(box((width + 0.6, 0.7, 0.16)), translation(x + width / 2, _WALL_Y - 0.3, bottom - 0.1))
    return [Part(merged([*bars, sill]), (0.95, 0.95, 0.93), "plain")], [Part(view, WHITE, "outdoors")]


def _shelf(rng: np.random.Generator, x: float, width: float, accent: Colour) -> list[Part]:
    """A board with jars, cups and leaning plates."""
    height = float(rng.uniform(1.5, 2.0))
    parts = [Part(moved(box((width, 0.9, 0.16)), translation(x + width / 2, _WALL_Y - 0.45, height)), WHITE, "wood")]
    colours = (accent, (0.9, 0.88, 0.8), (0.35, 0.3, 0.28), (0.55, 0.65, 0.7))
    place = x + 0.45
    while place < x + width - 0.3:
        colour = colours[int(rng.integers(len(colours)))]
        if rng.random() < 0.7:
            radius, tall = float(rng.uniform(0.22, 0.36)), float(rng.uniform(0.6, 1.2))
            body = lathe(
                [(radius, 0), (radius, tall), (radius, tall), (0.7 * radius, tall + 0.08), (0, tall + 0.1)], 10
            )
            parts.append(Part(moved(body, translation(place, _WALL_Y - 0.4, height + 0.08)), colour, "plain"))
            place += 2 * radius + 0.15
        else:
            disc = moved(lathe([(0.55, 0), (0.5, 0.06), (0, 0.08)], 16), rotation("x", 78))
            parts.append(Part(moved(disc, translation(place + 0.3, _WALL_Y - 0.25, height + 0.62)), colour, "plain"))
            place += 1.2
    return parts


def _rail(rng: np.random.Generator, x: float, width: float, accent: Colour) -> list[Part]:
    """A steel rail with hanging ladles, lids and a towel."""
    height = float(rng.uniform(2.3, 2.7))
    bar = moved(box((width, 0.1, 0.1)), translation(x + width / 2, _WALL_Y - 0.25, height))
    hung: list[Mesh] = []
    parts: list[Part] = []
    for place in np.arange(x + 0.4, x + width - 0.2, 0.8).tolist():
        if rng.random() < 0.25:
            cloth = _sheet((place - 0.32, _WALL_Y - 0.32, height - 1.5), (0.64, 0, 0), (0, 0, 1.5), (0.5, 1))
            parts.append(Part(cloth, WHITE, "mat"))
            continue
        length = float(rng.uniform(0.8, 1.3))
        hung.append(moved(box((0.09, 0.07, length)), translation(place, _WALL_Y - 0.28, height - length / 2)))
        hung.append(moved(ellipsoid((0.26, 0.1, 0.26), 8), translation(place, _WALL_Y - 0.28, height - length)))
    del accent
    return [Part(merged([bar, *hung]), (0.6, 0.62, 0.66), "plain"), *parts]


def _cupboard(rng: np.random.Generator, x: float, width: float, accent: Colour) -> list[Part]:
    """The lower part of a wall cupboard with two doors."""
    bottom = float(rng.uniform(2.2, 2.6))
    body = moved(box((width, 1.6, 5.0)), translation(x + width / 2, _WALL_Y - 0.8, bottom + 2.5))
    gap = moved(box((0.06, 0.06, 4.8)), translation(x + width / 2, _WALL_Y - 1.62, bottom + 2.5))
    knobs = [
        moved(ellipsoid((0.12, 0.12, 0.12), 8), translation(x + width / 2 + k, _WALL_Y - 1.7, bottom + 0.5))
        for k in (-0.35, 0.35)
    ]
    del accent
    return [Part(body, WHITE, "wood"), Part(gap, DARK, "plain"), Part(merged(knobs), STEEL, "plain")]


def _socket(rng: np.random.Generator, x: float, width: float, accent: Colour) -> list[Part]:
    """A power socket, and a picture above it."""
    plate = moved(box((0.8, 0.08, 0.8)), translation(x + width / 2, _WALL_Y - 0.05, 1.1))
    holes = [
        moved(ellipsoid((0.07, 0.04, 0.07), 6), translation(x + width / 2 + k, _WALL_Y - 0.1, 1.1))
        for k in (-0.15, 0.15)
    ]
    frame = moved(box((1.8, 0.1, 1.4)), translation(x + width / 2, _WALL_Y - 0.05, 2.6 + float(rng.uniform(0, 0.3))))
    return [Part(plate, (0.95, 0.95, 0.93), "plain"), Part(merged(holes), DARK, "plain"), Part(frame, accent, "plain")]


_MOODS: tuple[tuple[Colour, Colour], ...] = (
    ((0.47, 0.46, 0.46), (0.62, 0.61, 0.58)),
    ((0.38, 0.42, 0.5), (0.55, 0.58, 0.66)),
    ((0.46, 0.4, 0.33), (0.78, 0.6, 0.4)),
    ((0.43, 0.39, 0.34), (0.56, 0.48, 0.36)),
    ((0.55, 0.56, 0.55), (0.4, 0.41, 0.4)),
)
"""Ambient and sun of midday, a cool morning, evening sun, a lamp at night, an overcast day"""


def _draw_light(rng: np.random.Generator) -> Light:
    ambient, sun = _MOODS[int(rng.integers(len(_MOODS)))]
    level = float(rng.uniform(0.85, 1.15))
    angle, slope = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.3, 1.3))
    direction = (slope * float(np.cos(angle)), slope * float(np.sin(angle)), -1.0)
    return Light(
        (level * ambient[0], level * ambient[1], level * ambient[2]),
        (level * sun[0], level * sun[1], level * sun[2]),
        direction,
    )


def shadow_mesh() -> Mesh:
    """A flat disc of radius 1 that stands for a soft shadow."""
    return lathe([(1.0, 0.0), (0.0, 0.0)], 16)


class Head(NamedTuple):
    """A head that never rests: sums of slow sines about where the wearer looks."""

    amplitudes: NDArray[np.float64]
    """(6, 3): eye x, y, z in decimetres, then aim x, y, z"""
    frequencies: NDArray[np.float64]
    """(6, 3) Hz"""
    phases: NDArray[np.float64]
    """(6, 3) radians"""
    eye: NDArray[np.float64]
    aim: NDArray[np.float64]

    def matrix(self, time_s: float, gaze: tuple[float, float]) -> NDArray[np.float64]:
        """(4, 4) camera to world; the camera looks along y, z is up.

        Args:
            gaze: x, y on the worktop that the wearer attends to.
        """
        waves = (self.amplitudes * np.sin(2 * np.pi * self.frequencies * time_s + self.phases)).sum(axis=1)
        eye, aim = self.eye + waves[:3], self.aim + waves[3:]
        eye[0] += 0.5 * gaze[0]
        aim[:2] += 0.85 * gaze[0], 0.5 * (gaze[1] - 0.15)
        forward = (aim - eye) / np.linalg.norm(aim - eye)
        right = np.cross(forward, (0.05 * np.sin(0.4 * time_s), 0.0, 1.0))
        right /= np.linalg.norm(right)
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([right, forward, np.cross(right, forward)], axis=1)
        matrix[:3, 3] = eye
        return matrix


def draw_head(rng: np.random.Generator) -> Head:
    """A wearer's height, stance and restlessness."""
    scale = np.array([0.12, 0.08, 0.07, 0.16, 0.12, 0.08])[:, None] * np.array([1.0, 0.5, 0.25])
    return Head(
        amplitudes=scale * rng.uniform(0.4, 1.4, size=(6, 3)),
        frequencies=np.array([0.13, 0.37, 0.9]) * rng.uniform(0.7, 1.3, size=(6, 3)),
        phases=rng.uniform(0, 2 * np.pi, size=(6, 3)),
        eye=np.array([0.0, -5.0, 5.3]) + rng.uniform(-0.35, 0.35, size=3),
        aim=np.array([0.0, 1.3, 0.6]) + rng.uniform(-0.2, 0.2, size=3),
    )
