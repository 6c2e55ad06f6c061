"""A picture of a hit: the frames of its clip side by side, with its entities outlined, and a caption.

The owner of Pillow in the service. F frames, H x W pixels.
"""

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from henasy.errors import NotFoundError
from henasy.index.durable import write_file
from henasy.search.hits import Entity, Hit, VideoRef
from henasy.search.regions import decode_mask
from henasy.video.pool import ReadClip, read_clip

FRAME_HEIGHT_PX = 240
_CAPTION_PX = 22
_GAP_PX = 4
_DEFAULT_FRAMES = 4
_FILL = 0.35
_MAX_READ_S = 60.0
_COLOURS = ((255, 200, 0), (0, 200, 255), (255, 80, 200), (120, 255, 80), (255, 120, 60))


class _Layer(NamedTuple):
    """One entity in one frame."""

    mask: NDArray[np.bool_]
    """(H, W)"""
    colour: tuple[int, int, int]


def find_video(video: VideoRef, folder: Path | None) -> Path:
    """The file of a hit's video on this machine.

    Args:
        video: what the hit says of it.
        folder: where the videos lie here; None looks where the index saw them.

    Raises:
        NotFoundError: no file is there.
    """
    file = Path(video.file) if folder is None else folder / video.path
    if not file.is_file():
        raise NotFoundError(f"{file}: no video is here; --videos FOLDER says where {video.path} lies on this machine")
    return file


def draw_hit(hit: Hit, query: str, file: Path, read_clip: ReadClip = read_clip) -> Image.Image:
    """The clip's frames with the entities of the hit, or of its explanation, and what was asked; a moment's best clip.

    Args:
        hit: what was found.
        query: what was asked.
        file: the hit's video on this machine.
        read_clip: reads the frames; by default in a new child process.

    Raises:
        VideoError: the clip cannot be read from the file.
    """
    entities = _entities(hit)
    num_frames = len(entities[0].regions) if entities else _DEFAULT_FRAMES
    batch = read_clip(file, hit.best_clip, num_frames, _MAX_READ_S)
    frames = [batch.frames[row] for row in batch.frame_rows[0]]
    drawn = [_overlaid(frame, _layers(entities, at)) for at, frame in enumerate(frames)]
    images = [_scaled(Image.fromarray(frame)) for frame in drawn]
    return _joined(images, _caption(hit, query))


def save_picture(image: Image.Image, path: Path) -> None:
    """Writes a PNG; the file is there whole or not at all."""
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, buffer.getvalue())


def _entities(hit: Hit) -> tuple[Entity, ...]:
    if hit.entity is not None:
        return (hit.entity,)
    return () if hit.explanation is None else hit.explanation.entities


def _layers(entities: tuple[Entity, ...], frame: int) -> list[_Layer]:
    layers = []
    for number, entity in enumerate(entities):
        mask = entity.regions[frame].mask
        if mask is not None:
            layers.append(_Layer(decode_mask(mask), _COLOURS[number % len(_COLOURS)]))
    return layers


def _overlaid(frame: NDArray[np.uint8], layers: list[_Layer]) -> NDArray[np.uint8]:
    """The frame (H, W, 3) with each mask tinted and outlined."""
    painted = frame.astype(np.float32)
    for mask, colour in layers:
        inside = _resized(mask, frame.shape[0], frame.shape[1])
        edge = inside & ~_eroded(inside)
        painted[inside] = (1 - _FILL) * painted[inside] + _FILL * np.array(colour)
        painted[edge] = colour
    return painted.round().astype(np.uint8)


def _resized(mask: NDArray[np.bool_], height_px: int, width_px: int) -> NDArray[np.bool_]:
    # Frames of large videos are decoded smaller than they are displayed.
    rows = np.arange(height_px) * mask.shape[0] // height_px
    columns = np.arange(width_px) * mask.shape[1] // width_px
    return mask[np.ix_(rows, columns)]


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose neighbours, two away in each direction, are set as well."""
    padded = np.pad(mask, 2)
    height, width = mask.shape
    inner = mask.copy()
    for down, right in ((0, 2), (4, 2), (2, 0), (2, 4)):
        inner &= padded[down : down + height, right : right + width]
    return inner


def _scaled(image: Image.Image) -> Image.Image:
    width_px = max(1, round(image.width * FRAME_HEIGHT_PX / image.height))
    return image.resize((width_px, FRAME_HEIGHT_PX), Image.Resampling.BICUBIC)


def _joined(images: list[Image.Image], caption: str) -> Image.Image:
    width_px = sum(image.width for image in images) + _GAP_PX * (len(images) - 1)
    sheet = Image.new("RGB", (width_px, FRAME_HEIGHT_PX + _CAPTION_PX), (24, 24, 24))
    left = 0
    for image in images:
        sheet.paste(image, (left, _CAPTION_PX))
        left += image.width + _GAP_PX
    ImageDraw.Draw(sheet).text((6, 3), caption, fill=(240, 240, 240), font=ImageFont.load_default(14))
    return sheet


def _caption(hit: Hit, query: str) -> str:
    what = "" if hit.entity is None else f"  entity {hit.entity.slot}"
    span = f"{hit.span.start_s:.1f}-{hit.span.end_s:.1f} s"
    if hit.clips:
        span += f", shown from {hit.best_clip.start_s:.1f} s"
    return f'{hit.rank}. "{query}"  {hit.score:.3f}{what}  {hit.video.path}  {span}'
