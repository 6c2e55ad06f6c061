"""The kinds of object on the worktop: what each looks like, and what it can take part in.

Unit: decimetre. Every kind stands on z = 0, centred on the z axis.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from henasy.scenes.mesh import Colour, Mesh, Part, box, ellipsoid, lathe, merged, moved, rotation, translation, tube

WOOD: Colour = (0.55, 0.36, 0.2)
STEEL: Colour = (0.62, 0.64, 0.68)
DARK: Colour = (0.2, 0.2, 0.22)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of object."""

    noun: str
    """The word in narrations."""
    words: tuple[str, ...]
    """Surface words of its taxonomy row."""
    build: Callable[[Colour], list[Part]]
    """The body in a colour."""
    build_lid: Callable[[Colour], list[Part]] | None = None
    """The lid at its closed place, of kinds that open."""
    radius: float
    """Reach from the centre on the worktop."""
    height: float
    """Where a hand takes it."""
    is_container: bool = False
    """Whether something in it can be stirred."""
    is_hard: bool = False
    """Whether it can be wiped."""


def _shade(colour: Colour, factor: float) -> Colour:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _arc(centre_y: float, centre_z: float, radius: float, start: float, stop: float, num: int) -> np.ndarray:
    angles = np.radians(np.linspace(start, stop, num))
    return np.stack([np.zeros(num), centre_y + radius * np.cos(angles), centre_z + radius * np.sin(angles)], 1)


def _handle(radius: float, height: float, size: float, thickness: float) -> Mesh:
    path = _arc(radius, height, size, -90, 90, 9)
    return moved(tube(path, np.full(9, thickness), 8), rotation("z", -90))


def _mug(colour: Colour) -> list[Part]:
    wall = lathe([(0, 0), (0.7, 0), (0.7, 0), (0.78, 1.5), (0.78, 1.5), (0.68, 1.5), (0.68, 1.5), (0.62, 0.9)])
    tea = lathe([(0.66, 1.15), (0, 1.15)])
    return [
        Part(merged([wall, _handle(0.72, 0.78, 0.46, 0.13)]), colour, "glaze"),
        Part(tea, (0.25, 0.13, 0.06), "plain"),
    ]


def _bottle(colour: Colour) -> list[Part]:
    body = lathe([(0, 0), (0.52, 0), (0.52, 0), (0.55, 1.3), (0.5, 1.6), (0.22, 2.0), (0.2, 2.5)])
    label = lathe([(0.565, 0.45), (0.565, 1.1)])
    return [Part(body, colour, "glaze"), Part(label, (0.93, 0.92, 0.86), "print")]


def _bottle_cap(colour: Colour) -> list[Part]:
    del colour
    cap = lathe([(0.3, 2.4), (0.3, 2.4), (0.3, 2.75), (0.3, 2.75), (0, 2.75)], 12)
    return [Part(cap, (0.9, 0.9, 0.88), "plain")]


def _bowl(colour: Colour) -> list[Part]:
    outside = [(0, 0), (0.5, 0), (0.55, 0.1), (1.0, 0.5), (1.2, 1.0), (1.2, 1.0)]
    inside = [(1.1, 1.0), (1.1, 1.0), (0.95, 0.6)]
    soup = lathe([(1.02, 0.68), (0, 0.68)])
    return [Part(lathe(outside + inside, 22), colour, "glaze"), Part(soup, (0.85, 0.62, 0.25), "speckle")]


def _plate(colour: Colour) -> list[Part]:
    disc = lathe([(0, 0), (0.8, 0), (1.4, 0.22), (1.4, 0.22), (1.35, 0.27), (0.95, 0.1), (0.95, 0.1)], 26)
    centre = lathe([(0.95, 0.1), (0, 0.1)], 26)
    return [Part(disc, colour, "glaze"), Part(centre, _shade(colour, 0.75), "glaze")]


