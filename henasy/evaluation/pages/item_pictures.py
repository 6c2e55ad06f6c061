"""Pictures of annotated clips with the entities that the phrases of a query met.

T frames, K patches, E entities, H x W pixels.
"""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from henasy.checkpoint.encoder import ClipEncoding, Encoder
from henasy.evaluation.encoding.embed import flat_frames
from henasy.evaluation.encoding.frame_rules import FrameSelector
from henasy.evaluation.encoding.span_frames import RefusedSpans, read_spans
from henasy.evaluation.pages.details import COLOURS, ItemPicture, Met, Wanted
from henasy.text.phrases import find_phrases
from henasy.video.video_files import VideoFiles

_HEIGHT_PX = 120
_FILL = 0.35
_QUALITY = 80


def item_pictures(
    wanted: Sequence[Wanted], encoder: Encoder, selector: FrameSelector, found: Mapping[str, VideoFiles]
) -> list[ItemPicture]:
    """A picture of every clip, with the masks of the entities that its query's phrases met.

    Args:
        wanted: clips and the texts of their queries.
        encoder: finds the entities; one of kind dual has none and gives plain pictures.
        selector: which frames stand for a clip.
        found: the files of each video.
    """
    pictures: list[ItemPicture | None] = [None] * len(wanted)
    spans = [one.span for one in wanted]
    for batch in read_spans(spans, dict(found), selector, encoder.num_frames, batch_spans=8):
        if isinstance(batch, RefusedSpans):
            for row in batch.rows.tolist():
                pictures[row] = ItemPicture("", (), batch.reason)
            continue
        encoding = encoder.encode_clips(*flat_frames(batch.frames)) if encoder.num_entities else None
        for at, row in enumerate(batch.rows.tolist()):
            pictures[row] = _picture(batch.frames[at], wanted[row].text, encoder, encoding, at)
    return [picture or ItemPicture("", (), "no frame") for picture in pictures]


def _picture(
    frames: NDArray[np.uint8], text: str, encoder: Encoder, encoding: ClipEncoding | None, at: int
) -> ItemPicture:
    """The picture of the clip at one row of an encoding; its frames (T, H, W, 3)."""
    painted = frames.astype(np.float32)
    met: list[Met] = []
    phrases = find_phrases(text)[: len(COLOURS)] if encoding is not None and encoding.is_valid[at].any() else []
    if encoding is not None and phrases:
        vectors = encoder.encode_texts([phrase.text for phrase in phrases])
        scores = np.where(encoding.is_valid[at][None], vectors @ encoding.entities[at].T, -np.inf)
        for number, (phrase, slot) in enumerate(zip(phrases, scores.argmax(axis=1).tolist(), strict=True)):
            met.append(Met(phrase.text, float(scores[number, slot])))
            paint(painted, entity_pixels(encoding.assignment[at] == slot, encoder, frames.shape[1:3]), COLOURS[number])
    return ItemPicture(side_by_side(painted), tuple(met))


def entity_pixels(is_member: NDArray[np.bool_], encoder: Encoder, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """(T, H, W) the pixels of an entity's patches (T, K)."""
    crop = encoder.spec.crop_to_frame(size[0], size[1])
    grid = is_member.reshape(len(is_member), *encoder.grid).astype(np.float32)
    inside: NDArray[np.bool_] = crop.masks_to_frame(grid, is_smooth=False) > 0.5
    return inside


def paint(frames: NDArray[np.float32], masks: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    """Tints and outlines the masks (T, H, W) in the frames (T, H, W, 3)."""
    frames[masks] = (1 - _FILL) * frames[masks] + _FILL * np.array(colour, np.float32)
    outline(frames, masks, colour)


def outline(frames: NDArray[np.float32], masks: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    """Draws the edges of the masks (T, H, W) into the frames (T, H, W, 3)."""
    frames[masks & ~_eroded(masks)] = colour


def side_by_side(frames: NDArray[np.float32]) -> str:
    """The first and the last of frames (T, H, W, 3) as a JPEG inside an address; a single one alone."""
    shown = frames.round().astype(np.uint8)
    ends = [shown[0]] if len(shown) == 1 else [shown[0], shown[-1]]
    return _jpeg(np.concatenate(ends, axis=1))


def _eroded(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours are set as well."""
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    return masks & padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    image = Image.fromarray(pixels)
    width_px = max(1, round(image.width * _HEIGHT_PX / image.height))
    buffer = BytesIO()
    image.resize((width_px, _HEIGHT_PX), Image.Resampling.BICUBIC).save(buffer, format="JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
