"""Embeddings of whole videos, or of long parts of them, at a steady rate: what span-finding methods look at.

N features of a window, T frames, K patches per frame, E entities, D width of the joint space.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from henasy.checkpoint.encoder import Encoder
from henasy.errors import ConfigError, HenasyError, InputError, VideoError
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.encoding.dense_cache import DenseCache
from henasy.evaluation.encoding.encoded import progress_bar
from henasy.video.clips import ClipBatch, read_clips
from henasy.video.fingerprint import fingerprint
from henasy.video.plan import ClipPlan
from henasy.video.probe import probe

EGOVLP_RATE = 1.87
_PAST_END_S = 2.0
"""Annotated windows of Ego4D differ from their videos by up to 1.9 s; a video that is shorter still is another one."""


class DenseRule(Protocol):
    """Cuts a window of a video into the spans that get a feature each."""

    @property
    def name(self) -> str:
        """What tells this rule from any other; part of a cached file's name."""
        ...

    @property
    def said(self) -> str:
        """The rule in words, for a result's facts."""
        ...

    def spans(self, duration_s: float, num_frames: int) -> NDArray[np.float64]:
        """(N, 2) seconds from the window's start, in order of time; T frames are taken from each."""
        ...


@dataclass(frozen=True, kw_only=True)
class PlanRule:
    """Overlapping clips, as an index holds them."""

    window_s: float = 2.0
    stride_s: float = 1.0

    @property
    def name(self) -> str:
        """See `DenseRule`."""
        return f"plan-{self.window_s:g}-{self.stride_s:g}"

    @property
    def said(self) -> str:
        """See `DenseRule`."""
        return f"clips of {self.window_s:g} s, one every {self.stride_s:g} s, as an index has them"

    def spans(self, duration_s: float, num_frames: int) -> NDArray[np.float64]:
        """The clips of `ClipPlan`, tail included."""
        plan = ClipPlan(clip_s=self.window_s, stride_s=self.stride_s, num_frames=num_frames)
        return plan.spans(duration_s)


