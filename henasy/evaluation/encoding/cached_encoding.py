"""Raw embeddings of spans and of texts, each computed once and then taken from the cache.

Spans and texts are kept apart, so that other questions about the same clips cost no video. What is kept is not
normalised: one entry serves every similarity.

N spans, M texts, D width of the joint space, E entities, T frames, K patches.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.evaluation.encoding.embed import Described, flat_frames, gather_spans
from henasy.evaluation.encoding.embedding_cache import Arrays, load_entry, store_entry
from henasy.evaluation.encoding.frame_rules import FrameSelector, Span
from henasy.evaluation.encoding.kept_arrays import kept_groups, packed
from henasy.evaluation.encoding.span_frames import RefusedSpans, read_spans
from henasy.video.video_files import VideoFiles

_FORMAT = 2
"""Must change whenever equal keys would mean other arrays."""
NUM_THIRDS = 3
_TEXTS, _VIEWS = "texts", "views"
_GROUP_SPANS = 2048
"""Clips of a file of the cache, about: what a killed run loses at most."""
_TEXTS_AT_ONCE = 2048
"""Between two reports of progress; a report for fewer would make more batches than texts of like length fill."""
_MANY_FRAMES_SPANS = 2
"""Spans in memory at a time when each has a hundred frames and more."""


class EncodedSpans(NamedTuple):
    """Embeddings of spans as the model gives them, zeros where there are none."""

    clip: NDArray[np.float32]
    """(N, D)"""
    global_clip: NDArray[np.float32]
    """(N, D)"""
    entities: NDArray[np.float32]
    """(N, E, D); E is 0 unless they were asked for."""
    is_valid: NDArray[np.bool_]
    """(N, E)"""
    assignment: NDArray[np.uint8]
    """(N, T, K), or (N, 0, 0) where E is 0."""
    is_encoded: NDArray[np.bool_]
    """(N,)"""
    num_cut: int
    """Spans that were cut at the end of their video."""
    refused: tuple[RefusedSpans, ...]


class EncodedViews(NamedTuple):
    """Embeddings of the views of spans as the model gives them, zeros where there are none."""

    views: NDArray[np.float32]
    """(N, V, D) clip by clip, the three crops of each side by side."""
    is_encoded: NDArray[np.bool_]
    """(N,)"""
    num_cut: int
    """Spans that were cut at the end of their video."""
    refused: tuple[RefusedSpans, ...]


def encoded_spans(
    encoder: Encoder,
    spans: Sequence[Span],
    selector: FrameSelector,
    found: Mapping[str, VideoFiles],
    *,
    with_entities: bool = False,
    is_cached: bool = True,
    is_partial_welcome: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> EncodedSpans:
    """Embeddings of every span, zeros where its frames cannot be had.

    Args:
        encoder: what encodes.
        spans: what to encode.
        selector: which frames stand for a span.
        found: the files of each video; spans of other videos are refused.
        with_entities: whether the entities are wanted too.
        is_cached: whether the cache is read and written.
        is_partial_welcome: whether an entry in which spans are refused will do; otherwise their files are tried again.
        on_progress: called with the number of spans done since the last call.
    """

    def compute(group: Sequence[Span]) -> Arrays:
        batches = read_spans(group, dict(found), selector, encoder.num_frames)
        describe = _describe(encoder, with_entities=with_entities)
        gathered = gather_spans(describe, batches, len(group), on_progress=on_progress)
        return packed(gathered, _blank(encoder, len(group), with_entities=with_entities))

    kept_spans = kept_groups(
        spans,
        _GROUP_SPANS,
        lambda group: span_key(encoder, group, selector, found) | {"entities": with_entities},
        compute,
        is_cached=is_cached,
        is_partial_welcome=is_partial_welcome,
        on_progress=on_progress,
    )
    arrays = kept_spans.arrays
    return EncodedSpans(
        clip=arrays["clip"],
        global_clip=arrays["global_clip"],
        entities=arrays["entities"],
        is_valid=arrays["is_valid"],
        assignment=arrays["assignment"],
        is_encoded=kept_spans.is_encoded,
        num_cut=kept_spans.num_cut,
        refused=kept_spans.refused,
    )


def encoded_views(
    encoder: Encoder,
    spans: Sequence[Span],
    selector: FrameSelector,
    found: Mapping[str, VideoFiles],
    *,
    num_clips: int,
    is_cached: bool = True,
    is_partial_welcome: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> EncodedViews:
    """Embeddings of every span in many views: clips spread over its time, three crops of each.

    Args:
        encoder: what encodes.
        spans: what to encode.
        selector: gives the frames of all clips of a span, one clip after the other.
        found: the files of each video; spans of other videos are refused.
        num_clips: clips per span.
        is_cached: whether the cache is read and written.
        is_partial_welcome: as for `encoded_spans`.
        on_progress: called with the number of spans done since the last call.
    """

    def compute(group: Sequence[Span]) -> Arrays:
        batches = read_spans(group, dict(found), selector, encoder.num_frames, batch_spans=_MANY_FRAMES_SPANS)
        gathered = gather_spans(_describe_views(encoder, num_clips), batches, len(group), on_progress=on_progress)
        return packed(gathered, {_VIEWS: np.zeros((len(group), num_clips * NUM_THIRDS, encoder.width), np.float32)})

    kept_spans = kept_groups(
        spans,
        _GROUP_SPANS // (num_clips * NUM_THIRDS),
        lambda group: span_key(encoder, group, selector, found) | {"clips": num_clips, "thirds": NUM_THIRDS},
        compute,
        is_cached=is_cached,
        is_partial_welcome=is_partial_welcome,
        on_progress=on_progress,
    )
    return EncodedViews(
        views=kept_spans.arrays[_VIEWS],
        is_encoded=kept_spans.is_encoded,
        num_cut=kept_spans.num_cut,
        refused=kept_spans.refused,
    )


def encoded_texts(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    is_cached: bool = True,
    on_progress: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """(M, D) embeddings of texts as the model gives them; every distinct one is encoded once.

    Args:
        encoder: what encodes.
        texts: M texts.
        is_cached: whether the cache is read and written.
        on_progress: called with the number of distinct texts done since the last call.
    """
    distinct = list(dict.fromkeys(texts))
    key = encoder_key(encoder) | {"texts": digest(distinct)}
    arrays = load_entry(key) if is_cached else None
    if arrays is None:
        arrays = {_TEXTS: np.zeros((len(distinct), encoder.width), np.float32)}
        for first in range(0, len(distinct), _TEXTS_AT_ONCE):
            part = distinct[first : first + _TEXTS_AT_ONCE]
            arrays[_TEXTS][first : first + len(part)] = encoder.encode_texts(part, is_normalised=False)
            on_progress(len(part))
        if is_cached:
            store_entry(key, arrays)
    row_of = {text: row for row, text in enumerate(distinct)}
    vectors: NDArray[np.float32] = arrays[_TEXTS][[row_of[text] for text in texts]]
    return vectors


def encoder_key(encoder: Encoder) -> dict[str, object]:
    """What of an encoder fixes the bits of its embeddings."""
    return {
        "format": _FORMAT,
        "space": encoder.space_id,
        "frames": encoder.num_frames,
        "dtype": encoder.dtype,
        "device": encoder.device.type,
        "torch": torch.__version__,
    }


def span_key(
    encoder: Encoder, spans: Sequence[Span], selector: FrameSelector, found: Mapping[str, VideoFiles]
) -> dict[str, object]:
    """What fixes everything that can be computed from the frames of these spans with this encoder."""
    video_ids = sorted({span.video_id for span in spans} & set(found))
    files = [(video_id, *_file_state(found[video_id])) for video_id in video_ids]
    return {**encoder_key(encoder), "selector": selector.name, "spans": digest(spans), "videos": digest(files)}


def digest(values: Sequence[object]) -> str:
    """sha256 of a list of JSON values in this order."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _file_state(files: VideoFiles) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every file: what tells a video from another in its place."""
    states = [(path.name, path.stat()) for path in files.paths]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in states]


