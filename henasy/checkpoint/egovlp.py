"""Import of EgoVLP: a .pth of its own training, or LaViLa's conversion of one, becomes a checkpoint of kind dual.

No published file could be opened where this was written; the layout is that of the two repositories.

Source: showlab/EgoVLP model/model.py and base/base_trainer.py, facebookresearch/LaViLa scripts/convert_egovlp_ckpt.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from henasy.checkpoint.folder import Checkpoint
from henasy.checkpoint.lavila import Imported
from henasy.checkpoint.pth import Unread, read_pth, state_of
from henasy.checkpoint.shapes import Shapes, heads_of, vision_of_shapes
from henasy.checkpoint.training_note import TrainingNote
from henasy.checkpoint.weights import fill_model
from henasy.errors import CheckpointError, ConfigError
from henasy.model.config import DistilbertConfig, DualConfig
from henasy.text.wordpiece import WordPieceTokenizer, read_word_pieces
from henasy.video.preprocess import PreprocessSpec

EGOVLP_TEMPERATURE = 0.05
_MODEL = "an EgoVLP dual encoder"
_RENAMED = {
    "video_model.": "visual.",
    "text_model.": "textual.",
    "vid_proj.": "image_projection.",
    "txt_proj.": "text_projection.",
}
# What EgoVLP's trainer stores beside the weights: its settings, with paths.
_UNREAD = dict.fromkeys(
    (
        "parse_config.ConfigParser",
        "parse_config_dist_multi.ConfigParser",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "pathlib._local.PosixPath",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
    ),
    Unread,
)
_POSITIONS = "textual.embeddings.position_ids"


def import_egovlp(
    path: Path,
    *,
    vision_heads: int | None = None,
    text_heads: int | None = None,
    tokenizer: Path | None = None,
) -> Imported:
    """The dual encoder of an EgoVLP checkpoint, of whatever size.

    Args:
        path: the .pth file, with EgoVLP's own names or those of LaViLa's conversion.
        vision_heads: attention heads of the video encoder; width / 64 when None.
        text_heads: attention heads of the text tower; width / 64 when None.
        tokenizer: folder with the tokenizer of distilbert-base-uncased; without it the checkpoint encodes clips only.

    Raises:
        NotFoundError: the file or the tokenizer is not there.
        CheckpointError: the file is not a checkpoint, holds objects that are not allowed, or its tensors are not those
            of an EgoVLP dual encoder.
        ConfigError: the heads do not divide the width, the vocabulary has another size, or the transformers library
            is missing.
    """
    content = read_pth(path, unread=_UNREAD)
    state, ignored = state_of(content, path)
    weights = _renamed(state, path)
    if _drop_positions(weights, path):
        ignored = sorted([*ignored, _POSITIONS])
    config = config_of_shapes(weights, vision_heads=vision_heads, text_heads=text_heads, source=str(path))
    checkpoint = Checkpoint(
        model=fill_model(config, weights, str(path)),
        spec=egovlp_spec(config.vision.image_px),
        tokenizer=None if tokenizer is None else _tokenizer(config, tokenizer),
        training=_note(path, content),
    )
    return Imported(checkpoint, ignored)


def egovlp_spec(image_px: int = 224) -> PreprocessSpec:
    """ImageNet's normalisation with LaViLa's resize and crop, as LaViLa evaluates its conversion of EgoVLP.

    EgoVLP itself resizes to 256, crops, and resizes once more; the picture is the same but for interpolation.

    Source: facebookresearch/LaViLa eval_zeroshot.py; showlab/EgoVLP data_loader/transforms.py.
    """
    return PreprocessSpec(image_px=image_px, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def config_of_shapes(
    weights: Mapping[str, Tensor], *, vision_heads: int | None, text_heads: int | None, source: str
) -> DualConfig:
    """The sizes that the shapes of the tensors tell, under the names of LaViLa's conversion.

    Raises:
        CheckpointError: a tensor that tells a size is missing or has another number of axes.
        ConfigError: the heads do not divide the width, or the width is no multiple of 64 and they are not given.
    """
    shapes = Shapes(weights, source, _MODEL)
    vision = vision_of_shapes(shapes, heads=vision_heads, activation="gelu", has_patch_bias=True, has_first_norm=False)
    vocab_size, width = shapes.of("textual.embeddings.word_embeddings.weight", 2)
    text = DistilbertConfig(
        width=width,
        heads=heads_of(text_heads, width, "--text-heads"),
        layers=shapes.depth("textual.transformer.layer."),
        context_length=shapes.of("textual.embeddings.position_embeddings.weight", 2)[0],
        vocab_size=vocab_size,
        hidden=shapes.of("textual.transformer.layer.0.ffn.lin1.weight", 2)[0],
    )
    joint_dim = shapes.of("image_projection.0.weight", 2)[0]
    return DualConfig(vision=vision, text=text, joint_dim=joint_dim, temperature=EGOVLP_TEMPERATURE)


def _renamed(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors under LaViLa's names; those that have them already keep them."""
    prefix_of = {name: next((old for old in _RENAMED if name.startswith(old)), None) for name in state}
    names = {
        name: name if prefix is None else _RENAMED[prefix] + name.removeprefix(prefix)
        for name, prefix in prefix_of.items()
    }
    if len(set(names.values())) != len(names):
        raise CheckpointError(f"{path}: holds the same tensors under EgoVLP's names and under LaViLa's")
    return {names[name]: value for name, value in state.items()}


def _drop_positions(weights: dict[str, Tensor], path: Path) -> bool:
    """Takes out the list 0, 1, ... that older versions of the text tower store; whether it was there."""
    positions = weights.pop(_POSITIONS, None)
    if positions is not None and not torch.equal(positions.flatten().long(), torch.arange(positions.numel())):
        raise CheckpointError(f"{path}: {_POSITIONS} must count 0, 1, ...; it holds {positions.flatten()[:5].tolist()}")
    return positions is not None


def _tokenizer(config: DualConfig, folder: Path) -> WordPieceTokenizer:
    tokenizer = read_word_pieces(folder, context_length=config.text.context_length)
    if tokenizer.vocab_size != config.text.vocab_size:
        raise ConfigError(
            f"--tokenizer {folder}: {tokenizer.vocab_size} word pieces, the checkpoint's text tower has "
            f"{config.text.vocab_size}; without --tokenizer it is imported for clips only"
        )
    return tokenizer


def _note(path: Path, content: Mapping[str, Any]) -> TrainingNote:
    epoch = content.get("epoch")
    details = {"file": path.name} | ({"epoch": str(epoch)} if isinstance(epoch, int) else {})
    return TrainingNote(summary=f"Imported from {path.name}, an EgoVLP dual encoder.", details=details)
