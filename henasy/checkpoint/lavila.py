"""Import of a LaViLa dual encoder: a .pth of its training becomes a checkpoint, the shapes telling the sizes.

Source: facebookresearch/LaViLa main_pretrain.py (what the file holds), lavila/models/models.py (names of the tensors).
"""

import argparse
import math
import pickle
import pickletools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from henasy.checkpoint.folder import Checkpoint
from henasy.checkpoint.training_note import TrainingNote
from henasy.checkpoint.weights import fill_model
from henasy.errors import CheckpointError, ConfigError, NotFoundError
from henasy.model.config import DualConfig, TextConfig, VisionConfig
from henasy.text.tokenizer import CLIP_NUM_MERGES, NUM_FIXED_TOKENS, Tokenizer, clip_tokenizer
from henasy.video.preprocess import lavila_spec

HEAD_WIDTH = 64
CLIP_VOCAB_SIZE = NUM_FIXED_TOKENS + CLIP_NUM_MERGES
_STATE = "state_dict"
_PARALLEL_PREFIX = "module."


class LavilaImport(NamedTuple):
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
) -> LavilaImport:
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
    weights, ignored = _weights(content, path)
    config = config_of_shapes(weights, vision_heads=vision_heads, text_heads=text_heads, source=str(path))
    model = fill_model(config, weights, str(path))
    checkpoint = Checkpoint(
        model=model,
        spec=lavila_spec(config.vision.image_px),
        tokenizer=_tokenizer(config.text, vocabulary),
        training=_note(path, content),
    )
    return LavilaImport(checkpoint, ignored)


def read_pth(path: Path) -> Mapping[str, Any]:
    """The content of a .pth file, read without running any code that it may hold.

    Raises:
        NotFoundError: there is no such file.
        CheckpointError: it is no checkpoint, or holds an object of a class that is not allowed; the class is named.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise nearly anything: EOFError, KeyError, RuntimeError, UnpicklingError
        raise CheckpointError(f"{path}: {_reason(error, path)}") from error
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; a checkpoint holds entries by name")
    return content


def config_of_shapes(
    weights: Mapping[str, Tensor], *, vision_heads: int | None, text_heads: int | None, source: str
) -> DualConfig:
    """The sizes that the shapes of LaViLa's tensors tell.

    Raises:
        CheckpointError: a tensor that tells a size is missing or has another number of axes.
        ConfigError: the heads do not divide the width, or the width is no multiple of 64 and they are not given.
    """
    shapes = _Shapes(weights, source)
    patches, vision_width = shapes.of("visual.pos_embed", 3)[1] - 1, shapes.of("visual.cls_token", 3)[2]
    patch_px, grid = shapes.of("visual.patch_embed.proj.weight", 4)[3], math.isqrt(max(patches, 0))
    if grid * grid != patches or grid == 0:
        raise CheckpointError(f"{source}: visual.pos_embed is for {patches} patches; a square number is needed")
    vocab_size, text_width = shapes.of("token_embedding.weight", 2)
    text_hidden = shapes.of("transformer.resblocks.0.mlp.c_fc.weight", 2)[0]
    vision = VisionConfig(
        image_px=grid * patch_px,
        patch_px=patch_px,
        width=vision_width,
        depth=shapes.depth("visual.blocks."),
        heads=_heads(vision_heads, vision_width, "--vision-heads"),
        num_frames=shapes.of("visual.temporal_embed", 3)[1],
        mlp_ratio=shapes.of("visual.blocks.0.mlp.fc1.weight", 2)[0] / vision_width,
    )
    text = TextConfig(
        width=text_width,
        heads=_heads(text_heads, text_width, "--text-heads"),
        layers=shapes.depth("transformer.resblocks."),
        context_length=shapes.of("positional_embedding", 2)[0],
        vocab_size=vocab_size,
        mlp_ratio=text_hidden / text_width,
    )
    shapes.of("logit_scale", 0)
    temperature = math.exp(-weights["logit_scale"].item())
    joint_dim = shapes.of("image_projection", 2)[1]
    return DualConfig(vision=vision, text=text, joint_dim=joint_dim, temperature=temperature)


class _Shapes:
    """Shapes by name, with an error where one is not as LaViLa has it."""

    def __init__(self, weights: Mapping[str, Tensor], source: str) -> None:
        self.weights, self.source = weights, source

    def of(self, name: str, num_axes: int) -> tuple[int, ...]:
        if name not in self.weights:
            raise CheckpointError(
                f"{self.source}: no tensor {name}; this is not a LaViLa dual encoder with CLIP's text"
            )
        shape = tuple(self.weights[name].shape)
        if len(shape) != num_axes or 0 in shape:
            raise CheckpointError(f"{self.source}: {name} has shape {shape}; {num_axes} axes are needed")
        return shape

    def depth(self, prefix: str) -> int:
        found = {int(m.group(1)) for n in self.weights if (m := re.match(re.escape(prefix) + r"(\d+)\.", n))}
        return max(found, default=-1) + 1


def _weights(content: Mapping[str, Any], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors by LaViLa's names, and the names of what else the file holds."""
    is_bare = bool(content) and all(isinstance(value, Tensor) for value in content.values())
    state = content if is_bare else content.get(_STATE)
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path}: no {_STATE} among its entries {sorted(content)}")
    others = sorted(str(name) for name, value in state.items() if not isinstance(value, Tensor))
    if others:
        raise CheckpointError(f"{path}: {_STATE} holds entries that are no tensors: {', '.join(others[:8])}")
    weights = {str(name).removeprefix(_PARALLEL_PREFIX): value for name, value in state.items()}
    if len(weights) != len(state):
        raise CheckpointError(f"{path}: {_STATE} holds the same tensor with and without {_PARALLEL_PREFIX!r}")
    return weights, [] if is_bare else sorted(name for name in content if name != _STATE)