def _describe(encoder: Encoder, *, with_entities: bool) -> Callable[[NDArray[np.uint8]], Described]:
    names = ("clip", "global_clip", "entities", "is_valid", "assignment")

    def describe(frames: NDArray[np.uint8]) -> Described:
        encoding = encoder.encode_clips(*flat_frames(frames), is_normalised=False)
        return {name: getattr(encoding, name) for name in (names if with_entities else names[:2])}

    return describe


def _describe_views(encoder: Encoder, num_clips: int) -> Callable[[NDArray[np.uint8]], Described]:
    def describe(frames: NDArray[np.uint8]) -> Described:
        count, num_frames = frames.shape[:2]
        clips = flat_frames(frames.reshape(count * num_clips, num_frames // num_clips, *frames.shape[2:]))
        views = [encoder.encode_clips(*clips, is_normalised=False, third=third).clip for third in range(NUM_THIRDS)]
        return {_VIEWS: np.stack(views, axis=1).reshape(count, num_clips * NUM_THIRDS, -1)}

    return describe


def _blank(encoder: Encoder, count: int, *, with_entities: bool) -> Arrays:
    vectors = np.zeros((count, encoder.width), np.float32)
    entities = encoder.num_entities if with_entities else 0
    patches = (encoder.num_frames, encoder.grid[0] * encoder.grid[1]) if entities else (0, 0)
    return {
        "clip": vectors,
        "global_clip": vectors,
        "entities": np.zeros((count, entities, encoder.width), np.float32),
        "is_valid": np.zeros((count, entities), np.bool_),
        "assignment": np.zeros((count, *patches), np.uint8),
    }
