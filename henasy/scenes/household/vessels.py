"""Shapes of what holds something: bottles, bowls, boxes, pots. Unit: decimetre; each stands on z = 0 about z."""

import numpy as np

from henasy.scenes.household.paint import WHITE, Paint
from henasy.scenes.mesh import Colour, Mesh, Part, box, grid_mesh, lathe, merged, moved, rotation, translation, tube

DARK: Colour = (0.16, 0.16, 0.18)
STEEL: Colour = (0.72, 0.74, 0.78)
CREAM: Colour = (0.94, 0.92, 0.85)
WOOD: Colour = (0.6, 0.4, 0.22)
_WATER: Colour = (0.55, 0.7, 0.8)


def _ring_handle(radius: float, height: float, size: float, thickness: float) -> Mesh:
    angles = np.radians(np.linspace(-95, 95, 10))
    path = np.stack([radius + size * np.cos(angles), np.zeros(10), height + 1.15 * size * np.sin(angles)], 1)
    return tube(path, np.full(10, thickness), 7)


def _arch(half_width: float, start_z: float, rise: float, thickness: float, along: str = "x") -> Mesh:
    angles = np.linspace(0, np.pi, 13)
    path = np.stack([half_width * np.cos(angles), np.zeros(13), start_z + rise * np.sin(angles)], 1)
    arch = tube(path, np.full(13, thickness), 7)
    return arch if along == "x" else moved(arch, rotation("z", 90))


def _pale(colour: Colour) -> Colour:
    return (0.5 + 0.5 * colour[0], 0.5 + 0.5 * colour[1], 0.5 + 0.5 * colour[2])


def _dark(colour: Colour, factor: float) -> Colour:
    return (factor * colour[0], factor * colour[1], factor * colour[2])


def _coloured(mesh: Mesh, paint: Paint) -> Part:
    return Part(mesh, WHITE, paint.texture)


def mug(paint: Paint) -> list[Part]:
    """Straight walls, one ring handle, tea inside."""
    wall = lathe([(0, 0), (0.76, 0), (0.76, 0), (0.8, 1.45), (0.8, 1.45), (0.69, 1.45), (0.69, 1.45), (0.64, 0.9)])
    tea = lathe([(0.68, 1.2), (0, 1.2)])
    return [
        _coloured(wall, paint),
        Part(_ring_handle(0.74, 0.75, 0.45, 0.13), paint.main, "plain"),
        Part(tea, (0.3, 0.16, 0.07), "plain"),
    ]


def glass(paint: Paint) -> list[Part]:
    """A stemmed goblet: foot, stem, cup."""
    foot = [(0.55, 0), (0.55, 0), (0.5, 0.08), (0.12, 0.16), (0.1, 0.75), (0.2, 0.85)]
    stem = lathe(foot, 16)
    cup = lathe([(0.15, 0.8), (0.55, 1.0), (0.74, 1.4), (0.72, 2.0), (0.72, 2.0), (0.65, 2.0), (0.66, 1.5)], 18)
    wine = lathe([(0.68, 1.62), (0, 1.62)], 16)
    return [Part(stem, (0.85, 0.9, 0.93), "plain"), _coloured(cup, paint), Part(wine, paint.second, "plain")]


def bottle(paint: Paint) -> list[Part]:
    """A long neck over sloping shoulders, a paper label."""
    body = lathe([(0, 0), (0.56, 0), (0.56, 0), (0.58, 1.4), (0.52, 1.7), (0.24, 2.1), (0.21, 2.55)])
    label = lathe([(0.595, 0.45), (0.595, 1.15)])
    return [_coloured(body, paint), Part(label, WHITE, "label")]


def bottle_cap(paint: Paint) -> list[Part]:
    """A screw cap."""
    cap = lathe([(0.31, 2.45), (0.31, 2.45), (0.31, 2.85), (0.31, 2.85), (0, 2.85)], 12)
    return [Part(cap, paint.second, "plain")]


def bowl(paint: Paint) -> list[Part]:
    """A wide round bowl with a foot."""
    outside = [(0, 0), (0.5, 0), (0.55, 0.1), (1.0, 0.45), (1.25, 0.98), (1.25, 0.98)]
    inside = [(1.15, 0.98), (1.15, 0.98), (1.0, 0.6), (0.6, 0.3), (0, 0.25)]
    return [_coloured(lathe(outside, 22), paint), Part(lathe(inside, 22), _pale(paint.main), "plain")]


