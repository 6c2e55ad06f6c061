"""How fast libraries draw on the CPU: pictures with instance masks, frames per second of processor time.

    python benchmarks/speed/renderer.py [--seconds 3]

The same scene of eight balls over a worktop is drawn by every library that is installed; then the archive's own kitchen
by the library that the archive uses. Processor time counts every thread, so the figure is per core, and other programs
disturb it little. Each row runs in a process of its own. `pip install pybullet mujoco embreex` for all rows.
"""

import dataclasses
import importlib
import multiprocessing
import multiprocessing.connection
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from henasy.scenes.mesh import Colour, Mesh, Part, ellipsoid, grid_mesh

SIZES = ((456, 256), (228, 128))
_FOV_DEG = 61.0
_NEAR, _FAR = 0.5, 60.0
_EYE, _AIM = np.array([0.0, -4.4, 5.6]), np.array([0.0, 0.75, 0.3])
_AMBIENT, _SUN, _SUN_DIRECTION = 0.45, 0.6, np.array([0.4, 0.5, -1.0])


class Drawn(NamedTuple):
    """One frame."""

    rgb: NDArray[np.uint8]
    """(H, W, 3)"""
    ids: NDArray[np.integer]
    """(H, W); what the values are is each library's own affair"""


class Ball(NamedTuple):
    """One object of the plain scene."""

    mesh: Mesh
    colour: Colour
    place: tuple[float, float, float]


Draw = Callable[[int], Drawn]
Open = Callable[[int, int], Draw]


