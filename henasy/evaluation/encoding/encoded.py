"""The embeddings of a benchmark's spans and texts, with the facts that fix them. The one step that needs a model.

They are kept in the cache by everything that fixes them: space, number type, kind of device, frame rule, the spans
and texts that the annotations name, and the video files. Scores are computed anew each time.

N spans, M texts, D width of the joint space, E entities, T frames, K patches.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.errors import NotFoundError, VideoError
from henasy.evaluation.encoding.cached_encoding import (
    NUM_THIRDS,
    EncodedSpans,
    EncodedViews,
    encoded_spans,
    encoded_texts,
    encoded_views,
)
from henasy.evaluation.encoding.frame_rules import MAX_PAST_END_S, FrameSelector, Span
from henasy.evaluation.encoding.source import Similarity, VideoSource
from henasy.evaluation.encoding.span_frames import RefusedSpans
from henasy.video.video_files import VideoFiles, annotated_videos, missing_videos

_LISTED = 100


class Encoded(NamedTuple):
    """Embeddings in the order of the spans and the texts; L2-normalised for cosine, as the model gives them for dot."""

    clip: NDArray[np.float32]
    """(N, D), zeros where there is none."""
    is_encoded: NDArray[np.bool_]
    """(N,)"""
    texts: NDArray[np.float32]
    """(M, D)"""
    facts: dict[str, object]
    """What fixes the embeddings, for people and for the JSON file."""
    global_clip: NDArray[np.float32]
    """(N, D) of the global encoder alone."""
    entities: NDArray[np.float32]
    """(N, E, D); E is 0 unless they were asked for, and for a dual encoder."""
    is_valid: NDArray[np.bool_]
    """(N, E) whether an entity owns any patch."""
    assignment: NDArray[np.uint8]
    """(N, T, K) entity of each patch; (N, 0, 0) where E is 0."""


class EncodedMany(NamedTuple):
    """Embeddings in the order of the spans and the texts, as in `Encoded`, with many views of each span."""

    views: NDArray[np.float32]
    """(N, V, D), zeros where there is none."""
    is_encoded: NDArray[np.bool_]
    """(N,)"""
    texts: NDArray[np.float32]
    """(M, D)"""
    facts: dict[str, object]


def encode_annotated(
    spans: Sequence[Span],
    texts: Sequence[str],
    selector: FrameSelector,
    source: VideoSource,
    annotations: str,
    *,
    with_entities: bool = False,
) -> Encoded:
    """Embeddings of every span and of every text, from the cache where it has them.

    Args:
        spans: what to encode.
        texts: repeated ones are encoded once.
        selector: which frames stand for a span.
        source: model and videos, similarity, whether the cache may be used, whether spans may be missing.
        annotations: sha256 of the annotation files, for the facts.
        with_entities: whether the entities are wanted too.

    Raises:
        NotFoundError: if videos are missing and that is not allowed; the message lists them.
        VideoError: the same for spans that cannot be read, and in any case if not one can.
    """
    found = available_videos(spans, source.videos, is_allowing_missing=source.is_allowing_missing)
    encoder = load_encoder(source.model, device=source.device, num_frames=source.num_frames)
    with _progress("clips", len(spans)) as on_progress:
        encoded = encoded_spans(
            encoder,
            spans,
            selector,
            found,
            with_entities=with_entities,
            is_cached=source.is_cached,
            is_partial_welcome=source.is_allowing_missing,
            on_progress=on_progress,
        )
    return Encoded(
        clip=compared_vectors(encoded.clip, source.similarity),
        is_encoded=encoded.is_encoded,
        texts=_text_vectors(encoder, texts, source),
        facts=_facts(encoder, source, annotations, encoded, len(spans)),
        global_clip=compared_vectors(encoded.global_clip, source.similarity),
        entities=compared_vectors(encoded.entities, source.similarity),
        is_valid=encoded.is_valid,
        assignment=encoded.assignment,
    )


def encode_many_views(
    spans: Sequence[Span],
    texts: Sequence[str],
    selector: FrameSelector,
    source: VideoSource,
    annotations: str,
    *,
    num_clips: int,
) -> EncodedMany:
    """Embeddings of every span in `num_clips` clips of three crops each, and of every text.

    `selector` gives the frames of all clips of a span, one clip after the other. Else as `encode_annotated`.
    """
    found = available_videos(spans, source.videos, is_allowing_missing=source.is_allowing_missing)
    encoder = load_encoder(source.model, device=source.device, num_frames=source.num_frames)
    with _progress("clips", len(spans)) as on_progress:
        encoded = encoded_views(
            encoder,
            spans,
            selector,
            found,
            num_clips=num_clips,
            is_cached=source.is_cached,
            is_partial_welcome=source.is_allowing_missing,
            on_progress=on_progress,
        )
    facts = _facts(encoder, source, annotations, encoded, len(spans))
    crops = f"{encoder.spec.image_px} px, {NUM_THIRDS} crops, antialias {encoder.spec.is_antialiased}"
    return EncodedMany(
        views=compared_vectors(encoded.views, source.similarity),
        is_encoded=encoded.is_encoded,
        texts=_text_vectors(encoder, texts, source),
        facts=facts | {"image": crops, "clips": num_clips},
    )


def encoder_facts(model: str, encoder: Encoder, *, is_rendered: bool) -> dict[str, object]:
    """What of an encoder fixes its embeddings, and what must be said of its weights on these videos."""
    facts: dict[str, object] = {
        "model": f"{model} ({encoder.kind})",
        "space": encoder.space_id,
        "frames": encoder.num_frames,
        "image": f"{encoder.spec.image_px} px, crop {encoder.spec.crop}, antialias {encoder.spec.is_antialiased}",
        "computed": f"{encoder.device}, {str(encoder.dtype).removeprefix('torch.')}",
    }
    warning = encoder.card.warning()
    if warning is not None and (encoder.card.is_random or not is_rendered):
        facts["warning"] = warning
    return facts


def available_videos(spans: Sequence[Span], folder: Path, *, is_allowing_missing: bool) -> dict[str, VideoFiles]:
    """The files of every annotated video.

    Raises:
        NotFoundError: if some are missing and that is not allowed; the message lists them.
    """
    wanted = {span.video_id for span in spans}
    found = annotated_videos(folder, wanted)
    missing = missing_videos(wanted, found)
    if missing and not is_allowing_missing:
        shown = ", ".join(missing[:_LISTED]) + (", ..." if len(missing) > _LISTED else "")
        raise NotFoundError(
            f"{folder}: {len(missing)} annotated videos are not there: {shown}; --allow-missing scores the rest"
        )
    return found


def compared_vectors(vectors: NDArray[np.float32], similarity: Similarity) -> NDArray[np.float32]:
    """The model's vectors (..., D) as the similarity takes them: of length 1 for cosine, as they are for dot."""
    if similarity == "dot":
        return vectors
    unit: NDArray[np.float32] = F.normalize(torch.from_numpy(vectors), dim=-1).numpy()
    return unit


