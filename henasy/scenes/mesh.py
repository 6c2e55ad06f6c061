"""Triangle meshes made of a few primitives; unit: decimetre, z up.

A mesh is built in plain numpy, so that shapes know nothing of the library that draws them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Point = tuple[float, float, float]
Colour = tuple[float, float, float]


class Mesh(NamedTuple):
    """Triangles with smooth normals and texture coordinates."""

    points: FloatArray
    """(V, 3)"""
    normals: FloatArray
    """(V, 3), unit length, outwards"""
    uvs: FloatArray
    """(V, 2)"""
    triangles: NDArray[np.int32]
    """(F, 3) rows of `points`, counter-clockwise from outside"""


class Part(NamedTuple):
    """One mesh with one colour and one texture."""

    mesh: Mesh
    colour: Colour
    texture: str


def moved(mesh: Mesh, matrix: NDArray[np.float64]) -> Mesh:
    """The mesh after the rigid motion, or uniform scaling, `matrix` (4, 4)."""
    turned = mesh.normals @ matrix[:3, :3].T
    normals = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    points = mesh.points @ matrix[:3, :3].T + matrix[:3, 3]
    return Mesh(points.astype(np.float32), normals.astype(np.float32), mesh.uvs, mesh.triangles)


def translation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """(4, 4) matrix that moves by (x, y, z)."""
    matrix = np.eye(4)
    matrix[:3, 3] = (x, y, z)
    return matrix


def rotation(axis: str, degrees: float) -> NDArray[np.float64]:
    """(4, 4) right-handed rotation about the axis "x", "y" or "z"."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def grid_mesh(points: NDArray[np.float64]) -> Mesh:
    """A surface over a grid of points (R, C, 3); rows run along u, columns along v.

    The outside is where (along columns) x (along rows) points to.
    """
    rows, columns, _ = points.shape
    along_rows, along_columns = np.gradient(points, axis=0), np.gradient(points, axis=1)
    if np.allclose(points[:, 0], points[:, -1]):
        seam = points[:, 1] - points[:, -2]
        along_columns[:, 0] = along_columns[:, -1] = seam
    normals = np.cross(along_columns, along_rows).reshape(-1, 3)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 1e-9, normals / np.maximum(lengths, 1e-9), (0.0, 0.0, 1.0))
    u, v = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + columns], axis=1)
    upper = np.stack([corner + 1, corner + columns + 1, corner + columns], axis=1)
    return Mesh(
        points.reshape(-1, 3).astype(np.float32),
        normals.astype(np.float32),
        np.stack([v.ravel(), u.ravel()], axis=1).astype(np.float32),
        np.concatenate([lower, upper]).astype(np.int32),
    )


def lathe(profile: Sequence[tuple[float, float]], num_sides: int = 18) -> Mesh:
    """A profile of (radius, height), from the outside bottom upwards, turned about z.

    Doubled points make a crease.
    """
    angles = np.linspace(0, 2 * np.pi, num_sides + 1)
    radii, heights = np.array(profile, dtype=np.float64).T
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ring = radii[:, None, None] * circle[None]
    return grid_mesh(np.concatenate([ring, np.broadcast_to(heights[:, None, None], (*ring.shape[:2], 1))], 2))


def ellipsoid(radii: Point, num_sides: int = 14) -> Mesh:
    """An ellipsoid about the origin."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, num_sides // 2 + 2)
    ball = lathe([(float(np.cos(a)), float(np.sin(a))) for a in angles], num_sides)
    scale = np.array(radii)
    normals = ball.normals / scale
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Mesh((ball.points * scale).astype(np.float32), normals.astype(np.float32), ball.uvs, ball.triangles)


def box(size: Point) -> Mesh:
    """A box about the origin with flat faces."""
    half = np.array(size) / 2
    faces = []
    for axis, other, third in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        for sign in (-1.0, 1.0):
            square = np.zeros((2, 2, 3))
            square[..., axis] = sign
            square[:, 0, other], square[:, 1, other] = -sign, sign
            square[0, :, third], square[1, :, third] = -1.0, 1.0
            faces.append(grid_mesh(square * half))
    return merged(faces)


def tube(path: NDArray[np.float64], radii: NDArray[np.float64], num_sides: int = 10) -> Mesh:
    """A tube along points (N, 3) with a radius at each (N,); its ends are open unless the radius is 0."""
    tangents = np.gradient(path, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    spread = np.ptp(path, axis=0)
    side = np.eye(3)[int(np.argmin(spread))]
    first = np.cross(tangents, side)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(tangents, first)
    angles = np.linspace(0, 2 * np.pi, num_sides + 1)[:, None]
    ring = np.cos(angles) * first[:, None] + np.sin(angles) * second[:, None]
    return grid_mesh(path[:, None] + radii[:, None, None] * ring)


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh with the triangles of all."""
    offsets = np.cumsum([0] + [len(mesh.points) for mesh in meshes[:-1]])
    triangles = [mesh.triangles + offset for mesh, offset in zip(meshes, offsets, strict=True)]
    return Mesh(
        np.concatenate([mesh.points for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.uvs for mesh in meshes]),
        np.concatenate(triangles).astype(np.int32),
    )