def plate(paint: Paint) -> list[Part]:
    """A flat disc with a raised rim."""
    rim = lathe([(0.8, 0.0), (1.5, 0.26), (1.5, 0.26), (1.46, 0.31), (1.0, 0.12), (1.0, 0.12)], 28)
    return [_coloured(rim, paint), Part(lathe([(1.0, 0.12), (0, 0.12)], 24), CREAM, "plain")]


def pan(paint: Paint) -> list[Part]:
    """A shallow frying pan with one long handle."""
    wall = lathe([(0, 0), (1.05, 0), (1.25, 0.5), (1.25, 0.5)], 24)
    floor = lathe([(1.25, 0.5), (1.17, 0.5), (1.17, 0.5), (1.0, 0.1), (1.0, 0.1), (0, 0.1)], 24)
    bar = moved(box((1.6, 0.3, 0.18)), translation(1.95, 0, 0.48))
    return [_coloured(wall, paint), Part(floor, _dark(paint.main, 0.6), "plain"), Part(bar, (0.3, 0.2, 0.14), "plain")]


def pot(paint: Paint) -> list[Part]:
    """A tall cooking pot with two loop handles."""
    wall = lathe([(0, 0), (1.05, 0), (1.05, 0), (1.1, 1.25), (1.1, 1.25)], 22)
    inside = lathe([(1.1, 1.25), (1.02, 1.25), (1.02, 1.25), (1.0, 0.35), (1.0, 0.35), (0, 0.35)], 22)
    loop = _ring_handle(1.0, 0.95, 0.34, 0.12)
    loops = merged([loop, moved(loop, rotation("z", 180))])
    return [_coloured(wall, paint), Part(inside, (0.36, 0.36, 0.38), "plain"), Part(loops, DARK, "plain")]


def pot_lid(paint: Paint) -> list[Part]:
    """A domed lid with a knob."""
    dome = lathe([(1.14, 1.26), (1.14, 1.26), (0.9, 1.45), (0.4, 1.55), (0, 1.57)], 22)
    knob = lathe([(0.1, 1.55), (0.1, 1.65), (0.24, 1.78), (0.2, 1.92), (0, 1.96)], 12)
    return [Part(dome, paint.main, "plain"), Part(knob, DARK, "plain")]


def kettle(paint: Paint) -> list[Part]:
    """A squat body, a spout and a handle that arches over the lid."""
    body = lathe([(0, 0), (1.0, 0), (1.06, 0.15), (1.0, 0.7), (0.66, 1.25), (0.5, 1.3), (0.5, 1.3), (0.1, 1.2)])
    spout = tube(np.array([[-0.8, 0, 0.5], [-1.2, 0, 0.85], [-1.5, 0, 1.35]]), np.array([0.26, 0.18, 0.12]), 8)
    return [
        _coloured(body, paint),
        Part(spout, paint.main, "plain"),
        Part(_arch(0.72, 1.15, 0.85, 0.11), DARK, "plain"),
    ]


def kettle_lid(paint: Paint) -> list[Part]:
    """A small lid with a knob."""
    lid = lathe([(0.53, 1.3), (0.53, 1.3), (0.3, 1.42), (0.12, 1.42), (0.15, 1.6), (0, 1.64)], 14)
    return [Part(lid, paint.second, "plain")]


def jug(paint: Paint) -> list[Part]:
    """A pitcher with a lip, a narrow waist and a long handle."""
    profile = [(0, 0), (0.72, 0), (0.85, 0.4), (0.85, 0.8), (0.58, 1.55), (0.72, 2.1), (0.72, 2.1)]
    inside = lathe([(0.72, 2.1), (0.64, 2.1), (0.64, 2.1), (0.52, 1.6), (0, 1.5)], 18)
    lip = tube(np.array([[-0.5, 0, 1.85], [-0.8, 0, 2.1], [-0.98, 0, 2.2]]), np.array([0.3, 0.24, 0.1]), 8)
    return [
        _coloured(lathe(profile, 20), paint),
        Part(merged([lip, _ring_handle(0.66, 1.2, 0.6, 0.13)]), paint.main, "plain"),
        Part(inside, _WATER, "plain"),
    ]


