"""The room: textures, worktop, walls, light and the wearer's moving head, all drawn from a random generator."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.scenes.mesh import Colour, Mesh, Part, grid_mesh, lathe
from henasy.scenes.renderer import Light

_TEXTURE_PX = 64

WORKTOPS: tuple[tuple[Colour, str], ...] = (
    ((0.72, 0.53, 0.34), "wood"),
    ((0.56, 0.39, 0.27), "wood"),
    ((0.82, 0.8, 0.76), "stone"),
    ((0.5, 0.52, 0.55), "stone"),
    ((0.62, 0.68, 0.62), "stone"),
    ((0.86, 0.78, 0.64), "wood"),
)
WALLS: tuple[Colour, ...] = ((0.86, 0.88, 0.86), (0.7, 0.78, 0.82), (0.85, 0.77, 0.66), (0.6, 0.66, 0.6))


class Sway(NamedTuple):
    """A head that never rests: sums of slow sines."""

    amplitudes: NDArray[np.float64]
    """(6, 3): eye x, y, z in decimetres, then aim x, y, z"""
    frequencies: NDArray[np.float64]
    """(6, 3) Hz"""
    phases: NDArray[np.float64]
    """(6, 3) radians"""
    eye: NDArray[np.float64]
    aim: NDArray[np.float64]

    def eye_matrix(self, time_s: float, gaze: tuple[float, float]) -> NDArray[np.float64]:
        """(4, 4) camera to world; the camera looks along y, z is up.

        Args:
            gaze: x, y on the worktop that the wearer attends to.
        """
        waves = self.amplitudes * np.sin(2 * np.pi * self.frequencies * time_s + self.phases)
        moved = waves.sum(axis=1)
        eye, aim = self.eye + moved[:3], self.aim + moved[3:]
        eye[0] += 0.55 * gaze[0]
        aim[:2] += 0.9 * gaze[0], 0.55 * (gaze[1] + 0.35 - aim[1])
        forward = (aim - eye) / np.linalg.norm(aim - eye)
        right = np.cross(forward, (0.04 * np.sin(0.4 * time_s), 0.0, 1.0))
        right /= np.linalg.norm(right)
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([right, forward, np.cross(right, forward)], axis=1)
        matrix[:3, 3] = eye
        return matrix


class Room(NamedTuple):
    """Everything that is neither an object nor a hand."""

    parts: list[Part]
    light: Light
    background: Colour
    sway: Sway


def draw_room(rng: np.random.Generator) -> Room:
    """A room; equal generators give equal rooms."""
    colour, texture = WORKTOPS[int(rng.integers(len(WORKTOPS)))]
    wall = WALLS[int(rng.integers(len(WALLS)))]
    top = _sheet((-9, -4, 0), (18, 0, 0), (0, 10.5, 0), repeats=(6, 4))
    back = _sheet((-12, 6.5, 0), (24, 0, 0), (0, 0, 9), repeats=(10, 4))
    parts = [Part(top, colour, texture), Part(back, wall, "tiles")]
    return Room(parts, _draw_light(rng), (wall[0] * 0.5, wall[1] * 0.5, wall[2] * 0.5), _draw_sway(rng))


def _draw_light(rng: np.random.Generator) -> Light:
    warmth, level = rng.uniform(-0.05, 0.06), rng.uniform(0.4, 0.52)
    sun = rng.uniform(0.55, 0.75)
    direction = (float(rng.uniform(-0.7, 0.7)), float(rng.uniform(0.1, 0.8)), -1.0)
    return Light((level, level, level - warmth), (sun + warmth, sun, sun - warmth), direction)


def _draw_sway(rng: np.random.Generator) -> Sway:
    scale = np.array([0.1, 0.07, 0.06, 0.12, 0.08, 0.06])[:, None] * np.array([1.0, 0.5, 0.25])
    return Sway(
        amplitudes=scale * rng.uniform(0.5, 1.3, size=(6, 3)),
        frequencies=np.array([0.13, 0.37, 0.9]) * rng.uniform(0.7, 1.3, size=(6, 3)),
        phases=rng.uniform(0, 2 * np.pi, size=(6, 3)),
        eye=np.array([0.0, -4.4, 5.6]) + rng.uniform(-0.25, 0.25, size=3),
        aim=np.array([0.0, 0.75, 0.3]) + rng.uniform(-0.2, 0.2, size=3),
    )


def shadow_mesh() -> Mesh:
    """A flat disc of radius 1 that stands for a soft shadow."""
    return lathe([(1.0, 0.0), (0.0, 0.0)], 16)


def _sheet(
    origin: tuple[float, float, float],
    across: tuple[float, float, float],
    up: tuple[float, float, float],
    repeats: tuple[float, float],
) -> Mesh:
    # Many small squares, because the renderer lights vertices and clips whole triangles faster than parts of them.
    u, v = np.linspace(0, 1, 9), np.linspace(0, 1, 7)
    points = np.array(origin) + v[:, None, None] * np.array(up) + u[None, :, None] * np.array(across)
    mesh = grid_mesh(points.astype(np.float64))
    return mesh._replace(uvs=(mesh.uvs * np.array(repeats)).astype(np.float32))


def draw_textures(rng: np.random.Generator) -> dict[str, NDArray[np.uint8]]:
    """Bright square textures (S, S, 3) by name, to be multiplied with a colour."""
    grid = np.linspace(0, 1, _TEXTURE_PX, endpoint=False)
    across, down = np.meshgrid(grid, grid)
    soft, fine = _noise(rng, 6), rng.random((_TEXTURE_PX, _TEXTURE_PX))
    joints = np.minimum(np.minimum(across, 1 - across), np.minimum(down, 1 - down)) < 0.04
    lines = (np.floor(down * 12) % 2 == 0) & (rng.random(12)[np.floor(down * 12).astype(int)] > 0.3)
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * (8 * down + 0.9 * soft))
    brightness = {
        "wood": 0.78 + 0.16 * grain + 0.06 * fine,
        "stone": 0.82 + 0.1 * soft + 0.08 * fine,
        "tiles": np.where(joints, 0.72, 0.95 + 0.05 * soft),
        "glaze": 0.92 + 0.08 * soft,
        "skin": 0.86 + 0.14 * soft,
        "cloth": 0.8 + 0.1 * np.sin(2 * np.pi * 16 * across) * np.sin(2 * np.pi * 16 * down) + 0.1 * fine,
        "crust": 0.72 + 0.28 * soft,
        "speckle": np.where(fine > 0.8, 0.65, 0.97),
        "brushed": 0.86 + 0.14 * rng.random((_TEXTURE_PX, 1)),
        "print": np.where(lines & (across > 0.15) & (across < 0.85), 0.72, 1.0),
    }
    square = (_TEXTURE_PX, _TEXTURE_PX)
    return {name: _grey(np.broadcast_to(value, square)) for name, value in brightness.items()}


def _grey(brightness: NDArray[np.float64]) -> NDArray[np.uint8]:
    levels = np.clip(255 * brightness, 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def _noise(rng: np.random.Generator, num_waves: int) -> NDArray[np.float64]:
    """(S, S) smooth noise that repeats without a seam, 0..1."""
    grid = 2 * np.pi * np.linspace(0, 1, _TEXTURE_PX, endpoint=False)
    total = np.zeros((_TEXTURE_PX, _TEXTURE_PX))
    for _ in range(num_waves):
        wave_x, wave_y = rng.integers(-4, 5, size=2)
        total += np.sin(wave_x * grid[None] + wave_y * grid[:, None] + rng.uniform(0, 2 * np.pi))
    scaled: NDArray[np.float64] = (total - total.min()) / max(float(np.ptp(total)), 1e-9)
    return scaled
