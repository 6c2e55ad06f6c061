"""Shapes of food, and of the tools that hands hold. Unit: decimetre; each lies on z = 0 about the z axis."""

import numpy as np

from henasy.scenes.household.paint import WHITE, Paint
from henasy.scenes.household.vessels import DARK, STEEL, WOOD
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

LEAF: Colour = (0.16, 0.5, 0.14)


def apple(paint: Paint) -> list[Part]:
    """A dimpled fruit with stem and leaf."""
    fruit = lathe([(0, 0.12), (0.3, 0.0), (0.7, 0.35), (0.86, 0.85), (0.7, 1.25), (0.35, 1.4), (0, 1.15)], 18)
    stem = tube(np.array([[0, 0, 1.1], [0.04, 0, 1.4], [0.14, 0, 1.7]]), np.full(3, 0.07), 6)
    leaf = moved(ellipsoid((0.34, 0.16, 0.05), 8), translation(0.4, 0, 1.55) @ rotation("y", -20))
    return [Part(fruit, WHITE, paint.texture), Part(stem, WOOD, "plain"), Part(leaf, LEAF, "plain")]


def banana(paint: Paint) -> list[Part]:
    """A crescent with dark ends."""
    angles = np.radians(np.linspace(200, 340, 13))
    path = np.stack([1.45 * np.cos(angles), 1.35 * np.sin(angles) + 1.0, np.full(13, 0.38)], 1)
    radii = 0.4 * np.sin(np.linspace(0.12, np.pi - 0.12, 13)) ** 0.5
    tips = [moved(ellipsoid((0.16, 0.16, 0.16), 8), translation(*path[i])) for i in (0, -1)]
    return [Part(tube(path, radii, 8), WHITE, paint.texture), Part(merged(tips), DARK, "plain")]


def bread(paint: Paint) -> list[Part]:
    """A scored loaf."""
    loaf = moved(ellipsoid((1.45, 0.78, 0.82), 16), translation(0, 0, 0.5))
    cuts = [
        moved(box((0.18, 0.75, 0.12)), translation(x, 0, 1.28 - 0.14 * x * x) @ rotation("z", 28))
        for x in (-0.75, -0.25, 0.25, 0.75)
    ]
    return [Part(loaf, WHITE, paint.texture), Part(merged(cuts), (0.97, 0.9, 0.72), "plain")]


def broccoli(paint: Paint) -> list[Part]:
    """A pale stalk under a crown of round florets."""
    stalk = lathe([(0, 0), (0.34, 0), (0.3, 0.6), (0.5, 0.9)], 10)
    places = [(0, 0, 1.35)] + [
        (0.55 * np.cos(angle), 0.55 * np.sin(angle), 1.1) for angle in np.radians(np.arange(0, 360, 60))
    ]
    florets = [moved(ellipsoid((0.42, 0.42, 0.38), 8), translation(*place)) for place in places]
    return [Part(stalk, (0.72, 0.8, 0.5), "plain"), Part(merged(florets), WHITE, paint.texture)]


def carrot(paint: Paint) -> list[Part]:
    """A long cone with green leaves."""
    root = moved(lathe([(0, -1.6), (0.18, -1.25), (0.46, 0.6), (0.48, 0.8), (0, 0.95)], 12), rotation("y", 90))
    leaves = [
        moved(ellipsoid((0.55, 0.15, 0.12), 8), translation(1.3, 0.22 * k, 0.12) @ rotation("z", 24 * k))
        for k in (-1, 0, 1)
    ]
    raised = translation(0, 0, 0.46)
    return [Part(moved(root, raised), WHITE, paint.texture), Part(moved(merged(leaves), raised), LEAF, "plain")]


