"""What can be computed from the frames of annotated spans, all of it in one pass over the videos.

N spans, T frames, D width of the joint space.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.evaluation.encoding.span_frames import RefusedSpans, SpanBatch

Description = NDArray[np.float32]
Described = Mapping[str, NDArray[Any]]
"""Arrays whose rows are the spans of a batch, by name."""
Describe = Callable[[NDArray[np.uint8]], Description]
"""From frames (N, T, H, W, 3) to (N, d)."""


class SpanDescriptions(NamedTuple):
    """What each way of describing makes of each span."""

    values: dict[str, Description]
    """(N, d) per way; zeros where refused."""
    is_described: NDArray[np.bool_]
    """(N,)"""
    refused: list[RefusedSpans]


class SpanArrays(NamedTuple):
    """Arrays about every span, by name."""

    values: dict[str, NDArray[Any]]
    """(N, ...) each; zeros where refused; empty when no span could be read."""
    is_described: NDArray[np.bool_]
    """(N,)"""
    is_cut: NDArray[np.bool_]
    """(N,) whether a span was cut at the end of its video."""
    refused: list[RefusedSpans]


def describe_spans(
    ways: Mapping[str, Describe],
    batches: Iterable[SpanBatch | RefusedSpans],
    num_spans: int,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> SpanDescriptions:
    """Every way's description of every span.

    Args:
        ways: what to compute, by name.
        batches: the frames of the spans, as `read_spans` yields them.
        num_spans: N.
        on_progress: called with the number of spans done since the last call.
    """
    found = gather_spans(
        lambda frames: {name: describe(frames) for name, describe in ways.items()},
        batches,
        num_spans,
        on_progress=on_progress,
    )
    nothing = np.zeros((num_spans, 0), np.float32)
    return SpanDescriptions({name: found.values.get(name, nothing) for name in ways}, found.is_described, found.refused)


def gather_spans(
    describe: Callable[[NDArray[np.uint8]], Described],
    batches: Iterable[SpanBatch | RefusedSpans],
    num_spans: int,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> SpanArrays:
    """The arrays that one pass makes of every span; arguments as for `describe_spans`."""
    parts: list[Described] = []
    rows: list[NDArray[np.int64]] = []
    is_cut = np.zeros(num_spans, bool)
    refused = []
    for batch in batches:
        if isinstance(batch, RefusedSpans):
            refused.append(batch)
        else:
            rows.append(batch.rows)
            is_cut[batch.rows] = batch.is_cut
            parts.append(describe(batch.frames))
        on_progress(len(batch.rows))
    described = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    is_described = np.zeros(num_spans, bool)
    is_described[described] = True
    names = parts[0] if parts else ()
    values = {name: _scattered([part[name] for part in parts], described, num_spans) for name in names}
    return SpanArrays(values, is_described, is_cut, refused)


def encode_frames(encoder: Encoder, frames: NDArray[np.uint8]) -> Description:
    """(N, D) clip embeddings of frames (N, T, H, W, 3)."""
    return encoder.encode_clips(*flat_frames(frames)).clip


def flat_frames(frames: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The frames (N * T, H, W, 3) and each span's rows of them (N, T), as encoders take them."""
    count, num_frames = frames.shape[:2]
    rows = np.arange(count * num_frames).reshape(count, num_frames)
    return frames.reshape(count * num_frames, *frames.shape[2:]), rows


def embed_texts(encoder: Encoder, texts: Sequence[str]) -> Description:
    """(N, D), L2-normalised; every distinct text is encoded once."""
    distinct = list(dict.fromkeys(texts))
    row_of = {text: row for row, text in enumerate(distinct)}
    return encoder.encode_texts(distinct)[[row_of[text] for text in texts]]


def _scattered(parts: list[NDArray[Any]], rows: NDArray[np.int64], num_spans: int) -> NDArray[Any]:
    values = np.concatenate(parts)
    full = np.zeros((num_spans, *values.shape[1:]), values.dtype)
    full[rows] = values
    return full
