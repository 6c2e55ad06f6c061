"""The classes of moment queries put as texts to the project's moment search, with nothing trained for them.

T features of a clip, C classes, D width of the joint space.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.evaluation.annotations.egomq import EgoMq
from henasy.evaluation.encoding.clip_features import text_evidence
from henasy.evaluation.span_tasks.mq_features import ClipFeatures
from henasy.evaluation.span_tasks.mq_head import surest
from henasy.evaluation.span_tasks.mq_predictions import PredictedMoment, PredictionFile, Predictions
from henasy.search.moments import MomentRule, find_moments

_NUM_DISJOINT = 10
"""Of each class in a clip, for the average precision: a second answer in the same place only costs there."""
_MAX_IOU = 0.5
"""For the recall, where near misses on either side of an answer may be right."""


def search_classes(
    annotations: EgoMq, features: Mapping[str, ClipFeatures], classes: tuple[str, ...], encoder: Encoder
) -> PredictionFile:
    """Moments of every class in every clip that has features, scored as the moment search scores them."""
    texts = dict(zip(classes, encoder.encode_texts([class_text(label) for label in classes]), strict=True))
    disjoint = MomentRule(max_moments=_NUM_DISJOINT)
    detection: Predictions = {}
    retrieval: Predictions = {}
    for clip in annotations.clips:
        if clip.clip_uid not in features:
            continue
        found = features[clip.clip_uid]
        asked = [moment.label for moment in clip.moments]
        by_class = {label: _find(label, found, text, disjoint) for label, text in texts.items()}
        detection[clip.clip_uid] = surest(by_class, classes)
        rules = {label: MomentRule(max_moments=5 * asked.count(label), max_iou=_MAX_IOU) for label in set(asked)}
        overlapping = {label: _find(label, found, texts[label], rule) for label, rule in rules.items()}
        retrieval[clip.clip_uid] = [moment for label in sorted(overlapping) for moment in overlapping[label]]
    return PredictionFile(detection=detection, retrieval=retrieval)


def class_text(label: str) -> str:
    """A class name as somebody would type it: "stir_/_mix_food_while_cooking" is "stir or mix food while cooking"."""
    return label.strip('"').replace("_/_", " or ").replace("_", " ")


def _find(label: str, clip: ClipFeatures, text: NDArray[np.float32], rule: MomentRule) -> list[PredictedMoment]:
    scores = text_evidence(clip.features, clip.entities, clip.is_valid, text)
    moments = find_moments(clip.spans[:, 0], clip.spans[:, 1], scores, vectors=clip.features, rule=rule)
    return [
        PredictedMoment(label, float(start_s), float(end_s), float(score))
        for (start_s, end_s), score in zip(moments.spans, moments.scores, strict=True)
    ]
