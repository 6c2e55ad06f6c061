"""The features of the clips that EgoNLQ asks about: encoded now, or made elsewhere.

N features of a clip, D their width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import InputError, NotFoundError
from henasy.evaluation.annotations.egonlq import NlqClip
from henasy.evaluation.encoding.clip_features import (
    encode_annotated_clips,
    feature_file,
    read_features,
    require_one_width,
    shown,
)
from henasy.evaluation.encoding.dense import DenseFeatures, DenseRule
from henasy.heads.vslnet_spans import even_spans

_REFERENCE_RATE = 30 / 16
"""Features per second of the whole-video files that Ego4D publishes."""


class NlqFeatures(NamedTuple):
    """One clip, feature by feature, in order of time."""

    features: NDArray[np.float32]
    """(N, D)"""
    spans: NDArray[np.float64]
    """(N, 2) what each describes, in seconds of the clip."""
    duration_s: float
    """Length of the clip."""
    entities: NDArray[np.float32] | None = None
    """(N, E, D) L2-normalised, where they were asked for and the encoder has any."""
    is_valid: NDArray[np.bool_] | None = None
    """(N, E) whether an entity owns any patch."""


@dataclass(frozen=True, kw_only=True)
class NlqFeatureSet:
    """The features of many clips, by clip_uid."""

    by_clip: dict[str, NlqFeatures]
    missing: tuple[str, ...]
    """A line for each clip, or part of one, without features."""


def encode_nlq_clips(
    clips: Sequence[NlqClip],
    videos: Path,
    encoder: Encoder,
    rule: DenseRule,
    *,
    has_entities: bool = False,
    is_allowing_missing: bool,
    is_cached: bool,
) -> NlqFeatureSet:
    """L2-normalised embeddings of every clip that is asked about; see `encode_annotated_clips`."""
    encoded = encode_annotated_clips(
        clips,
        rule,
        videos=videos,
        encoder=encoder,
        has_entities=has_entities,
        is_allowing_missing=is_allowing_missing,
        is_cached=is_cached,
    )
    by_clip = {uid: _readable(found) for uid, found in encoded.by_clip.items()}
    return NlqFeatureSet(by_clip=by_clip, missing=encoded.missing)


def load_nlq_features(clips: Sequence[NlqClip], folder: Path, *, is_allowing_missing: bool) -> NlqFeatureSet:
    """Features made elsewhere, as VSLNet's code reads them: a float matrix (N, D) in a `.npy` or `.pt` file.

    `<clip_uid>` lies evenly over its clip. `<video_uid>` holds a whole video at 30/16 features a second, of which a
    clip takes its part. A `.pt` file is read without running anything in it.

    Raises:
        NotFoundError: clips have no file and that is not allowed, or not one has any.
        InputError: a file holds no finite float matrix, is too short for its clip, or widths differ.

    Source: EGO4D/episodic-memory NLQ/VSLNet/utils/prepare_ego4d_dataset.py.
    """
    found = {clip.clip_uid: _features_of(clip, folder) for clip in clips}
    missing = tuple(f"clip {uid}: no file of features" for uid, features in found.items() if features is None)
    if len(missing) == len(clips) or (missing and not is_allowing_missing):
        raise NotFoundError(
            f"{folder}: {len(missing)} of {len(clips)} clips have no <clip_uid> or <video_uid> .npy or .pt:\n"
            f"{shown(missing)}\n--allow-missing scores the rest"
        )
    by_clip = {uid: features for uid, features in found.items() if features is not None}
    require_one_width(folder, (features.features for features in by_clip.values()))
    return NlqFeatureSet(by_clip=by_clip, missing=missing)


def _readable(found: DenseFeatures) -> NlqFeatures:
    """The features that there are; what could not be read leaves a gap."""
    kept = found.is_encoded
    if not found.entities.shape[1]:
        return NlqFeatures(found.clip[kept], found.spans[kept], found.duration_s)
    return NlqFeatures(
        found.clip[kept], found.spans[kept], found.duration_s, found.entities[kept], found.is_valid[kept]
    )


def _features_of(clip: NlqClip, folder: Path) -> NlqFeatures | None:
    duration_s = clip.end_s - clip.start_s
    own, whole = (feature_file(folder, uid) for uid in (clip.clip_uid, clip.video_uid))
    if own is not None:
        features = read_features(own)
    elif whole is not None:
        first, last = int(clip.start_s * _REFERENCE_RATE), int(clip.end_s * _REFERENCE_RATE) + 1
        features = read_features(whole)[first:last]
        if len(features) < math.floor(duration_s * _REFERENCE_RATE) - 1:
            raise InputError(
                "features",
                f"{whole} ends before clip {clip.clip_uid} ({clip.start_s:.1f} to {clip.end_s:.1f} s): at "
                f"{_REFERENCE_RATE} features a second it needs rows {first} to {last}",
            )
    else:
        return None
    return NlqFeatures(features, even_spans(len(features), duration_s), duration_s)
