"""The features of the annotated clips of moment queries: encoded now, or made elsewhere.

T features of a clip, D their width, E entities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import NotFoundError
from henasy.evaluation.annotations.egomq import MomentClip
from henasy.evaluation.encoding.clip_features import (
    encode_annotated_clips,
    feature_file,
    read_features,
    require_one_width,
)
from henasy.evaluation.encoding.dense import DenseFeatures, DenseRule, PlanRule

_LISTED = 20


class ClipFeatures(NamedTuple):
    """One clip, feature by feature: each has a step of time to itself, in the middle of the span it describes."""

    features: NDArray[np.float32]
    """(T, D)"""
    spans: NDArray[np.float64]
    """(T, 2) what each describes, in seconds of the clip."""
    step_s: float
    """Seconds from one to the next. A last one that an index plan moves nearer counts as if it were not."""
    duration_s: float
    """Length of the clip."""
    entities: NDArray[np.float32] | None = None
    """(T, E, D) L2-normalised; None where nobody encoded them."""
    is_valid: NDArray[np.bool_] | None = None
    """(T, E) whether an entity owns any patch."""

    @property
    def first_s(self) -> float:
        """When the first feature's step begins; where spans overlap, that is after the clip's start."""
        return float(self.spans[0].mean()) - self.step_s / 2

    def steps(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times in the clip as places in the row of features, which run from 0 to T."""
        places: NDArray[np.float64] = np.clip((times_s - self.first_s) / self.step_s, 0.0, len(self.features))
        return places

    def seconds(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places in the row of features as times in the clip; the two ends of the row are the clip's own."""
        times_s = np.where(places <= 0, 0.0, self.first_s + places * self.step_s)
        return np.clip(np.where(places >= len(self.features), self.duration_s, times_s), 0.0, self.duration_s)


def side_by_side(features: NDArray[np.float32], duration_s: float) -> ClipFeatures:
    """Features that share the clip evenly among them."""
    step_s = duration_s / len(features)
    starts_s = np.arange(len(features), dtype=np.float64) * step_s
    return ClipFeatures(features, np.stack([starts_s, starts_s + step_s], axis=1), step_s, duration_s)


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """The features of many clips, by clip_uid."""

    by_clip: dict[str, ClipFeatures]
    missing: tuple[str, ...]
    """A line for each clip, or part of one, without features."""

    @property
    def width(self) -> int:
        """D."""
        return int(next(iter(self.by_clip.values())).features.shape[1])


def encode_clips(
    clips: Sequence[MomentClip],
    rule: DenseRule,
    *,
    videos: Path,
    encoder: Encoder,
    is_allowing_missing: bool,
    is_cached: bool,
) -> FeatureSet:
    """The features of every clip, with entities where they lie as in an index; see `encode_annotated_clips`."""
    encoded = encode_annotated_clips(
        clips,
        rule,
        videos=videos,
        encoder=encoder,
        has_entities=isinstance(rule, PlanRule),
        is_allowing_missing=is_allowing_missing,
        is_cached=is_cached,
    )
    by_clip = {uid: _clip_features(found) for uid, found in encoded.by_clip.items()}
    return FeatureSet(by_clip=by_clip, missing=encoded.missing)


def _clip_features(found: DenseFeatures) -> ClipFeatures:
    has_entities = found.entities.shape[1] > 0
    return ClipFeatures(
        found.clip,
        found.spans,
        _step_s(found.spans),
        found.duration_s,
        found.entities if has_entities else None,
        found.is_valid if has_entities else None,
    )


def _step_s(spans: NDArray[np.float64]) -> float:
    """Seconds between neighbours; of a single one, its length."""
    return float(spans[1, 0] - spans[0, 0] if len(spans) > 1 else spans[0, 1] - spans[0, 0])


def load_clip_features(clips: Sequence[MomentClip], folder: Path, *, is_allowing_missing: bool) -> FeatureSet:
    """Features made elsewhere: `<clip_uid>.npy` or `<clip_uid>.pt`, each (T, D), evenly over the whole clip.

    Raises:
        NotFoundError: clips have no file and that is not allowed, or not one has any.
        InputError: a file holds no finite float matrix, or widths differ.
    """
    paths = {clip.clip_uid: feature_file(folder, clip.clip_uid) for clip in clips}
    missing = tuple(f"clip {uid}" for uid, path in paths.items() if path is None)
    if len(missing) == len(clips) or (missing and not is_allowing_missing):
        shown = ", ".join(missing[:_LISTED])
        raise NotFoundError(
            f"{folder}: {len(missing)} of {len(clips)} annotated clips have no <clip_uid>.npy or .pt: {shown}; "
            "--allow-missing scores the rest"
        )
    by_clip = {}
    for clip in clips:
        path = paths[clip.clip_uid]
        if path is not None:
            features = read_features(path)
            span = clip.part_of_video()
            by_clip[clip.clip_uid] = side_by_side(features, span.end_s - span.start_s)
    require_one_width(folder, (found.features for found in by_clip.values()))
    return FeatureSet(by_clip=by_clip, missing=missing)
