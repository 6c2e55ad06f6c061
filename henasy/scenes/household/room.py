"""Kitchens: worktop and wall with what they are fitted with, in several layouts, and the light in them.

Unit: decimetre; the worktop lies at z = 0, the wearer stands before it at y < -4.
"""

from typing import NamedTuple

import numpy as np

from henasy.scenes.household import paint
from henasy.scenes.household.fixtures import (
    STEEL,
    WALL_Y,
    Rect,
    build_cupboard,
    build_glow,
    build_hob,
    build_rail,
    build_shelf,
    build_sink,
    build_socket,
    build_window,
    sheet,
)
from henasy.scenes.household.paint import WHITE, Texture
from henasy.scenes.mesh import Colour, Mesh, Part, box, lathe, merged, moved, rotation, translation
from henasy.scenes.renderer import Light

_FRONT_Y = -4.5
_HALF_WIDTH = 10.0
_ON_THE_WALL = (0.28, 0.26, 0.2, 0.14, 0.12)
"""How often windows, shelves, rails, cupboards and sockets come along the wall"""

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


class Room(NamedTuple):
    """Everything that is neither an object nor a hand."""

    parts: list[Part]
    glowing: list[Part]
    """What light does not change: the view from the window, a burning hob"""
    textures: dict[str, Texture]
    light: Light
    background: Colour


def draw_room(rng: np.random.Generator) -> Room:
    """A kitchen; equal generators give equal kitchens."""
    textures = _draw_textures(rng)
    wall = WALLS[int(rng.integers(len(WALLS)))]
    accent = ACCENTS[int(rng.integers(len(ACCENTS)))]
    sink, hob = _places(rng)
    parts = _worktop(sink) + ([] if sink is None else build_sink(sink)) + ([] if hob is None else build_hob(hob))
    glowing: list[Part] = [] if hob is None or rng.random() < 0.5 else [build_glow(hob)]
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


def _places(rng: np.random.Generator) -> tuple[Rect | None, Rect | None]:
    """Where sink and hob are: on opposite sides, or one of them alone."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    layout = int(rng.integers(4))
    beside, opposite = _mirrored(Rect(3.9, 8.4, 0.6, 4.2), side), _mirrored(Rect(4.0, 8.8, 0.2, 4.4), -side)
    if layout == 0:
        return beside, opposite
    if layout == 1:
        return beside, None
    if layout == 2:
        return None, opposite
    return _mirrored(Rect(3.7, 8.6, 0.9, 4.4), side), _mirrored(Rect(3.6, 8.6, 0.9, 4.5), -side)


def _mirrored(rect: Rect, side: float) -> Rect:
    return rect if side > 0 else Rect(-rect.x1, -rect.x0, rect.y0, rect.y1)


def _worktop(hole: Rect | None) -> list[Part]:
    whole = Rect(-_HALF_WIDTH, _HALF_WIDTH, _FRONT_Y, WALL_Y)
    if hole is None:
        return [Part(_slab(whole), WHITE, "worktop")]
    pieces = (
        whole._replace(x1=hole.x0),
        whole._replace(x0=hole.x1),
        Rect(hole.x0, hole.x1, whole.y0, hole.y0),
        Rect(hole.x0, hole.x1, hole.y1, whole.y1),
    )
    return [Part(merged([_slab(piece) for piece in pieces]), WHITE, "worktop")]


def _slab(rect: Rect) -> Mesh:
    """A flat piece of worktop with texture coordinates of the whole."""
    across, away = rect.x1 - rect.x0, rect.y1 - rect.y0
    mesh = sheet((rect.x0, rect.y0, 0.0), (across, 0, 0), (0, away, 0), (1, 1))
    return mesh._replace(uvs=(mesh.points[:, :2] / 4.5).astype(np.float32))


def _mats(rng: np.random.Generator) -> list[Part]:
    """A cloth or a board that lies under things."""
    parts = []
    if rng.random() < 0.55:
        turn = rotation("z", float(rng.uniform(-15, 15)))
        place = translation(float(rng.uniform(-2.6, 2.6)), float(rng.uniform(0.0, 0.8)), 0.015)
        parts.append(
            Part(moved(sheet((-1.9, -1.5, 0), (3.8, 0, 0), (0, 3.0, 0), (2, 1.6)), place @ turn), WHITE, "mat")
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
        Part(sheet((-13, WALL_Y, 0), (26, 0, 0), (0, 0, tiled), (9, tiled / 3)), WHITE, "tiles"),
        Part(sheet((-13, WALL_Y, tiled), (26, 0, 0), (0, 0, 9 - tiled), (1, 1)), wall, "plain"),
    ]
    glowing: list[Part] = []
    x = -7.5 + float(rng.uniform(-1, 1))
    while x < 7.5:
        width = float(rng.uniform(3.6, 5.2))
        match int(rng.choice(5, p=_ON_THE_WALL)):
            case 0:
                frame, view = build_window(x, width)
                parts += frame
                glowing += view
            case 1:
                parts += build_shelf(rng, x, width, accent)
            case 2:
                parts += build_rail(rng, x, width)
            case 3:
                parts += build_cupboard(rng, x, width)
            case _:
                parts += build_socket(rng, x, width, accent)
        x += width + 0.7
    return parts, glowing


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