def plain_scene() -> tuple[Mesh, list[Ball]]:
    """A worktop and eight balls of some 300 triangles each."""
    across, back = np.linspace(-9, 9, 9), np.linspace(-4, 6, 7)
    x, y = np.meshgrid(across, back)
    worktop = grid_mesh(np.stack([x, y, np.zeros_like(x)], axis=2))
    mesh = ellipsoid((0.8, 0.8, 0.8), 18)
    colours = np.random.default_rng(0).uniform(0.2, 0.9, size=(8, 3))
    places = [(2.0 * (row % 4) - 3.0, 2.0 * (row // 4) - 0.5, 0.8) for row in range(8)]
    return worktop, [
        Ball(mesh, (float(c[0]), float(c[1]), float(c[2])), p) for c, p in zip(colours, places, strict=True)
    ]


def moved_x(number: int) -> float:
    """How far the first ball has gone in frame `number`, so that no library can keep a finished picture."""
    return 0.3 * float(np.sin(0.3 * number))


def camera_axes() -> NDArray[np.float64]:
    """(3, 3) columns right, forward, up of the camera."""
    forward = (_AIM - _EYE) / np.linalg.norm(_AIM - _EYE)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return np.stack([right, forward, np.cross(right, forward)], axis=1)


def open_panda3d(width_px: int, height_px: int) -> Draw:
    """Panda3D's software rasteriser through the archive's own renderer: four samples a pixel, smooth edges."""
    from henasy.scenes.mesh import translation
    from henasy.scenes.renderer import Body, Light, Renderer

    worktop, balls = plain_scene()
    bodies = {"worktop": Body([Part(worktop, (0.7, 0.6, 0.5), "plain")], 0)}
    poses = {"worktop": np.eye(4)}
    for row, ball in enumerate(balls):
        bodies[f"ball{row}"] = Body([Part(ball.mesh, ball.colour, "plain")], 1 + row)
        poses[f"ball{row}"] = translation(*ball.place)
    renderer = Renderer(width_px, height_px, _FOV_DEG)
    x, y, z = _SUN_DIRECTION.tolist()
    renderer.load(bodies, Light((_AMBIENT,) * 3, (_SUN,) * 3, (x, y, z)), {}, (0.5, 0.5, 0.5))
    eye = np.eye(4)
    eye[:3, :3], eye[:3, 3] = camera_axes(), _EYE
    first_x, first_y, first_z = balls[0].place

    def draw(number: int) -> Drawn:
        poses["ball0"] = translation(first_x + moved_x(number), first_y, first_z)
        picture = renderer.render(poses, eye, has_ids=True)
        assert picture.ids is not None
        return Drawn(picture.rgb, picture.ids)

    return draw


def open_pybullet(width_px: int, height_px: int) -> Draw:
    """pybullet's TinyRenderer."""
    pybullet = importlib.import_module("pybullet")

    client = pybullet.connect(pybullet.DIRECT)
    worktop, balls = plain_scene()
    bodies = [_pybullet_body(pybullet, worktop, (0.7, 0.6, 0.5), (0, 0, 0))]
    bodies += [_pybullet_body(pybullet, ball.mesh, ball.colour, ball.place) for ball in balls]
    aspect = width_px / height_px
    fov_y_deg = float(np.degrees(2 * np.arctan(np.tan(np.radians(_FOV_DEG / 2)) / aspect)))
    view = pybullet.computeViewMatrix(_EYE.tolist(), _AIM.tolist(), [0, 0, 1])
    lens = pybullet.computeProjectionMatrixFOV(fov_y_deg, aspect, _NEAR, _FAR)
    settings = {"shadow": 0, "lightDirection": (-_SUN_DIRECTION).tolist(), "renderer": pybullet.ER_TINY_RENDERER}
    first_x, first_y, first_z = balls[0].place

    def draw(number: int) -> Drawn:
        place = (first_x + moved_x(number), first_y, first_z)
        pybullet.resetBasePositionAndOrientation(bodies[1], place, (0, 0, 0, 1), physicsClientId=client)
        _, _, rgba, _, ids = pybullet.getCameraImage(width_px, height_px, view, lens, **settings)
        colours = np.asarray(rgba, np.uint8).reshape(height_px, width_px, 4)
        return Drawn(colours[..., :3], np.asarray(ids).reshape(height_px, width_px))

    return draw


def _pybullet_body(pybullet: Any, mesh: Mesh, colour: Colour, place: tuple[float, float, float]) -> int:
    shape = pybullet.createVisualShape(
        pybullet.GEOM_MESH,
        vertices=mesh.points.tolist(),
        indices=mesh.triangles.ravel().tolist(),
        normals=mesh.normals.tolist(),
        uvs=mesh.uvs.tolist(),
        rgbaColor=(*colour, 1.0),
    )
    return int(pybullet.createMultiBody(0, -1, shape, place))


def open_mujoco(width_px: int, height_px: int) -> Draw:
    """MuJoCo's renderer; without a display it draws through the system's libEGL or libOSMesa, by Mesa here."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    mujoco = importlib.import_module("mujoco")

    model = mujoco.MjModel.from_xml_string(_mujoco_scene(width_px, height_px))
    data = mujoco.MjData(model)
    colour, ids = (mujoco.Renderer(model, height_px, width_px) for _ in range(2))
    ids.enable_segmentation_rendering()
    for renderer in (colour, ids):
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
    first_x = plain_scene()[1][0].place[0]

    def draw(number: int) -> Drawn:
        model.body("ball0").pos[0] = first_x + moved_x(number)
        mujoco.mj_forward(model, data)
        for renderer in (colour, ids):
            renderer.update_scene(data, camera="eye")
        return Drawn(colour.render(), ids.render()[..., 0])

    return draw


def _mujoco_scene(width_px: int, height_px: int) -> str:
    axes = camera_axes()
    fov_y_deg = np.degrees(2 * np.arctan(np.tan(np.radians(_FOV_DEG / 2)) * height_px / width_px))
    numbers = {"eye": _EYE, "axes": np.concatenate([axes[:, 0], axes[:, 2]]), "sun": _SUN_DIRECTION}
    text = {name: " ".join(f"{value:.5f}" for value in values) for name, values in numbers.items()}
    worktop, balls = plain_scene()
    bodies = "".join(
        f'<body name="ball{row}" pos="{ball.place[0]} {ball.place[1]} {ball.place[2]}">'
        f'<geom type="mesh" mesh="ball" rgba="{ball.colour[0]} {ball.colour[1]} {ball.colour[2]} 1"/></body>'
        for row, ball in enumerate(balls)
    )
    points = " ".join(f"{value:.5f}" for value in balls[0].mesh.points.ravel())
    # MuJoCo's meshes must enclose a volume: the worktop is its own plane.
    del worktop
    return f"""<mujoco><visual><global offwidth="{width_px}" offheight="{height_px}"/><quality offsamples="0"/></visual>
      <asset><mesh name="ball" vertex="{points}"/></asset>
      <worldbody><light directional="true" castshadow="false" dir="{text["sun"]}" pos="0 0 9"/>
        <camera name="eye" pos="{text["eye"]}" xyaxes="{text["axes"]}" fovy="{fov_y_deg:.4f}"/>
        <geom type="plane" size="9 6 1" rgba="0.7 0.6 0.5 1"/>{bodies}</worldbody></mujoco>"""


def open_embree(width_px: int, height_px: int) -> Draw:
    """Embree's ray casting, one ray a pixel, shaded in numpy; a moved ball means building the tree again."""
    embree = importlib.import_module("embreex.rtcore_scene")
    construction = importlib.import_module("embreex.mesh_construction")

    worktop, balls = plain_scene()
    origins, directions = _rays(width_px, height_px)
    light = -_SUN_DIRECTION / np.linalg.norm(_SUN_DIRECTION)
    colours = np.array([(0.7, 0.6, 0.5), *(ball.colour for ball in balls)])
    first = np.concatenate([[0], np.cumsum([len(worktop.triangles)] + [len(ball.mesh.triangles) for ball in balls])])
    owner = np.repeat(np.arange(len(balls) + 1), np.diff(first))

    def draw(number: int) -> Drawn:
        meshes = [worktop.points[worktop.triangles]]
        for row, ball in enumerate(balls):
            x, y, z = ball.place
            place = np.array((x + (moved_x(number) if row == 0 else 0.0), y, z), np.float32)
            meshes.append(ball.mesh.points[ball.mesh.triangles] + place)
        triangles = np.concatenate(meshes).astype(np.float32)
        scene = embree.EmbreeScene()
        construction.TriangleMesh(scene, triangles)
        hits = scene.run(origins, directions)
        edges = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        facing = edges @ light / np.maximum(np.linalg.norm(edges, axis=1), 1e-9)
        shades = 255 * np.clip(colours[owner] * (_AMBIENT + _SUN * np.maximum(facing, 0))[:, None], 0, 1)
        table = np.concatenate([shades, [[127, 127, 127]]]).astype(np.uint8)
        ids = np.append(owner, -1)[hits].reshape(height_px, width_px)
        return Drawn(table[hits].reshape(height_px, width_px, 3), ids)

    return draw


def _rays(width_px: int, height_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    reach = np.tan(np.radians(_FOV_DEG / 2))
    across = reach * ((np.arange(width_px) + 0.5) / width_px * 2 - 1)
    up = -reach * height_px / width_px * ((np.arange(height_px) + 0.5) / height_px * 2 - 1)
    x, z = np.meshgrid(across, up)
    local = np.stack([x, np.ones_like(x), z], axis=2).reshape(-1, 3)
    directions = np.ascontiguousarray(local @ camera_axes().T, np.float32)
    return np.ascontiguousarray(np.broadcast_to(_EYE, directions.shape), np.float32), directions


def open_kitchen(width_px: int, height_px: int) -> Draw:
    """A kitchen with poses, textures, light and hands, as archives draw it."""
    from henasy.scenes.archive import ArchiveConfig
    from henasy.scenes.renderer import Renderer

    stage = ArchiveConfig(seed=0, num_videos=1, width_px=width_px, height_px=height_px).stage(0)
    renderer = Renderer(width_px, height_px, stage.fov_deg)
    stage.load(renderer)

    def draw(number: int) -> Drawn:
        time_s = (number % 600) / 10
        picture = renderer.render(stage.poses(time_s), stage.eye(time_s), has_ids=True)
        assert picture.ids is not None
        return Drawn(picture.rgb, picture.ids)

    return draw


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One row of the table."""

    name: str
    package: str
    open: Open
    samples: str
    """Per pixel"""


CANDIDATES = (
    Candidate(name="panda3d, p3tinydisplay", package="panda3d", open=open_panda3d, samples="4"),
    Candidate(name="pybullet, TinyRenderer", package="pybullet", open=open_pybullet, samples="1"),
    Candidate(name="mujoco, EGL by Mesa", package="mujoco", open=open_mujoco, samples="1"),
    Candidate(name="embree, ray casting", package="embreex", open=open_embree, samples="1"),
    Candidate(name="an archive's kitchen (panda3d)", package="panda3d", open=open_kitchen, samples="4"),
)


class Outcome(NamedTuple):
    """What a child measured."""

    frames_per_s: float
    num_ids: int
    """Distinct mask values in the last frame"""
    problem: str
    """Why nothing could be measured; empty otherwise"""


def measure(draw: Draw, seconds: float) -> Outcome:
    """Frames per second of processor time, over `seconds` of it."""
    for number in range(3):
        drawn = draw(number)
    start_s = time.process_time()
    num_frames = 0
    while (spent_s := time.process_time() - start_s) < seconds:
        drawn = draw(num_frames)
        num_frames += 1
    return Outcome(num_frames / spent_s, len(np.unique(drawn.ids)), "")


def measured_apart(candidate: Candidate, size: tuple[int, int], seconds: float) -> Outcome:
    """The same, in a process of its own whose terminal output is dropped and whose crash costs one row."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(candidate, size, seconds, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        outcome = ours.recv()
    except EOFError:
        child.join()
        outcome = Outcome(0.0, 0, f"its process ended with exit code {child.exitcode}")
    child.join()
    assert isinstance(outcome, Outcome)
    return outcome


def _child(
    candidate: Candidate, size: tuple[int, int], seconds: float, answer: multiprocessing.connection.Connection
) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        outcome = measure(candidate.open(*size), seconds)
    except ImportError as error:
        outcome = Outcome(0.0, 0, f"not installed ({error})" if error.name == candidate.package else str(error))
    except Exception as error:
        # A library that cannot draw here is a result of this benchmark, whatever it raises.
        outcome = Outcome(0.0, 0, f"unavailable: {type(error).__name__}: {error}")
    answer.send(outcome)


def archive_rate(size: tuple[int, int]) -> float:
    """Frames per second of processor time of a whole archive: drawing, H.264, masks packed and written."""
    from henasy.scenes.archive import ArchiveConfig, write_archive

    config = ArchiveConfig(seed=0, num_videos=1, video_s=20.0, width_px=size[0], height_px=size[1])
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        write_archive(config, Path(folder), workers=1)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return config.num_frames / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=3.0, show_default=True, help="Per row and size.")
def main(seconds: float) -> None:
    """Prints frames per second of processor time, masks included."""
    table = Table("renderer", "samples per pixel", *(f"{width}x{height}" for width, height in SIZES), "mask values")
    for candidate in CANDIDATES:
        outcomes = [measured_apart(candidate, size, seconds) for size in SIZES]
        cells = [outcome.problem or f"{outcome.frames_per_s:.0f}" for outcome in outcomes]
        table.add_row(candidate.name, candidate.samples, *cells, str(outcomes[0].num_ids))
    whole = [f"{archive_rate(size):.0f}" for size in SIZES]
    table.add_row("archive, written", "4", *whole, "masks 4 times in 10 frames")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
