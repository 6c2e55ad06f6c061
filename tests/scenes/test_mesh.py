"""Meshes against what geometry says of them: volumes, closed surfaces, outward normals."""

import numpy as np
import pytest

from henasy.scenes.mesh import Mesh, box, ellipsoid, lathe, merged, moved, rotation, translation, tube


def _volume(mesh: Mesh) -> float:
    """Signed volume by the divergence theorem: positive when triangles are counter-clockwise from outside."""
    first, second, third = np.moveaxis(mesh.points[mesh.triangles].astype(np.float64), 1, 0)
    return float(np.einsum("ni,ni->n", first, np.cross(second, third)).sum() / 6)


def test_rotation_turns_right_handed() -> None:
    for axis, before, after in (("x", (0, 1, 0), (0, 0, 1)), ("y", (0, 0, 1), (1, 0, 0)), ("z", (1, 0, 0), (0, 1, 0))):
        np.testing.assert_allclose(rotation(axis, 90)[:3, :3] @ before, after, atol=1e-12)


def test_box_has_its_volume_and_flat_outward_normals() -> None:
    mesh = box((2.0, 3.0, 0.5))
    assert _volume(mesh) == pytest.approx(3.0, rel=1e-5)
    half = np.array([1.0, 1.5, 0.25])
    faces = np.abs(mesh.points / half) > 0.999
    assert np.all(np.abs(mesh.normals).max(axis=1) == pytest.approx(1.0))
    assert np.all(np.einsum("ni,ni->n", mesh.normals, mesh.points) > 0)
    assert np.all(faces[np.arange(len(faces)), np.abs(mesh.normals).argmax(axis=1)])


def test_ellipsoid_approaches_its_volume_and_its_normals_point_out() -> None:
    mesh = ellipsoid((1.0, 2.0, 0.5), num_sides=60)
    assert _volume(mesh) == pytest.approx(4 / 3 * np.pi, rel=0.01)
    gradient = mesh.points / np.array([1.0, 4.0, 0.25])
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    is_off_pole = np.abs(mesh.points[:, 2]) < 0.499
    np.testing.assert_allclose(mesh.normals[is_off_pole], gradient[is_off_pole], atol=0.02)


def test_lathe_of_a_cylinder_has_the_volume_of_its_polygon() -> None:
    mesh = lathe([(0, 0), (1, 0), (1, 0), (1, 2), (1, 2), (0, 2)], num_sides=12)
    assert _volume(mesh) == pytest.approx(2 * 0.5 * 12 * np.sin(2 * np.pi / 12), rel=1e-5)


def test_tube_has_its_radius_at_right_angles_to_its_path() -> None:
    path = np.stack([np.zeros(4), np.linspace(0, 3, 4), np.zeros(4)], axis=1)
    mesh = tube(path, np.array([0.2, 0.3, 0.3, 0.1]), num_sides=8)
    radii = np.linalg.norm(mesh.points[:, [0, 2]], axis=1)
    np.testing.assert_allclose(radii, np.repeat([0.2, 0.3, 0.3, 0.1], 9), rtol=1e-5)


def test_moved_keeps_volume_and_unit_normals() -> None:
    mesh = moved(box((1.0, 1.0, 1.0)), translation(5, -2, 1) @ rotation("y", 33))
    assert _volume(mesh) == pytest.approx(1.0, rel=1e-4)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, rtol=1e-5)


def test_merged_adds_up() -> None:
    both = merged([box((1.0, 1.0, 1.0)), moved(box((2.0, 1.0, 1.0)), translation(4, 0, 0))])
    assert _volume(both) == pytest.approx(3.0, rel=1e-5)
    assert both.triangles.max() == len(both.points) - 1
