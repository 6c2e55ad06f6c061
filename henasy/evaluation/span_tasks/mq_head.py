"""The proposal head on the clips of moment queries: trained once, kept, and asked for moments."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from henasy.errors import CheckpointError, SpaceMismatchError
from henasy.evaluation.annotations.egomq import EgoMq
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.span_tasks.mq_features import ClipFeatures
from henasy.evaluation.span_tasks.mq_predictions import PredictedMoment, PredictionFile, Predictions
from henasy.heads.files import StoredHead, fill_head, has_head, read_head, save_head
from henasy.heads.proposal_training import LabelledFeatures, ProposalTraining, train_proposals
from henasy.heads.proposals import ProposalConfig, ProposalHead
from henasy.heads.soft_nms import soft_nms

KIND = "proposals"
NUM_PREDICTIONS = 200
"""Kept of a clip for each measure, as in the reference."""
_NUM_GUESSES = 100
"""Of a class in a clip, before suppression."""
_LEAST_SCORE = 1e-3
_LEAST_S = 0.1
"""Guesses cut at the ends of the clip to less than this are left out."""

Floats = NDArray[np.float64]


class MomentHead(NamedTuple):
    """A head with what its answers mean."""

    network: ProposalHead
    classes: tuple[str, ...]
    space: str
    """What made its features: a space id and the rate, or where they were read."""
    training: str
    """How it was trained, in words."""


def trained_head(
    annotations: EgoMq,
    features: Mapping[str, ClipFeatures],
    classes: tuple[str, ...],
    space: str,
    settings: ProposalTraining,
    *,
    folder: Path | None,
    device: torch.device,
    report: Callable[[str], None],
) -> MomentHead:
    """The head that these clips, features and settings give: read where it was kept, trained otherwise.

    Args:
        annotations: of the training split.
        features: of its clips; those without are not learnt from.
        classes: in the order of the head's outputs.
        space: what made the features.
        settings: how to train.
        folder: where to keep it; None for the cache, under a digest of everything it is learnt from.
        device: where to train.
        report: takes lines of progress.
    """
    windows = [
        labelled(features[clip.clip_uid], part)
        for clip, part in zip(annotations.clips, annotations.per_clip(classes), strict=True)
        if clip.clip_uid in features
    ]
    kept = folder or cache_folder() / "heads" / _digest(windows, classes, settings)
    if not has_head(kept):
        settings = _fitting(settings, windows)
        network = train_proposals(windows, len(classes), settings, device=device, report=report)
        count = sum(len(window.labels) for window in windows)
        facts = {
            "classes": list(classes),
            "space": space,
            "training": f"{settings.train.num_steps} steps, seed {settings.train.seed}, on {count} moments of "
            f"{len(windows)} clips",
        }
        save_head(kept, StoredHead(KIND, network.config.to_dict(), facts, dict(network.state_dict())))
    return load_moment_head(kept, device=device)


def load_moment_head(folder: Path, *, device: torch.device) -> MomentHead:
    """The head of a folder.

    Raises:
        NotFoundError: there is none.
        CheckpointError: it is of another kind, or damaged.
    """
    stored = read_head(folder, KIND)
    try:
        config = ProposalConfig(**stored.config)
        classes = tuple(map(str, stored.facts["classes"]))
        space, training = str(stored.facts["space"]), str(stored.facts["training"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: not the settings of a proposal head: {error!r}") from error
    if len(classes) != config.num_classes:
        raise CheckpointError(f"{folder}: {len(classes)} classes, but {config.num_classes} outputs")
    network = ProposalHead(config)
    fill_head(network, stored, str(folder))
    return MomentHead(network.to(device).requires_grad_(False), classes, space, training)


def require_same(head: MomentHead, space: str, classes: Sequence[str], width: int) -> None:
    """Passes when a head was trained on such features for such classes.

    Raises:
        SpaceMismatchError: the features are of another space, rate or width.
        CheckpointError: the annotations have classes that the head does not know.
    """
    if head.space != space or head.network.config.width != width:
        raise SpaceMismatchError(
            f"the head was trained on features of {head.space!r}, {head.network.config.width} wide; these are of "
            f"{space!r}, {width} wide"
        )
    unknown = sorted(set(classes) - set(head.classes))
    if unknown:
        raise CheckpointError(f"the head knows {len(head.classes)} classes, and not {unknown[:5]}")


def predict(head: MomentHead, annotations: EgoMq, features: Mapping[str, ClipFeatures]) -> PredictionFile:
    """The moments of every clip that has features: the surest of all classes, and the surest of those asked for.

    Moment queries ask for the classes that are annotated in a clip, so that the reference fills its list for recall
    with these alone.
    """
    detection: Predictions = {}
    retrieval: Predictions = {}
    for clip in annotations.clips:
        if clip.clip_uid in features:
            by_class = propose(head, features[clip.clip_uid])
            asked = {moment.label for moment in clip.moments}
            detection[clip.clip_uid] = surest(by_class, head.classes)
            retrieval[clip.clip_uid] = surest(by_class, asked)
    return PredictionFile(detection=detection, retrieval=retrieval)


def surest(by_class: Mapping[str, list[PredictedMoment]], wanted: Sequence[str] | set[str]) -> list[PredictedMoment]:
    """The surest moments of the wanted classes, at most as many as the reference keeps; equal scores by class."""
    moments = [moment for label in sorted(wanted) for moment in by_class.get(label, [])]
    return sorted(moments, key=lambda moment: -moment.score)[:NUM_PREDICTIONS]


@torch.inference_mode()
def propose(head: MomentHead, clip: ClipFeatures) -> dict[str, list[PredictedMoment]]:
    """Moments of every class in one clip, surest first, overlapping ones lowered (soft-NMS within the class)."""
    device = next(head.network.parameters()).device
    features = torch.from_numpy(np.array(clip.features, np.float32))[None].to(device)
    output = head.network(features, torch.ones(1, features.shape[1], dtype=torch.bool, device=device))
    scores = output.logits[0].sigmoid().T.double().cpu().numpy()
    spans_s = clip.seconds(output.spans[0].double().cpu().numpy())
    is_usable = output.is_real[0].cpu().numpy() & (spans_s[:, 1] - spans_s[:, 0] >= _LEAST_S)
    spans_s, scores = spans_s[is_usable], scores[:, is_usable]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :_NUM_GUESSES]
    kept = soft_nms(spans_s[best], np.take_along_axis(scores, best, axis=1))
    return {
        label: [
            PredictedMoment(label, float(spans_s[row][0]), float(spans_s[row][1]), float(score))
            for row, score in zip(best[number][kept.order[number]], kept.scores[number], strict=True)
            if score >= _LEAST_SCORE
        ]
        for number, label in enumerate(head.classes)
    }


def labelled(clip: ClipFeatures, moments: tuple[Floats, NDArray[np.int64]]) -> LabelledFeatures:
    """A clip's features with its moments (spans in seconds (N, 2), classes (N,)) in units of features.

    Moments without length, which nothing can find, and those that lie beside all features are left out.
    """
    spans_s, labels = moments
    spans = clip.steps(spans_s)
    has_length = spans[:, 1] > spans[:, 0]
    return LabelledFeatures(clip.features, spans[has_length], labels[has_length])


def with_steps(settings: ProposalTraining, num_steps: int) -> ProposalTraining:
    """The same settings for another number of optimiser steps."""
    every = min(settings.train.checkpoint_every, num_steps)
    return replace(settings, train=replace(settings.train, num_steps=num_steps, checkpoint_every=every))


def _fitting(settings: ProposalTraining, windows: Sequence[LabelledFeatures]) -> ProposalTraining:
    """The settings with crops no longer than the longest clip."""
    return replace(settings, crop=min(settings.crop, max((len(window.features) for window in windows), default=1)))


def _digest(windows: Sequence[LabelledFeatures], classes: Sequence[str], settings: ProposalTraining) -> str:
    """32 hexadecimal digits of everything that fixes a trained head, but for the machine's rounding."""
    digest = hashlib.blake2b(json.dumps([KIND, asdict(settings), list(classes)]).encode(), digest_size=16)
    for window in windows:
        for array in window:
            digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
