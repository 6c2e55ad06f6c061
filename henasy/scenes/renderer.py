"""Pictures and instance maps of posed bodies, drawn on the CPU with no display.

The only file that knows Panda3D. Its software renderer was measured the fastest of those that install from a wheel
and run without a display (docs/rendered_archive.md).
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from panda3d.core import (
    AmbientLight,
    BitMask32,
    Camera,
    DirectionalLight,
    FrameBufferProperties,
    Geom,
    GeomNode,
    GeomTriangles,
    GeomVertexData,
    GeomVertexFormat,
    GraphicsEngine,
    GraphicsOutput,
    GraphicsPipe,
    GraphicsPipeSelection,
    LMatrix4f,
    NodePath,
    PerspectiveLens,
    Texture,
    TransparencyAttrib,
    WindowProperties,
    loadPrcFileData,
)

from henasy.errors import ConfigError
from henasy.scenes.mesh import Colour, Mesh, Part

Matrix = NDArray[np.float64]

_COLOUR_MASK = BitMask32.bit(0)
_ID_MASK = BitMask32.bit(1)
_SETTINGS = """
load-display p3tinydisplay
window-type offscreen
audio-library-name null
sync-video 0
notify-level error
notify-level-display fatal
notify-level-x11display fatal
"""


class Picture(NamedTuple):
    """What the camera saw."""

    rgb: NDArray[np.uint8]
    """(H, W, 3)"""
    ids: NDArray[np.uint8] | None
    """(H, W) instance of each pixel, 0 = background; None unless asked for"""


class Light(NamedTuple):
    """One sun and what is everywhere."""

    ambient: Colour
    sun: Colour
    direction: tuple[float, float, float]


class Renderer:
    """One offscreen drawing surface; a process needs only one, and scenes follow each other on it.

    Colour is drawn at twice the size and averaged, which is what smooths edges; instance maps are drawn at the final
    size with flat colours.
    """

    def __init__(self, width_px: int, height_px: int, fov_deg: float = 61.0) -> None:
        """Opens the surface.

        Args:
            width_px: even, as H.264 needs.
            height_px: even.
            fov_deg: horizontal field of view.

        Raises:
            ConfigError: the size is odd or the software renderer cannot be loaded.
        """
        if width_px % 2 or height_px % 2 or min(width_px, height_px) < 32:
            raise ConfigError(f"size is {width_px}x{height_px}, must be even and at least 32x32")
        loadPrcFileData("", _SETTINGS)
        self._engine = GraphicsEngine()
        self._pipe = GraphicsPipeSelection.getGlobalPtr().makeModulePipe("p3tinydisplay")
        if self._pipe is None:
            raise ConfigError("panda3d was installed without its software renderer p3tinydisplay")
        self._lens = PerspectiveLens()
        self._lens.setAspectRatio(width_px / height_px)
        self._lens.setFov(fov_deg)
        self._lens.setNearFar(0.5, 60.0)
        self._colour, self._colour_texture = self._surface(2 * width_px, 2 * height_px, "colour")
        self._ids, self._ids_texture = self._surface(width_px, height_px, "ids")
        self._root = NodePath("empty")
        self._bodies: dict[str, Any] = {}
        self._eye: Any = None

    def _surface(self, width_px: int, height_px: int, name: str) -> tuple[Any, Any]:
        properties = FrameBufferProperties()
        properties.setRgbaBits(8, 8, 8, 8)
        properties.setDepthBits(24)
        size = WindowProperties.size(width_px, height_px)
        surface = self._engine.makeOutput(self._pipe, name, 0, properties, size, GraphicsPipe.BFRefuseWindow)
        texture = Texture(name)
        surface.addRenderTexture(texture, GraphicsOutput.RTMCopyRam)
        return surface, texture

    def load(
        self,
        bodies: Mapping[str, "Body"],
        light: Light,
        textures: Mapping[str, NDArray[np.uint8]],
        background: Colour,
    ) -> None:
        """Replaces the scene; bodies are shown only once posed by `render`."""
        self._root = NodePath("scene")
        loaded = {name: _texture(name, pixels) for name, pixels in textures.items()}
        self._light(light)
        self._eye = self._root.attachNewNode("eye")
        self._camera(self._colour, _COLOUR_MASK, (*background, 1.0))
        id_camera = self._camera(self._ids, _ID_MASK, (0.0, 0.0, 0.0, 1.0))
        self._bodies = {name: self._body(name, body, loaded) for name, body in bodies.items()}
        for instance in sorted({body.instance for body in bodies.values()}):
            id_camera.setTagState(str(instance), _flat_state(instance))

    def render(self, poses: Mapping[str, Matrix], eye: Matrix, *, has_ids: bool) -> Picture:
        """Draws the bodies named in `poses` and no other.

        Args:
            poses: (4, 4) body to world.
            eye: (4, 4) camera to world; the camera looks along its y axis, z is up.
            has_ids: whether the instance map is wanted.
        """
        self._eye.setMat(_panda_matrix(eye))
        for name, node in self._bodies.items():
            if name in poses:
                node.setMat(_panda_matrix(poses[name]))
                node.show()
            else:
                node.hide()
        self._ids.setActive(has_ids)
        self._engine.renderFrame()
        rgb = _halved(_pixels(self._colour_texture))
        ids = np.ascontiguousarray(_pixels(self._ids_texture)[..., 2]) if has_ids else None
        return Picture(rgb, ids)

    def close(self) -> None:
        """Frees the surface."""
        self._engine.removeAllWindows()

    def _camera(self, surface: Any, mask: Any, background: tuple[float, float, float, float]) -> Any:
        camera = Camera(surface.getName(), self._lens)
        camera.setCameraMask(mask)
        camera.setTagStateKey("instance")
        surface.removeAllDisplayRegions()
        surface.setClearColor(background)
        surface.makeDisplayRegion().setCamera(self._eye.attachNewNode(camera))
        return camera

    def _light(self, light: Light) -> None:
        ambient, sun = AmbientLight("ambient"), DirectionalLight("sun")
        ambient.setColor((*light.ambient, 1))
        sun.setColor((*light.sun, 1))
        sun.setDirection(light.direction)
        for node in (ambient, sun):
            self._root.setLight(self._root.attachNewNode(node))

    def _body(self, name: str, body: "Body", textures: Mapping[str, Any]) -> Any:
        node = self._root.attachNewNode(name)
        node.setTag("instance", str(body.instance))
        for part in body.parts:
            child = node.attachNewNode(_geometry(part.mesh))
            # The software renderer multiplies a lit colour with itself; the root undoes it.
            child.setColor(*(channel**0.5 for channel in part.colour), body.opacity)
            if part.texture != "plain":
                child.setTexture(textures[part.texture])
        node.setTwoSided(body.is_two_sided)
        if not body.is_lit:
            node.setLightOff()
        if body.opacity < 1.0:
            node.setTransparency(TransparencyAttrib.MAlpha)
            node.setLightOff()
            node.setDepthWrite(False)
            node.hide(_ID_MASK)
        return node


class Body(NamedTuple):
    """Parts that move together and count as one instance."""

    parts: list[Part]
    instance: int
    """1..255, or 0 for background"""
    opacity: float = 1.0
    """Below 1 a shadow: blended, unlit, absent from the instance map"""
    is_two_sided: bool = False
    is_lit: bool = True
    """False for what shines by itself"""


@contextlib.contextmanager
def open_renderer(width_px: int, height_px: int, fov_deg: float = 61.0) -> Iterator[Renderer]:
    """A renderer that is closed at the end of the block."""
    renderer = Renderer(width_px, height_px, fov_deg)
    try:
        yield renderer
    finally:
        renderer.close()


def _panda_matrix(matrix: Matrix) -> Any:
    return LMatrix4f(*matrix.T.ravel().tolist())


def _pixels(texture: Any) -> NDArray[np.uint8]:
    flat = np.frombuffer(texture.getRamImage(), dtype=np.uint8)
    return flat.reshape(texture.getYSize(), texture.getXSize(), -1)[::-1]


def _halved(fine: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB (H, W, 3) means of 2x2 pixels of BGRA (2H, 2W, 4), four bytes at a time."""
    words = fine.view(np.uint32)[..., 0]
    columns = _byte_means(words[::2], words[1::2])
    small = _byte_means(columns[:, ::2], columns[:, 1::2])
    return np.ascontiguousarray(small[..., None].view(np.uint8)[..., 2::-1])