def _pan(colour: Colour) -> list[Part]:
    wall = lathe([(0, 0), (1.0, 0), (1.15, 0.45), (1.15, 0.45), (1.07, 0.45), (1.07, 0.45), (0.95, 0.08)], 24)
    floor = lathe([(0.97, 0.1), (0, 0.1)], 24)
    bar = moved(box((1.7, 0.3, 0.16)), translation(1.9, 0, 0.42))
    return [Part(wall, colour, "glaze"), Part(floor, DARK, "speckle"), Part(bar, DARK, "plain")]


def _kettle(colour: Colour) -> list[Part]:
    body = lathe([(0, 0), (0.95, 0), (1.0, 0.15), (0.95, 0.7), (0.62, 1.25), (0.5, 1.3), (0.5, 1.3), (0.1, 1.2)])
    spout_path = np.array([[-0.8, 0, 0.5], [-1.15, 0, 0.85], [-1.4, 0, 1.3]])
    spout = tube(spout_path, np.array([0.24, 0.17, 0.12]), 8)
    arch = moved(_arc_tube(0.72, 0.1), translation(0, 0, 1.1))
    return [Part(merged([body, spout]), colour, "glaze"), Part(arch, DARK, "plain")]


def _arc_tube(radius: float, thickness: float) -> Mesh:
    return moved(tube(_arc(0, 0, radius, 10, 170, 11), np.full(11, thickness), 8), rotation("z", 90))


def _kettle_lid(colour: Colour) -> list[Part]:
    lid = lathe([(0.52, 1.3), (0.52, 1.3), (0.3, 1.42), (0.12, 1.42), (0.14, 1.6), (0, 1.64)], 14)
    return [Part(lid, _shade(colour, 0.7), "glaze")]


def _carton(colour: Colour) -> list[Part]:
    walls = moved(box((1.9, 1.4, 1.0)), translation(0, 0, 0.5))
    hollow = moved(box((1.7, 1.2, 0.02)), translation(0, 0, 1.0))
    return [Part(walls, colour, "print"), Part(hollow, (0.08, 0.06, 0.05), "plain")]


def _carton_lid(colour: Colour) -> list[Part]:
    return [Part(moved(box((2.0, 1.5, 0.26)), translation(0, 0, 1.13)), _shade(colour, 0.72), "plain")]


def _jar(colour: Colour) -> list[Part]:
    body = lathe([(0, 0), (0.72, 0), (0.78, 0.1), (0.78, 1.15), (0.6, 1.35), (0.6, 1.5), (0.6, 1.5), (0.5, 1.4)])
    jam = lathe([(0.56, 1.36), (0, 1.36)])
    label = moved(lathe([(0.795, 0.3), (0.795, 0.85)]), translation(0, 0, 0))
    return [
        Part(body, colour, "glaze"),
        Part(label, (0.95, 0.93, 0.85), "print"),
        Part(jam, (0.35, 0.05, 0.08), "speckle"),
    ]


def _jar_lid(colour: Colour) -> list[Part]:
    del colour
    lid = lathe([(0.7, 1.4), (0.7, 1.4), (0.7, 1.7), (0.7, 1.7), (0, 1.72)])
    return [Part(lid, STEEL, "brushed")]


def _apple(colour: Colour) -> list[Part]:
    fruit = lathe([(0, 0.12), (0.3, 0.0), (0.68, 0.35), (0.82, 0.8), (0.68, 1.2), (0.35, 1.36), (0, 1.15)], 18)
    stem = tube(np.array([[0, 0, 1.1], [0.04, 0, 1.35], [0.14, 0, 1.62]]), np.full(3, 0.06), 6)
    return [Part(fruit, colour, "skin"), Part(stem, WOOD, "plain")]


def _banana(colour: Colour) -> list[Part]:
    angles = np.radians(np.linspace(200, 340, 13))
    path = np.stack([1.35 * np.cos(angles), 1.25 * np.sin(angles) + 0.95, np.full(13, 0.34)], 1)
    radii = 0.36 * np.sin(np.linspace(0.12, np.pi - 0.12, 13)) ** 0.5
    tips = [moved(ellipsoid((0.15, 0.15, 0.15), 8), translation(*path[i])) for i in (0, -1)]
    return [Part(tube(path, radii, 8), colour, "skin"), Part(merged(tips), DARK, "plain")]


