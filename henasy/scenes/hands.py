"""The wearer's hands with their forearms: two grips, a range of skins and sleeves.

A hand is built about the middle of its palm, palm down, fingers along +y, forearm along -y.
"""

from typing import Literal, NamedTuple

import numpy as np

from henasy.scenes.mesh import Colour, Mesh, Part, ellipsoid, merged, moved, rotation, translation, tube

Side = Literal["left", "right"]
Grip = Literal["open", "closed"]
Matrix = np.ndarray

SKINS: tuple[Colour, ...] = (
    (0.93, 0.74, 0.62),
    (0.85, 0.62, 0.47),
    (0.7, 0.48, 0.34),
    (0.5, 0.33, 0.22),
    (0.4, 0.27, 0.19),
)
SLEEVES: tuple[Colour, ...] = (
    (0.2, 0.25, 0.42),
    (0.75, 0.75, 0.73),
    (0.4, 0.12, 0.14),
    (0.2, 0.34, 0.25),
    (0.15, 0.15, 0.16),
)

_ELBOW = {"left": np.array([-3.1, -6.0, 2.2]), "right": np.array([3.1, -6.0, 2.2])}
_CURL = {"open": 0.12, "closed": 0.85}


class HandPose(NamedTuple):
    """Where a palm is; the forearm always runs towards the elbow of its side."""

    x: float
    y: float
    z: float
    roll_deg: float
    twist_deg: float

    def blended(self, other: "HandPose", share: float) -> "HandPose":
        """`share` of the way to `other`."""
        return HandPose(*(a + share * (b - a) for a, b in zip(self, other, strict=True)))


def pose_matrix(pose: HandPose, side: Side) -> Matrix:
    """(4, 4) hand to world."""
    palm = np.array([pose.x, pose.y, pose.z])
    forward = palm - _ELBOW[side]
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, forward, np.cross(right, forward)], axis=1)
    matrix[:3, 3] = palm
    return matrix @ rotation("z", pose.twist_deg) @ rotation("y", pose.roll_deg)


def build_hand(side: Side, grip: Grip, skin: Colour, sleeve: Colour, sleeve_length: float) -> list[Part]:
    """The parts of one hand.

    Args:
        sleeve_length: share of the forearm that is covered, 0..1.
    """
    outwards = 1.0 if side == "right" else -1.0
    palm = moved(ellipsoid((0.52, 0.6, 0.24), 14), translation(0, 0, 0))
    fingers = [
        _finger(x, length, _CURL[grip]) for x, length in ((-0.39, 0.85), (-0.13, 1.0), (0.13, 1.0), (0.38, 0.85))
    ]
    thumb = _thumb(-outwards, grip)
    bare_end = -0.5 - 5.5 * (1.0 - sleeve_length)
    forearm = _limb(-0.3, min(bare_end, -0.9), 0.3, 0.46)
    cuff = _limb(min(bare_end, -0.9) + 0.1, -7.0, 0.5, 0.72)
    return [Part(merged([palm, *fingers, thumb, forearm]), skin, "skin"), Part(cuff, sleeve, "cloth")]


def _finger(x: float, length: float, curl: float) -> Mesh:
    bends = np.cumsum(np.array([0.15, 0.9, 1.0, 0.8]) * curl)
    steps = length / 4 * np.stack([np.zeros(4), np.cos(bends), -np.sin(bends)], axis=1)
    knuckle = np.array([[x, 0.42, 0.02]])
    path = np.concatenate([knuckle, knuckle + np.cumsum(steps, axis=0)])
    tip = moved(ellipsoid((0.115, 0.13, 0.115), 8), translation(*path[-1].tolist()))
    return merged([tube(path, np.array([0.15, 0.15, 0.14, 0.13, 0.11]), 7), tip])


def _thumb(inwards: float, grip: Grip) -> Mesh:
    drop = -0.25 if grip == "closed" else -0.05
    path = np.array(
        [
            [0.3 * inwards, -0.2, 0],
            [0.62 * inwards, 0.1, drop / 2],
            [0.68 * inwards, 0.42, drop],
            [0.6 * inwards, 0.68, 1.6 * drop],
        ]
    )
    tip = moved(ellipsoid((0.12, 0.13, 0.12), 8), translation(*path[-1].tolist()))
    return merged([tube(path, np.array([0.2, 0.18, 0.16, 0.12]), 7), tip])


def _limb(start: float, stop: float, thin: float, thick: float) -> Mesh:
    path = np.stack([np.zeros(5), np.linspace(start, stop, 5), np.zeros(5)], axis=1)
    path[:, 2] = np.linspace(0, -0.02, 5)
    return tube(path, np.linspace(thin, thick, 5), 12)