def _byte_means(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.uint32]:
    # (a & b) + (a ^ b) / 2 with the low bit of each byte dropped, so that nothing crosses into the next byte.
    return (first & second) + (((first ^ second) & np.uint32(0xFEFEFEFE)) >> np.uint32(1))


def _flat_state(instance: int) -> Any:
    node = NodePath("flat")
    # Half a step up, because the renderer truncates when it turns a colour into a byte.
    node.setColor((instance + 0.5) / 255, 0, 0, 1, 1000)
    node.setLightOff(1000)
    node.setTextureOff(1000)
    return node.getState()


def _texture(name: str, pixels: NDArray[np.uint8]) -> Any:
    texture = Texture(name)
    texture.setup2dTexture(pixels.shape[1], pixels.shape[0], Texture.TUnsignedByte, Texture.FRgb)
    texture.setRamImage(np.ascontiguousarray(pixels[..., ::-1]).tobytes())
    texture.setMinfilter(Texture.FTLinearMipmapLinear)
    texture.setMagfilter(Texture.FTLinear)
    return texture


def _geometry(mesh: Mesh) -> Any:
    data = GeomVertexData("mesh", GeomVertexFormat.getV3n3t2(), Geom.UHStatic)
    data.uncleanSetNumRows(len(mesh.points))
    rows = np.concatenate([mesh.points, mesh.normals, mesh.uvs], axis=1).astype(np.float32)
    data.modifyArrayHandle(0).copyDataFrom(rows.tobytes())
    triangles = GeomTriangles(Geom.UHStatic)
    for first, second, third in mesh.triangles.tolist():
        triangles.addVertices(first, second, third)
    geometry = Geom(data)
    geometry.addPrimitive(triangles)
    node = GeomNode("mesh")
    node.addGeom(geometry)
    return node
