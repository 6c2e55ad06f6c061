"""Checkpoints that were never trained: for tests, and for measuring speed on footage with a model of real size."""

from pathlib import Path

import torch

from henasy.checkpoint.folder import Checkpoint
from henasy.checkpoint.training_note import TrainingNote
from henasy.errors import ConfigError
from henasy.model.build import build
from henasy.model.config import HenasyConfig, base, base_768, tiny
from henasy.text.tokenizer import Tokenizer, clip_tokenizer, find_clip_vocabulary, train_tokenizer
from henasy.text.words import VERBS
from henasy.video.preprocess import lavila_spec

PRESETS = ("tiny", "base", "base-768")
KINDS = ("henasy", "dual")
_TINY_VOCAB_SIZE = 700


def random_checkpoint(preset: str, kind: str, *, seed: int, vocabulary: Path | None = None) -> Checkpoint:
    """An untrained checkpoint that says so; equal seeds give equal weights.

    Args:
        preset: "tiny", "base" or "base-768".
        kind: "henasy", or "dual" for its global encoder and text tower alone.
        seed: of the weights.
        vocabulary: CLIP's vocabulary file for the base presets; looked for in an installed open_clip when None, and
            without any the checkpoint encodes clips only.

    Raises:
        ConfigError: the preset or the kind is unknown.
        NotFoundError: `vocabulary` does not exist.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset is {preset!r}; allowed: {', '.join(PRESETS)}")
    if kind not in KINDS:
        raise ConfigError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
    tokenizer = _tokenizer(preset, vocabulary)
    config = _config(preset, tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(config if kind == "henasy" else config.dual)
    summary = f"Random weights of the preset {preset}, kind {kind}, seed {seed}: not trained on anything."
    return Checkpoint(
        model=model.eval().requires_grad_(False),
        spec=lavila_spec(config.dual.vision.image_px),
        tokenizer=tokenizer,
        training=TrainingNote(summary=summary, is_random=True),
    )


def _config(preset: str, tokenizer: Tokenizer | None) -> HenasyConfig:
    if preset == "tiny":
        assert tokenizer is not None
        return tiny(vocab_size=tokenizer.vocab_size)
    return base() if preset == "base" else base_768()


def _tokenizer(preset: str, vocabulary: Path | None) -> Tokenizer | None:
    if preset == "tiny":
        context_length = tiny().dual.text.context_length
        return train_tokenizer(sorted(VERBS), _TINY_VOCAB_SIZE, context_length)
    if vocabulary is None and find_clip_vocabulary() is None:
        return None
    return clip_tokenizer(vocabulary)