def jar(paint: Paint) -> list[Part]:
    """A stout jar with a paper label and jam inside."""
    body = lathe([(0, 0), (0.78, 0), (0.84, 0.1), (0.84, 1.15), (0.64, 1.35), (0.64, 1.5), (0.64, 1.5), (0.55, 1.4)])
    label = lathe([(0.855, 0.3), (0.855, 0.9)])
    jam = lathe([(0.6, 1.38), (0, 1.38)])
    return [_coloured(body, paint), Part(label, WHITE, "label"), Part(jam, (0.35, 0.05, 0.08), "plain")]


def jar_lid(paint: Paint) -> list[Part]:
    """A flat screw lid of checked metal."""
    del paint
    lid = lathe([(0.76, 1.4), (0.76, 1.4), (0.76, 1.74), (0.76, 1.74), (0, 1.76)], 18)
    return [Part(lid, WHITE, "checked lid")]


def carton(paint: Paint) -> list[Part]:
    """A milk carton: square walls and a gable with a crimped edge."""
    walls = moved(box((1.25, 1.25, 1.7)), translation(0, 0, 0.85))
    gable = _prism(0.625, 1.7, 2.3, 0.06)
    crimp = moved(box((1.25, 0.1, 0.3)), translation(0, 0, 2.42))
    return [
        _coloured(walls, paint),
        Part(gable, paint.main, "plain"),
        Part(crimp, CREAM, "plain"),
        Part(_spout(0.16, 0.0), DARK, "plain"),
    ]


def carton_cap(paint: Paint) -> list[Part]:
    """The screw cap on the gable."""
    return [Part(_spout(0.27, 0.16), paint.second, "plain")]


def _spout(radius: float, height: float) -> Mesh:
    cap = lathe([(radius, -0.1), (radius, 0.12 + height), (radius, 0.12 + height), (0, 0.12 + height)], 10)
    return moved(cap, translation(0, -0.36, 2.0) @ rotation("x", 42))


def _prism(half: float, bottom: float, top: float, ridge: float) -> Mesh:
    sides = []
    for turn in (0.0, 180.0):
        slope = np.array([[[-half, -half, bottom], [half, -half, bottom]], [[-half, -ridge, top], [half, -ridge, top]]])
        end = np.array([[[half, -half, bottom], [half, half, bottom]], [[half, -ridge, top], [half, ridge, top]]])
        sides += [moved(_flat(slope), rotation("z", turn)), moved(_flat(end), rotation("z", turn))]
    return merged(sides)


def _flat(corners: np.ndarray) -> Mesh:
    """A quad (2, 2, 3) with one normal that points away from the z axis and up."""
    return grid_mesh(corners.astype(np.float64))


def crate(paint: Paint) -> list[Part]:
    """A wide cardboard box, open at the top."""
    walls = moved(box((2.1, 1.5, 1.1)), translation(0, 0, 0.55))
    hollow = moved(box((1.9, 1.3, 0.02)), translation(0, 0, 1.1))
    return [_coloured(walls, paint), Part(hollow, (0.1, 0.07, 0.05), "plain")]


def crate_lid(paint: Paint) -> list[Part]:
    """A lid that reaches over the walls."""
    return [Part(moved(box((2.2, 1.6, 0.28)), translation(0, 0, 1.24)), paint.second, "plain")]


def basket(paint: Paint) -> list[Part]:
    """A woven basket with a tall arched handle."""
    wall = lathe([(0, 0), (0.95, 0), (0.95, 0), (1.25, 0.8), (1.25, 0.8)], 20)
    inside = lathe([(1.25, 0.8), (1.16, 0.8), (1.16, 0.8), (0.92, 0.2), (0, 0.2)], 20)
    handle = _arch(1.2, 0.75, 1.35, 0.1)
    return [
        Part(wall, paint.main, "woven"),
        Part(inside, _dark(paint.main, 0.7), "woven"),
        Part(handle, paint.second, "woven"),
    ]


def mill(paint: Paint) -> list[Part]:
    """A turned pepper mill with a waist and a ball on top."""
    body = [(0, 0), (0.55, 0), (0.55, 0.2), (0.34, 0.7), (0.3, 1.0), (0.5, 1.5), (0.5, 1.6), (0.5, 1.6)]
    head = [(0.5, 1.62), (0.52, 1.85), (0.3, 2.1), (0.14, 2.15)]
    knob = [(0.14, 2.12), (0.22, 2.25), (0.22, 2.35), (0, 2.48)]
    return [
        _coloured(lathe(body, 16), paint),
        Part(lathe(head, 16), paint.second, "plain"),
        Part(lathe(knob, 10), STEEL, "plain"),
    ]