@dataclass(frozen=True, kw_only=True)
class RateRule:
    """Features side by side: frames are sampled evenly over the window, every T consecutive ones make a feature.

    Source: showlab/EgoVLP data_loader/Ego4D_NLQ_dataset.py and run/test_nlq.py (PROTOCOLS section 3.5). The number of
    features and their places are the reference's; a rest of fewer than T frames gets none. The reference encodes in
    batches of 4 and leaves the last few features of a window zero; here all are encoded.
    """

    features_per_s: float = EGOVLP_RATE

    def __post_init__(self) -> None:
        if not 0 < self.features_per_s <= 100:
            raise ConfigError(f"features_per_s must be above 0 and at most 100, got {self.features_per_s}")

    @property
    def name(self) -> str:
        """See `DenseRule`."""
        return f"rate-{self.features_per_s:g}"

    @property
    def said(self) -> str:
        """See `DenseRule`."""
        return f"{self.features_per_s:g} a second, side by side, as EgoVLP's"

    def spans(self, duration_s: float, num_frames: int) -> NDArray[np.float64]:
        """Neighbouring spans of equal length; a window too short for one is one span."""
        num_sampled = max(int(duration_s * self.features_per_s * num_frames), num_frames)
        edges = np.arange(num_sampled // num_frames + 1) * (duration_s * num_frames / num_sampled)
        return np.stack([edges[:-1], np.minimum(edges[1:], duration_s)], axis=1)


class Window(NamedTuple):
    """A part of a video file that is to be described as if it were a video of its own."""

    uid: str
    """Under which its features are found: a clip's uid, a video's uid."""
    path: Path
    start_s: float = 0.0
    end_s: float | None = None
    """None for the end of the video."""


class DenseFeatures(NamedTuple):
    """What an encoder says of a window, span by span. Large arrays are maps of the cached files: copy to change."""

    spans: NDArray[np.float64]
    """(N, 2) start and end in seconds from the window's start, in order of time."""
    clip: NDArray[np.float32]
    """(N, D) L2-normalised; zeros where it could not be read."""
    is_encoded: NDArray[np.bool_]
    """(N,)"""
    entities: NDArray[np.float32]
    """(N, E, D) L2-normalised; (N, 0, D) if not asked for or the encoder has none."""
    is_valid: NDArray[np.bool_]
    """(N, E) whether an entity owns any patch."""
    assignment: NDArray[np.uint8]
    """(N, T, K) the entity of each patch; (N, 0, 0) where there are no entities."""
    duration_s: float
    """Length of the window."""

    @property
    def starts_s(self) -> NDArray[np.float64]:
        """(N,)"""
        return self.spans[:, 0]

    @property
    def ends_s(self) -> NDArray[np.float64]:
        """(N,)"""
        return self.spans[:, 1]


class DenseSet(NamedTuple):
    """The features of every window that could be read, and what could not."""

    features: dict[str, DenseFeatures]
    refused: dict[str, str]
    """By uid, why a window has no features."""
    faults: dict[str, str]
    """By uid, why some spans of a window have none; its other features are there."""

    def listed(self) -> list[str]:
        """A line for each window with something missing."""
        return [f"{uid}: {reason}" for uid, reason in [*self.refused.items(), *self.faults.items()]]


def dense_features(
    encoder: Encoder,
    windows: Sequence[Window],
    rule: DenseRule,
    *,
    has_entities: bool = False,
    is_caching: bool = True,
) -> DenseSet:
    """The features of every window, from the cache where it has them.

    A finished window is written at once, so an interrupted run goes on after it. Memory holds the frames of one batch
    and, without the cache, the features.

    Args:
        encoder: its space, with its number of frames and its type of arithmetic, fixes the features.
        windows: what to describe; uids must differ.
        rule: where the features lie.
        has_entities: whether entities are wanted too, for encoders that have them.
        is_caching: whether to read and write `<cache folder>/dense`.

    Raises:
        InputError: a uid occurs twice, or a window is empty.
    """
    _check(windows)
    wants_entities = has_entities and encoder.num_entities > 0
    cache = DenseCache(_cache_root(encoder, rule)) if is_caching else None
    found = DenseSet({}, {}, {})
    with progress_bar() as progress:
        task = progress.add_task("features of whole videos", total=len(windows))
        for window in windows:
            try:
                features, fault = _features_of(encoder, window, rule, wants_entities, cache, progress)
            except HenasyError as error:
                found.refused[window.uid] = str(error)
            else:
                found.features[window.uid] = features
                if fault:
                    found.faults[window.uid] = fault
            progress.advance(task)
    return found


def _features_of(
    encoder: Encoder,
    window: Window,
    rule: DenseRule,
    wants_entities: bool,
    cache: DenseCache | None,
    progress: Progress,
) -> tuple[DenseFeatures, str]:
    """The features of one window, and why some of them are missing."""
    if cache is None:
        return compute_dense(encoder, window, rule, has_entities=wants_entities, progress=progress)
    name = _cache_name(window)
    stored = cache.read(name, has_entities=wants_entities)
    if stored is None:
        computed, fault = compute_dense(encoder, window, rule, has_entities=wants_entities, progress=progress)
        arrays = computed._asdict()
        duration_s = arrays.pop("duration_s")
        cache.write(name, arrays, has_entities=wants_entities, duration_s=duration_s, fault=fault)
        # Maps of the files that were just written leave the arrays themselves to be freed.
        stored = cache.read(name, has_entities=wants_entities)
        if stored is None:
            return computed, fault
    return DenseFeatures(**stored.arrays, duration_s=stored.duration_s), stored.fault


def compute_dense(
    encoder: Encoder,
    window: Window,
    rule: DenseRule,
    *,
    has_entities: bool = False,
    progress: Progress | None = None,
) -> tuple[DenseFeatures, str]:
    """The features of one window, computed now, and why some spans have none (empty if all have).

    Raises:
        VideoError: the file cannot be read, is shorter than the window, or not one span of it can be read.
    """
    start_s, end_s = _bounds(window)
    spans = rule.spans(end_s - start_s, encoder.num_frames)
    num_entities = encoder.num_entities if has_entities else 0
    patches = (encoder.num_frames, encoder.grid[0] * encoder.grid[1]) if num_entities else (0, 0)
    found = DenseFeatures(
        spans=spans,
        clip=np.zeros((len(spans), encoder.width), np.float32),
        is_encoded=np.zeros(len(spans), bool),
        entities=np.zeros((len(spans), num_entities, encoder.width), np.float32),
        is_valid=np.zeros((len(spans), num_entities), bool),
        assignment=np.zeros((len(spans), *patches), np.uint8),
        duration_s=end_s - start_s,
    )
    reasons: list[str] = []
    task = progress.add_task(window.uid[:24], total=len(spans)) if progress else None
    for batch in read_clips(window.path, spans + start_s, encoder.num_frames):
        if isinstance(batch, ClipBatch):
            _encode_into(found, encoder, batch)
        else:
            reasons.append(f"{len(batch.rows)} of {len(spans)} spans cannot be read: {batch.reason}")
        if progress and task is not None:
            progress.advance(task, len(batch.clip_rows if isinstance(batch, ClipBatch) else batch.rows))
    if progress and task is not None:
        progress.remove_task(task)
    if not found.is_encoded.any():
        raise VideoError(f"{window.path}: {'; '.join(reasons)}")
    return found, "; ".join(reasons)


def _encode_into(found: DenseFeatures, encoder: Encoder, batch: ClipBatch) -> None:
    encoding = encoder.encode_clips(batch.frames, batch.frame_rows)
    found.clip[batch.clip_rows] = encoding.clip
    found.is_encoded[batch.clip_rows] = True
    if found.entities.shape[1]:
        found.entities[batch.clip_rows] = encoding.entities
        found.is_valid[batch.clip_rows] = encoding.is_valid
        found.assignment[batch.clip_rows] = encoding.assignment


def _bounds(window: Window) -> tuple[float, float]:
    """Start and end in the video, which may end a little before its annotation says."""
    duration_s = probe(window.path).duration_s
    end_s = duration_s if window.end_s is None else min(window.end_s, duration_s)
    if (window.end_s is not None and window.end_s > duration_s + _PAST_END_S) or window.start_s >= end_s:
        raise VideoError(
            f"{window.path}: lasts {duration_s:.3f} s, the window is {window.start_s:.3f} to {window.end_s} s"
        )
    return window.start_s, end_s


def _check(windows: Sequence[Window]) -> None:
    uids: set[str] = set()
    for window in windows:
        if window.uid in uids:
            raise InputError("windows", f"{window.uid!r} occurs twice")
        uids.add(window.uid)
        if not (window.start_s >= 0 and (window.end_s is None or window.start_s < window.end_s < float("inf"))):
            raise InputError("windows", f"{window.uid!r} is {window.start_s} to {window.end_s}; needs 0 <= start < end")


def _cache_root(encoder: Encoder, rule: DenseRule) -> Path:
    dtype = str(encoder.dtype).removeprefix("torch.")
    return cache_folder() / "dense" / f"{encoder.space_id}-{dtype}-{rule.name}"


def _cache_name(window: Window) -> str:
    """32 hexadecimal digits of the video's content and the window in it."""
    start_s, end_s = _bounds(window)
    bounds = f"{start_s:.3f}-{end_s:.3f}"
    return hashlib.blake2b(f"{fingerprint(window.path)}:{bounds}".encode(), digest_size=16).hexdigest()
