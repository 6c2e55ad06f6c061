"""The wearer's head: how high it is, where it looks, and that it never rests."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


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
