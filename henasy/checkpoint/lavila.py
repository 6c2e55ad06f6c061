"""Import of a LaViLa dual encoder: a .pth of its training becomes a checkpoint, the shapes telling the sizes.

Source: facebookresearch/LaViLa main_pretrain.py (what the file holds), lavila/models/models.py (names of the tensors).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from henasy.checkpoint.folder import Checkpoint
from henasy.checkpoint.pth import read_pth, state_of
from henasy.checkpoint.shapes import Shapes, heads_of, vision_of_shapes
from henasy.checkpoint.training_note import TrainingNote
from henasy.checkpoint.weights import fill_model
from henasy.errors import ConfigError
from henasy.model.config import DualConfig, TextConfig
from henasy.text.tokenizer import CLIP_NUM_MERGES, NUM_FIXED_TOKENS, Tokenizer, clip_tokenizer
from henasy.video.preprocess import lavila_spec

CLIP_VOCAB_SIZE = NUM_FIXED_TOKENS + CLIP_NUM_MERGES
_MODEL = "a LaViLa dual encoder with CLIP's text"


class Imported(NamedTuple):
    """An imported checkpoint and what of the file was not needed."""

    checkpoint: Checkpoint
    ignored: list[str]
    """Entries of the file beside the weights, such as the state of the optimiser."""


def import_lavila(
    path: Path,
    *,
    vision_heads: int | None = None,
    text_heads: int | None = None,
    vocabulary: Path | None = None,
) -> Imported:
    """The dual encoder of a LaViLa checkpoint, of whatever size.

    Args:
        path: the .pth file.
        vision_heads: attention heads of the video encoder; width / 64 when None.
        text_heads: attention heads of the text tower; width / 64 when None.
        vocabulary: CLIP's vocabulary file; looked for in an installed open_clip when None.

    Raises:
        NotFoundError: the file, or the vocabulary that it needs, is not there.
        CheckpointError: the file is not a checkpoint, holds objects other than tensors and argparse.Namespace, or its
            tensors are not those of a LaViLa dual encoder.
        ConfigError: the heads do not divide the width, or the vocabulary has another size.
    """
    content = read_pth(path)
    weights, ignored = state_of(content, path)
    config = config_of_shapes(weights, vision_heads=vision_heads, text_heads=text_heads, source=str(path))
    model = fill_model(config, weights, str(path))
    checkpoint = Checkpoint(
        model=model,
        spec=lavila_spec(config.vision.image_px),
        tokenizer=_tokenizer(config.text.vocab_size, config.text.context_length, vocabulary),
        training=_note(path, content),
    )
    return Imported(checkpoint, ignored)


def config_of_shapes(
    weights: Mapping[str, Tensor], *, vision_heads: int | None, text_heads: int | None, source: str
) -> DualConfig:
    """The sizes that the shapes of LaViLa's tensors tell.

    Raises:
        CheckpointError: a tensor that tells a size is missing or has another number of axes.
        ConfigError: the heads do not divide the width, or the width is no multiple of 64 and they are not given.
    """
    shapes = Shapes(weights, source, _MODEL)
    vision = vision_of_shapes(
        shapes, heads=vision_heads, activation="quick_gelu", has_patch_bias=False, has_first_norm=True
    )
    vocab_size, text_width = shapes.of("token_embedding.weight", 2)
    text_hidden = shapes.of("transformer.resblocks.0.mlp.c_fc.weight", 2)[0]
    text = TextConfig(
        width=text_width,
        heads=heads_of(text_heads, text_width, "--text-heads"),
        layers=shapes.depth("transformer.resblocks."),
        context_length=shapes.of("positional_embedding", 2)[0],
        vocab_size=vocab_size,
        mlp_ratio=text_hidden / text_width,
    )
    shapes.of("logit_scale", 0)
    temperature = math.exp(-weights["logit_scale"].item())
    joint_dim = shapes.of("image_projection", 2)[1]
    return DualConfig(vision=vision, text=text, joint_dim=joint_dim, temperature=temperature)


def _tokenizer(vocab_size: int, context_length: int, vocabulary: Path | None) -> Tokenizer | None:
    if vocabulary is None and vocab_size != CLIP_VOCAB_SIZE:
        return None
    tokenizer = clip_tokenizer(vocabulary, context_length=context_length)
    if tokenizer.vocab_size != vocab_size:
        raise ConfigError(
            f"--vocab {vocabulary}: {tokenizer.vocab_size} tokens, the checkpoint's token_embedding has "
            f"{vocab_size} rows; without --vocab it is imported without a tokenizer, for clips only"
        )
    return tokenizer


def _note(path: Path, content: Mapping[str, Any]) -> TrainingNote:
    details = {"file": path.name}
    model, epoch = getattr(content.get("args"), "model", None), content.get("epoch")
    details |= {"lavila_model": model} if isinstance(model, str) else {}
    details |= {"epoch": str(epoch)} if isinstance(epoch, int) else {}
    return TrainingNote(summary=f"Imported from {path.name}, a LaViLa dual encoder.", details=details)
