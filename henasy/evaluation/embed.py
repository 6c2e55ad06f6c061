"""Embeddings of annotated spans and of texts, from an encoder.

N spans, T frames, D width of the joint space.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.evaluation.span_frames import RefusedSpans, SpanBatch

_TEXT_BATCH = 256

FrameChange = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""From the frames (N, T, H, W, 3) of a batch to those the encoder is shown."""


class SpanEmbeddings(NamedTuple):
    """What the encoder makes of each span."""

    clip: NDArray[np.float32]
    """(N, D), L2-normalised; zeros where refused."""
    is_encoded: NDArray[np.bool_]
    """(N,)"""
    refused: list[RefusedSpans]


def embed_spans(
    encoder: Encoder,
    batches: Iterable[SpanBatch | RefusedSpans],
    num_spans: int,
    *,
    change: FrameChange | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> SpanEmbeddings:
    """The clip embedding of every span.

    Args:
        encoder: the model.
        batches: the frames of the spans, as `read_spans` yields them.
        num_spans: N.
        change: what to do to the frames first, for baselines that see less.
        on_progress: called with the number of spans done since the last call.
    """
    clip = np.zeros((num_spans, encoder.width), np.float32)
    is_encoded = np.zeros(num_spans, bool)
    refused = []
    for batch in batches:
        if isinstance(batch, RefusedSpans):
            refused.append(batch)
        else:
            frames = batch.frames if change is None else change(batch.frames)
            clip[batch.rows] = encode_frames(encoder, frames)
            is_encoded[batch.rows] = True
        on_progress(len(batch.rows))
    return SpanEmbeddings(clip, is_encoded, refused)


def encode_frames(encoder: Encoder, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, D) from frames (N, T, H, W, 3)."""
    count, num_frames = frames.shape[:2]
    frame_rows = np.arange(count * num_frames).reshape(count, num_frames)
    return encoder.encode_clips(frames.reshape(count * num_frames, *frames.shape[2:]), frame_rows).clip


def embed_texts(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """(N, D), L2-normalised; every distinct text is encoded once."""
    distinct = list(dict.fromkeys(texts))
    batches = [
        encoder.encode_texts(distinct[first : first + _TEXT_BATCH]) for first in range(0, len(distinct), _TEXT_BATCH)
    ]
    row_of = {text: row for row, text in enumerate(distinct)}
    return np.concatenate(batches)[[row_of[text] for text in texts]]
