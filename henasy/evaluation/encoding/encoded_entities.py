"""The entities of annotated spans and the embeddings of texts that are to meet them.

N spans, M texts, D width of the joint space.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import UnsupportedError
from henasy.evaluation.encoding.cached_encoding import encoded_spans, encoded_texts
from henasy.evaluation.encoding.encoded import compared_vectors
from henasy.evaluation.encoding.frame_rules import FrameSelector, Span
from henasy.evaluation.encoding.source import Similarity
from henasy.evaluation.encoding.span_frames import RefusedSpans
from henasy.evaluation.metrics.entity_overlap import ClipEntities
from henasy.video.video_files import VideoFiles


class EncodedEntities(NamedTuple):
    """Entities and texts in one space."""

    clips: list[ClipEntities | None]
    """(N) None where a span cannot be read"""
    texts: NDArray[np.float32]
    """(M, D)"""
    refused: tuple[RefusedSpans, ...]
    """Spans that cannot be read, and why"""


def encoded_entities(
    encoder: Encoder,
    spans: Sequence[Span],
    texts: Sequence[str],
    selector: FrameSelector,
    found: Mapping[str, VideoFiles],
    *,
    similarity: Similarity,
    is_cached: bool,
    is_partial_welcome: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> EncodedEntities:
    """The entities of every span that can be read; arguments as for `encoded_spans`.

    Raises:
        UnsupportedError: if the encoder has no entities.
    """
    if encoder.num_entities == 0:
        raise UnsupportedError(f"an encoder of kind {encoder.kind} has no entities, hence no masks")
    encoded = encoded_spans(
        encoder,
        spans,
        selector,
        found,
        with_entities=True,
        is_cached=is_cached,
        is_partial_welcome=is_partial_welcome,
        on_progress=on_progress,
    )
    columns = (compared_vectors(encoded.entities, similarity), encoded.is_valid, encoded.assignment)
    clips = [
        ClipEntities(*of_clip) if is_encoded else None
        for *of_clip, is_encoded in zip(*columns, encoded.is_encoded, strict=True)
    ]
    embedded = compared_vectors(encoded_texts(encoder, texts, is_cached=is_cached), similarity)
    return EncodedEntities(clips, embedded, encoded.refused)