def _bread(colour: Colour) -> list[Part]:
    loaf = moved(ellipsoid((1.35, 0.72, 0.75), 16), translation(0, 0, 0.5))
    cuts = [
        moved(box((0.16, 0.5, 0.1)), translation(x, 0, 1.22 - 0.12 * abs(x)) @ rotation("z", 25))
        for x in (-0.7, 0.0, 0.7)
    ]
    return [Part(loaf, colour, "crust"), Part(merged(cuts), (0.95, 0.87, 0.68), "plain")]


def _sponge(colour: Colour) -> list[Part]:
    soft = moved(box((1.5, 0.95, 0.5)), translation(0, 0, 0.25))
    scourer = moved(box((1.5, 0.95, 0.16)), translation(0, 0, 0.58))
    return [Part(soft, colour, "speckle"), Part(scourer, _shade(colour, 0.4), "speckle")]


def _carrot(colour: Colour) -> list[Part]:
    root = moved(lathe([(0, -1.5), (0.16, -1.2), (0.42, 0.6), (0.44, 0.8), (0, 0.95)], 12), rotation("y", 90))
    leaves = [
        moved(ellipsoid((0.5, 0.13, 0.1), 8), translation(1.25, 0.2 * k, 0.12) @ rotation("z", 24 * k))
        for k in (-1, 0, 1)
    ]
    raised = translation(0, 0, 0.42)
    return [
        Part(moved(root, raised), colour, "skin"),
        Part(moved(merged(leaves), raised), (0.13, 0.5, 0.14), "plain"),
    ]


def _spoon(colour: Colour) -> list[Part]:
    scoop = moved(ellipsoid((0.55, 0.4, 0.13), 12), translation(-1.0, 0, 0.15))
    stick = moved(box((1.9, 0.2, 0.14)), translation(0.4, 0, 0.15))
    return [Part(merged([scoop, stick]), colour, "brushed")]


KINDS: tuple[Kind, ...] = (
    Kind(noun="apple", words=("apple", "fruit"), build=_apple, radius=0.8, height=0.9),
    Kind(noun="banana", words=("banana", "plantain"), build=_banana, radius=1.2, height=0.45),
    Kind(
        noun="bottle",
        words=("bottle", "flask"),
        build=_bottle,
        build_lid=_bottle_cap,
        radius=0.6,
        height=1.2,
        is_hard=True,
    ),
    Kind(noun="bowl", words=("bowl", "dish"), build=_bowl, radius=1.2, height=0.7, is_container=True),
    Kind(
        noun="box", words=("box", "carton"), build=_carton, build_lid=_carton_lid, radius=1.1, height=0.8, is_hard=True
    ),
    Kind(noun="bread", words=("bread", "loaf"), build=_bread, radius=1.2, height=0.8),
    Kind(noun="carrot", words=("carrot",), build=_carrot, radius=1.2, height=0.45),
    Kind(noun="jar", words=("jar", "pot"), build=_jar, build_lid=_jar_lid, radius=0.8, height=0.9, is_hard=True),
    Kind(
        noun="kettle",
        words=("kettle", "teapot"),
        build=_kettle,
        build_lid=_kettle_lid,
        radius=1.1,
        height=0.9,
        is_hard=True,
    ),
    Kind(noun="mug", words=("mug", "cup"), build=_mug, radius=0.9, height=0.9, is_container=True),
    Kind(noun="pan", words=("pan", "skillet"), build=_pan, radius=1.3, height=0.4, is_container=True, is_hard=True),
    Kind(noun="plate", words=("plate", "saucer"), build=_plate, radius=1.4, height=0.3, is_hard=True),
    Kind(noun="sponge", words=("sponge", "scrubber"), build=_sponge, radius=0.9, height=0.5),
    Kind(noun="spoon", words=("spoon", "ladle"), build=_spoon, radius=1.2, height=0.2),
)
"""Every kind, in the order of the noun taxonomy."""

KIND_OF: dict[str, Kind] = {kind.noun: kind for kind in KINDS}
