"""A VSLNet on EgoNLQ's questions: trained once, kept, and asked."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import CheckpointError, SpaceMismatchError
from henasy.evaluation.annotations.egonlq import EgoNlq, NlqQuery
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.span_tasks.nlq_features import NlqFeatures
from henasy.evaluation.span_tasks.nlq_predictions import Predictions
from henasy.heads.files import StoredHead, fill_head, has_head, read_head, save_head
from henasy.heads.vslnet import VslNet, VslNetConfig
from henasy.heads.vslnet_spans import as_sequence
from henasy.heads.vslnet_training import Lesson, Question, VslNetTraining, answer, train_vslnet

KIND = "vslnet"


class NlqHead(NamedTuple):
    """A head with what it was trained on."""

    network: VslNet
    space: str
    """What made its features of video and text."""
    training: str
    """How it was trained, in words."""


def trained_nlq_head(
    annotations: EgoNlq,
    features: Mapping[str, NlqFeatures],
    encoder: Encoder,
    space: str,
    settings: VslNetTraining,
    *,
    folder: Path | None,
    device: torch.device,
    report: Callable[[str], None],
) -> NlqHead:
    """The head that these questions, features and settings give: read where it was kept, trained otherwise.

    Args:
        annotations: of the training split.
        features: of its clips; questions about others are not learnt from.
        encoder: of the texts.
        space: what made the features.
        settings: how to train.
        folder: where to keep it; None for the cache, under a digest of everything it is learnt from.
        device: where to train.
        report: takes lines of progress.
    """
    queries = [query for query in annotations.queries if query.key.clip_uid in features]
    asked = questions(queries, features, encoder, settings.num_positions)
    lessons = [Lesson(one, query.start_s, query.end_s) for one, query in zip(asked, queries, strict=True)]
    kept = folder or cache_folder() / "heads" / _digest(lessons, settings)
    if not has_head(kept):
        network = train_vslnet(lessons, settings, device=device, report=report)
        training = (
            f"{settings.train.num_steps} steps of {settings.train.batch_size}, seed {settings.train.seed}, on "
            f"{len(lessons)} questions about {len(features)} clips, {settings.num_positions} positions"
        )
        facts = {"space": space, "training": training}
        save_head(kept, StoredHead(KIND, network.config.to_dict(), facts, dict(network.state_dict())))
    return load_nlq_head(kept, device=device)


def load_nlq_head(folder: Path, *, device: torch.device) -> NlqHead:
    """The head of a folder.

    Raises:
        NotFoundError: there is none.
        CheckpointError: it is of another kind, or damaged.
    """
    stored = read_head(folder, KIND)
    try:
        config = VslNetConfig(**stored.config)
        space, training = str(stored.facts["space"]), str(stored.facts["training"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: not the settings of a VSLNet: {error!r}") from error
    network = VslNet(config)
    fill_head(network, stored, str(folder))
    return NlqHead(network.to(device).requires_grad_(False), space, training)


def require_space(head: NlqHead, space: str) -> None:
    """Passes when a head was trained on such features.

    Raises:
        SpaceMismatchError: they are of another space or rule.
    """
    if head.space != space:
        raise SpaceMismatchError(f"the head was trained on features of {head.space!r}, these are of {space!r}")


def ask_head(
    head: NlqHead,
    queries: Sequence[NlqQuery],
    features: Mapping[str, NlqFeatures],
    encoder: Encoder,
    space: str,
    *,
    device: torch.device,
) -> Predictions:
    """Five spans for every question.

    Raises:
        SpaceMismatchError: the head was trained on features of another space, rule or width.
    """
    require_space(head, space)
    widths = (head.network.config.video_width, head.network.config.text_width)
    given = (next(iter(features.values())).features.shape[1], encoder.width)
    if widths != given:
        raise SpaceMismatchError(f"the head reads features and tokens {widths} wide, these are {given} wide")
    asked = questions(queries, features, encoder, head.network.config.num_positions)
    spans = answer(head.network, asked, device=device)
    return {query.key: found for query, found in zip(queries, spans, strict=True)}


def questions(
    queries: Sequence[NlqQuery], features: Mapping[str, NlqFeatures], encoder: Encoder, num_positions: int
) -> list[Question]:
    """What a head is asked: the clip as a sequence, the sentence as its tokens in the joint space.

    EgoVLP's experiments feed sentence tokens too. A token of a causal text tower has seen what comes before it; the
    last one is the sentence's own embedding.
    """
    clips = {
        uid: as_sequence(features[uid].features, features[uid].spans, features[uid].duration_s, num_positions)
        for uid in dict.fromkeys(query.key.clip_uid for query in queries)
    }
    texts = list(dict.fromkeys(query.text or "" for query in queries))
    tokens: dict[str, NDArray[np.float32]] = dict(zip(texts, encoder.encode_text_tokens(texts), strict=True))
    return [Question(clips[query.key.clip_uid], tokens[query.text or ""]) for query in queries]


def with_steps(settings: VslNetTraining, num_steps: int) -> VslNetTraining:
    """The same settings for another number of optimiser steps."""
    every = min(settings.train.checkpoint_every, num_steps)
    return replace(settings, train=replace(settings.train, num_steps=num_steps, checkpoint_every=every))


def _digest(lessons: Sequence[Lesson], settings: VslNetTraining) -> str:
    """32 hexadecimal digits of everything that fixes a trained head, but for the machine's rounding."""
    digest = hashlib.blake2b(json.dumps([KIND, asdict(settings)]).encode(), digest_size=16)
    for lesson in lessons:
        digest.update(f"{lesson.start_s!r}-{lesson.end_s!r}".encode())
        for array in (*lesson.question.clip, lesson.question.tokens):
            digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
