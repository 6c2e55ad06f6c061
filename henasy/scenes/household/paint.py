"""What covers surfaces: wood, stone, tiles and cloth of a kitchen, and the two-tone patterns of objects.

Textures are (S, S, 3) uint8 and repeat without a seam. They carry their colours: a part drawn with one is white.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.scenes.mesh import Colour

Texture = NDArray[np.uint8]
Field = NDArray[np.float64]

WHITE: Colour = (1.0, 1.0, 1.0)
_ROOM_PX = 128
_THING_PX = 64


class Paint(NamedTuple):
    """How one object is coloured."""

    main: Colour
    """What its colour is called by"""
    second: Colour
    texture: str
    """Name of the texture that holds both"""


def _grid(size_px: int) -> tuple[Field, Field]:
    across, down = np.meshgrid(*[np.linspace(0, 1, size_px, endpoint=False)] * 2)
    return across, down


def noise(rng: np.random.Generator, size_px: int, num_waves: int, highest: int) -> Field:
    """(S, S) smooth noise that repeats without a seam, 0..1."""
    across, down = _grid(size_px)
    total = np.zeros((size_px, size_px))
    for _ in range(num_waves):
        wave_x, wave_y = rng.integers(-highest, highest + 1, size=2)
        phase = rng.uniform(0, 2 * np.pi)
        total += np.sin(2 * np.pi * (wave_x * across + wave_y * down) + phase) / max(np.hypot(wave_x, wave_y), 1)
    scaled: Field = (total - total.min()) / max(float(np.ptp(total)), 1e-9)
    return scaled


def _mixed(first: Colour, second: Colour, share: Field, brightness: Field | float = 1.0) -> Texture:
    """`first` where the share is 0, `second` where it is 1."""
    mixed = np.array(first) + share[..., None] * (np.array(second) - np.array(first))
    bright = np.broadcast_to(brightness, share.shape)[..., None]
    mixture: Texture = np.clip(255 * mixed * bright, 0, 255).astype(np.uint8)
    return mixture


def _dark(colour: Colour, factor: float) -> Colour:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def wood(rng: np.random.Generator, colour: Colour, num_planks: int = 4) -> Texture:
    """Planks along u, each with its own grain and shade."""
    _, down = _grid(_ROOM_PX)
    plank = np.floor(down * num_planks).astype(int)
    soft = noise(rng, _ROOM_PX, 8, 3)
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * (22 * down + 1.6 * soft + rng.random(num_planks)[plank]))
    shade = rng.uniform(0.82, 1.08, num_planks)[plank]
    joint = np.abs(down * num_planks - plank) < 0.05
    return _mixed(colour, _dark(colour, 0.68), 0.75 * grain**2, np.where(joint, 0.55, shade))


def marble(rng: np.random.Generator, colour: Colour, vein: Colour) -> Texture:
    """Clouds with thin veins."""
    first, second = noise(rng, _ROOM_PX, 14, 4), noise(rng, _ROOM_PX, 14, 5)
    veins = np.exp(-(((first - 0.5) / 0.035) ** 2)) + 0.6 * np.exp(-(((second - 0.45) / 0.02) ** 2))
    return _mixed(colour, vein, np.clip(veins, 0, 1) * 0.85, 0.93 + 0.07 * first)


def speckled(rng: np.random.Generator, colour: Colour, fleck: Colour, share: float = 0.2) -> Texture:
    """Granite or terrazzo."""
    blocks = np.repeat(np.repeat(rng.random((_ROOM_PX // 2, _ROOM_PX // 2)), 2, 0), 2, 1)
    return _mixed(colour, fleck, (blocks < share).astype(np.float64), 0.9 + 0.1 * rng.random(blocks.shape))


def tiles(rng: np.random.Generator, colour: Colour, second: Colour, layout: str) -> Texture:
    """Four by four tiles with joints: "square", "chess" or, laid like bricks, "brick"."""
    across, down = _grid(_ROOM_PX)
    rows, columns = (8, 4) if layout == "brick" else (4, 4)
    row = np.floor(down * rows).astype(int)
    shifted = (across + np.where(row % 2 == 1, 0.5 / columns, 0.0) * (layout == "brick")) % 1.0
    column = np.floor(shifted * columns).astype(int)
    joint = (shifted * columns % 1 < 0.05 * columns / 4) | (down * rows % 1 < 0.05 * rows / 4)
    share = ((row + column) % 2 if layout == "chess" else rng.random((rows, columns))[row, column] > 0.82).astype(float)
    shade = rng.uniform(0.9, 1.03, (rows, columns))[row, column]
    return _mixed(colour, second, share, np.where(joint, 0.62, shade))


def checked(colour: Colour) -> Texture:
    """Gingham: two crossing stripes on white."""
    across, down = _grid(_ROOM_PX)
    share = 0.5 * (np.floor(across * 8) % 2) + 0.5 * (np.floor(down * 8) % 2)
    weave = 0.93 + 0.07 * np.sin(2 * np.pi * 32 * across) * np.sin(2 * np.pi * 32 * down)
    return _mixed((0.95, 0.95, 0.92), colour, share, weave)


def striped_cloth(colour: Colour) -> Texture:
    """White cloth with pairs of stripes."""
    across, _ = _grid(_ROOM_PX)
    place = across * 4 % 1
    share = ((place < 0.2) | ((place > 0.3) & (place < 0.36))).astype(float)
    return _mixed((0.93, 0.92, 0.88), colour, share)


def outdoors(rng: np.random.Generator) -> Texture:
    """What a window shows: sky, clouds, hills."""
    across, down = _grid(_ROOM_PX)
    height = 1 - down
    sky = _mixed((0.93, 0.96, 1.0), (0.5, 0.72, 0.97), np.clip(height * 1.2 - 0.3, 0, 1))
    cloud = np.clip(noise(rng, _ROOM_PX, 10, 4) * 2.4 - 1.4, 0, 1)[..., None]
    picture = sky * (1 - cloud) + 255 * cloud
    for level, green in ((0.5, (0.45, 0.62, 0.45)), (0.34, (0.3, 0.5, 0.25))):
        ridge = level + 0.07 * np.sin(2 * np.pi * (across * int(rng.integers(1, 4)) + rng.random()))
        picture = np.where(
            (height < ridge)[..., None], 255 * np.array(green) * (0.9 + 0.1 * height[..., None]), picture
        )
    return np.clip(picture, 0, 255).astype(np.uint8)[::-1]


def brushed(rng: np.random.Generator, colour: Colour) -> Texture:
    """Steel with fine lines."""
    lines = np.broadcast_to(rng.random((_ROOM_PX, 1)), (_ROOM_PX, _ROOM_PX))
    return _mixed(_dark(colour, 0.82), colour, lines)


def skin(rng: np.random.Generator) -> Texture:
    """Mottled light grey, to be multiplied with a colour."""
    return _mixed(_dark(WHITE, 0.84), WHITE, noise(rng, _THING_PX, 12, 6))


def cloth(rng: np.random.Generator) -> Texture:
    """Ribbed light grey, to be multiplied with a colour."""
    across, down = _grid(_THING_PX)
    ribs = 0.5 + 0.5 * np.sin(2 * np.pi * 8 * down)
    return _mixed(_dark(WHITE, 0.72), WHITE, 0.8 * ribs + 0.2 * rng.random(across.shape))


def _plain(rng: np.random.Generator) -> Field:
    return 0.12 * noise(rng, _THING_PX, 8, 3)


def _rings(rng: np.random.Generator) -> Field:
    _, down = _grid(_THING_PX)
    rings: Field = (np.floor(down * int(rng.integers(5, 9)) * 2) % 3 == 0).astype(float)
    return rings


def _stripes(rng: np.random.Generator) -> Field:
    across, _ = _grid(_THING_PX)
    return (across * int(rng.integers(4, 8)) % 1 < 0.38).astype(float)


def _dots(rng: np.random.Generator) -> Field:
    across, down = _grid(_THING_PX)
    num = int(rng.integers(4, 7))
    row = np.floor(down * num)
    away = np.hypot((across * num + 0.5 * (row % 2)) % 1 - 0.5, down * num % 1 - 0.5)
    return (away < 0.33).astype(float)


def _checks(rng: np.random.Generator) -> Field:
    across, down = _grid(_THING_PX)
    num = 2 * int(rng.integers(2, 4))
    odd = (np.floor(across * num) + np.floor(down * num)) % 2
    return odd * (rng.random() * 0.3 + 0.6)


def _dipped(rng: np.random.Generator) -> Field:
    _, down = _grid(_THING_PX)
    return (down < rng.uniform(0.25, 0.42)).astype(float)


def _patches(rng: np.random.Generator) -> Field:
    return (noise(rng, _THING_PX, 10, 4) > 0.62).astype(float)


PATTERNS: tuple[Callable[[np.random.Generator], Field], ...] = (
    _plain,
    _rings,
    _stripes,
    _dots,
    _checks,
    _dipped,
    _patches,
)
"""Where an object's second colour goes, as a share of it at every place."""


def draw_pattern(rng: np.random.Generator, main: Colour, second: Colour) -> Texture:
    """An object's two colours in one of the patterns; the main one covers the larger part."""
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))](rng)
    return _mixed(main, second, pattern, 0.9 + 0.1 * noise(rng, _THING_PX, 8, 4))