def refusal_facts(refused: Sequence[RefusedSpans], *, num_spans: int, is_allowed: bool) -> dict[str, object]:
    """What must be said of spans that cannot be read; nothing where there are none.

    Raises:
        VideoError: if that is not allowed, or not one of the spans can be read.
    """
    if not refused:
        return {}
    listed = _listed(refused)
    if sum(len(part.rows) for part in refused) == num_spans:
        raise VideoError(f"not one annotated span can be read\n{listed}")
    if not is_allowed:
        raise VideoError(f"{listed}\n--allow-missing scores the rest")
    return {"refused": listed}


def _listed(refused: Sequence[RefusedSpans]) -> str:
    lines = [f"{len(part.rows)} spans: {part.reason}" for part in refused]
    rest = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join([f"{sum(len(part.rows) for part in refused)} spans cannot be read", *lines[:_LISTED], *rest])


def _text_vectors(encoder: Encoder, texts: Sequence[str], source: VideoSource) -> NDArray[np.float32]:
    with _progress("texts", len(set(texts))) as on_progress:
        vectors = encoded_texts(encoder, texts, is_cached=source.is_cached, on_progress=on_progress)
    return compared_vectors(vectors, source.similarity)


def _facts(
    encoder: Encoder, source: VideoSource, annotations: str, encoded: EncodedSpans | EncodedViews, num_spans: int
) -> dict[str, object]:
    facts = encoder_facts(source.model, encoder, is_rendered=source.is_rendered)
    facts |= {"similarity": source.similarity, "annotations sha256": annotations}
    if encoded.num_cut:
        facts["ends"] = (
            f"{encoded.num_cut} of {num_spans} spans end up to {MAX_PAST_END_S:g} s after their video;"
            " they were cut at its end"
        )
    return facts | refusal_facts(encoded.refused, num_spans=num_spans, is_allowed=source.is_allowing_missing)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    with progress_bar() as progress:
        task = progress.add_task(f"encoding {what}", total=total)
        yield lambda count: progress.advance(task, count)


def progress_bar() -> Progress:
    """A bar on standard error that leaves nothing behind."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