def _heads(given: int | None, width: int, option: str) -> int:
    if given is None and width % HEAD_WIDTH:
        raise ConfigError(
            f"{option} is needed: width {width} is no multiple of {HEAD_WIDTH}, the usual width of a head"
        )
    heads = width // HEAD_WIDTH if given is None else given
    if heads < 1 or width % heads:
        raise ConfigError(f"{option} is {heads}; allowed: a divisor of the width {width}")
    return heads


def _tokenizer(text: TextConfig, vocabulary: Path | None) -> Tokenizer | None:
    if vocabulary is None and text.vocab_size != CLIP_VOCAB_SIZE:
        return None
    tokenizer = clip_tokenizer(vocabulary, context_length=text.context_length)
    if tokenizer.vocab_size != text.vocab_size:
        raise ConfigError(
            f"--vocab {vocabulary}: {tokenizer.vocab_size} tokens, the checkpoint's token_embedding has "
            f"{text.vocab_size} rows; without --vocab it is imported without a tokenizer, for clips only"
        )
    return tokenizer


def _note(path: Path, content: Mapping[str, Any]) -> TrainingNote:
    details = {"file": path.name}
    model, epoch = getattr(content.get("args"), "model", None), content.get("epoch")
    details |= {"lavila_model": model} if isinstance(model, str) else {}
    details |= {"epoch": str(epoch)} if isinstance(epoch, int) else {}
    return TrainingNote(summary=f"Imported from {path.name}, a LaViLa dual encoder.", details=details)


def _reason(error: Exception, path: Path) -> str:
    message = str(error)
    refused = re.search(r"GLOBAL ([\w.]+)", message) or re.search(r"Unsupported (?:global|class) ([\w.]+)", message)
    name = refused.group(1) if refused else _class_in_plain_pickle(path)
    if name:
        return f"holds an object of {name}; allowed: tensors, plain values and argparse.Namespace"
    # torch's own text recommends loading without protection
    detail = "" if isinstance(error, pickle.UnpicklingError) else (message.strip().splitlines() or [""])[0][:120]
    return f"is not a PyTorch checkpoint, or is damaged ({type(error).__name__}{': ' * bool(detail)}{detail})"


def _class_in_plain_pickle(path: Path) -> str | None:
    """The first class that a bare pickle asks for, found by reading its instructions without following them."""
    strings: list[str] = []
    try:
        with path.open("rb") as file:
            for instruction, argument, _ in pickletools.genops(file):
                if instruction.name == "GLOBAL":
                    return str(argument).replace(" ", ".")
                if instruction.name == "STACK_GLOBAL":
                    return ".".join(strings[-2:])
                strings += [argument] if isinstance(argument, str) else []
    except (ValueError, OSError):  # not a pickle
        return None
    return None
