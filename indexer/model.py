"""The model of a build: its facts for the driver, its encoder for the encoding processes."""

import functools
from typing import NamedTuple

import torch

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.checkpoint.training_note import TrainingNote
from henasy.index import IndexSettings
from henasy.video import ClipPlan
from indexer.ray_workers import LoadEncoder


class Model(NamedTuple):
    """What a build needs to know of its model."""

    settings: IndexSettings
    """Of the index that the model makes."""
    training: TrainingNote
    """What the weights were trained on."""
    load: LoadEncoder


def describe_model(
    name: str, *, clip_s: float, stride_s: float, num_frames: int | None, decoder: str, is_full_hash: bool
) -> Model:
    """Reads a checkpoint once to learn its space and sizes; the weights are let go again.

    Args:
        name: a folder, a hub id or the name of the shipped checkpoint.
        num_frames: frames per clip; None takes the checkpoint's own number.
        decoder: what decodes the videos, `pyav` or `decord`.
        is_full_hash: whether videos are known by all of their bytes.

    Raises:
        NotFoundError, CheckpointError, ConfigError: see `load_encoder`.
    """
    encoder = load_encoder(name, num_frames=num_frames)
    plan = ClipPlan(clip_s=clip_s, stride_s=stride_s, num_frames=encoder.num_frames)
    settings = IndexSettings(
        kind=encoder.kind,
        space_id=encoder.space_id,
        model=name,
        plan=plan,
        width=encoder.width,
        num_entities=encoder.num_entities,
        grid=encoder.grid,
        decoder=decoder,
        is_full_hash=is_full_hash,
    )
    return Model(settings, encoder.card, functools.partial(_load, name, plan.num_frames))


def _load(name: str, num_frames: int, device: str, threads: int | None) -> Encoder:
    if threads is not None:
        torch.set_num_threads(threads)
    return load_encoder(name, device=device, num_frames=num_frames)