def cheese(paint: Paint) -> list[Part]:
    """A wedge with holes."""
    corners = np.array([[-1.05, 0.0], [0.75, -0.85], [0.75, 0.85]])
    sides = [_wall(corners[k], corners[(k + 1) % 3], 0.95) for k in range(3)]
    top = np.array([[[*corners[0], 0.95], [*corners[0], 0.95]], [[*corners[2], 0.95], [*corners[1], 0.95]]])
    holes = [
        moved(lathe([(0.17, 0.0), (0.0, 0.01)], 10), translation(x, y, 0.96))
        for x, y in ((0.45, 0.35), (0.35, -0.35), (-0.2, 0.02))
    ]
    return [
        Part(merged(sides), paint.main, "plain"),
        Part(_upwards(grid_mesh(top.astype(np.float64))), WHITE, paint.texture),
        Part(merged(holes), (0.35, 0.24, 0.06), "plain"),
    ]


def _upwards(mesh: Mesh) -> Mesh:
    return mesh._replace(normals=np.tile(np.array([[0, 0, 1]], np.float32), (len(mesh.points), 1)))


def _wall(start: np.ndarray, stop: np.ndarray, height: float) -> Mesh:
    wall = np.array([[[*start, 0], [*stop, 0]], [[*start, height], [*stop, height]]], np.float64)
    outwards = np.array([stop[1] - start[1], start[0] - stop[0], 0.0])
    normal = (outwards / np.linalg.norm(outwards)).astype(np.float32)
    return grid_mesh(wall)._replace(normals=np.tile(normal, (4, 1)))


def pineapple(paint: Paint) -> list[Part]:
    """A scaly barrel under a tuft of leaves."""
    barrel = lathe([(0, 0), (0.5, 0.02), (0.76, 0.45), (0.8, 0.9), (0.66, 1.45), (0.4, 1.7), (0, 1.75)], 16)
    leaves = []
    for turn, lean in [(60.0 * k, 28.0) for k in range(6)] + [(72.0 * k + 20, 8.0) for k in range(5)]:
        leaf = moved(ellipsoid((0.14, 0.05, 0.5), 6), translation(0, 0, 0.5))
        leaves.append(moved(leaf, translation(0, 0, 1.6) @ rotation("z", turn) @ rotation("y", lean)))
    return [Part(barrel, WHITE, paint.texture), Part(merged(leaves), LEAF, "plain")]


def sponge(paint: Paint) -> list[Part]:
    """A soft block with a scouring side."""
    soft = moved(box((1.6, 1.0, 0.55)), translation(0, 0, 0.27))
    scourer = moved(box((1.6, 1.0, 0.18)), translation(0, 0, 0.63))
    return [Part(soft, paint.main, "pores"), Part(scourer, paint.second, "pores")]


def spoon(paint: Paint) -> list[Part]:
    """A cooking spoon: an oval scoop on a long handle."""
    scoop = moved(ellipsoid((0.6, 0.45, 0.16), 12), translation(-1.05, 0, 0.18))
    hollow = moved(ellipsoid((0.45, 0.32, 0.05), 10), translation(-1.05, 0, 0.32))
    stick = moved(box((2.0, 0.24, 0.18)), translation(0.45, 0, 0.18))
    return [
        Part(merged([scoop]), paint.main, "plain"),
        Part(hollow, tuple(0.6 * c for c in paint.main), "plain"),  # type: ignore[arg-type]
        Part(stick, WHITE, paint.texture),
    ]


def knife(paint: Paint) -> list[Part]:
    """A broad blade with a straight handle, lying on its side."""
    outline = np.array([[-1.5, 0.28], [-1.2, -0.02], [-0.7, -0.2], [0.3, -0.24]])
    back = np.array([[-1.5, 0.3], [-1.2, 0.3], [-0.7, 0.3], [0.3, 0.3]])
    blade = np.stack([np.c_[outline, np.full(4, 0.16)], np.c_[back, np.full(4, 0.16)]], axis=1)
    grip = moved(box((1.3, 0.34, 0.26)), translation(0.95, 0.12, 0.15))
    return [Part(_upwards(grid_mesh(blade)), STEEL, "plain"), Part(grip, WHITE, paint.texture)]
