"""A checkpoint on disk: a folder in the Hugging Face layout, written at once and read strictly.

config.json              sizes; "kind" says which model
model.safetensors        weights, float32 or half
preprocessing.json       what is done to frames
tokenizer.json           vocabulary, for the `tokenizers` library      } absent in a checkpoint that
tokenizer_config.json    cleaning, context length, special tokens      } cannot read text
training.json            what the weights were trained on
README.md                the model card
moment_ends/             what tells where moments end, if that was trained (`henasy-train moments`); it goes when the
                         weights are replaced
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from henasy.checkpoint.training_note import TrainingNote
from henasy.checkpoint.weights import STORED_TYPES, fill_model, read_weights
from henasy.errors import CheckpointError, ConfigError, NotFoundError
from henasy.model.config import DualConfig, ModelConfig, config_from_dict, config_to_dict
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.text.stored import AnyTokenizer, tokenizer_from_json
from henasy.video.preprocess import PreprocessSpec

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PREPROCESSING = "preprocessing.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TRAINING = "training.json"
CARD = "README.md"
MOMENT_ENDS = "moment_ends"
ALL_FILES = (CONFIG, WEIGHTS, PREPROCESSING, TOKENIZER, TOKENIZER_CONFIG, TRAINING, CARD)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model with everything that is needed to use it."""

    model: DualEncoder | Henasy
    """Float32, in eval mode."""
    spec: PreprocessSpec
    """What is done to frames."""
    tokenizer: AnyTokenizer | None
    """None for a checkpoint that cannot read text."""
    training: TrainingNote
    """Where the weights come from."""

    def __post_init__(self) -> None:
        require_consistent(self.model.config, self.spec, self.tokenizer)

    @property
    def config(self) -> ModelConfig:
        """Sizes of the model."""
        return self.model.config


def save_checkpoint(
    folder: Path,
    checkpoint: Checkpoint,
    *,
    card: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes a checkpoint folder under a temporary name and renames it; an older checkpoint there is replaced.

    Args:
        folder: where; new, empty, or a checkpoint.
        checkpoint: what.
        card: text of README.md; made from the training note when None.
        dtype: type of the weights on disk: float32, float16 or bfloat16.

    Raises:
        CheckpointError: the folder holds something else, or a weight does not fit into `dtype`.
    """
    _require_replaceable(folder)
    weights = _stored(checkpoint.model.state_dict(), dtype)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        save_file(weights, fresh / WEIGHTS, metadata={"format": "pt"})
        for name, text in _texts(checkpoint, card).items():
            (fresh / name).write_text(text, encoding="utf-8")
        # the library makes its file readable for the owner alone
        shutil.copymode(fresh / CONFIG, fresh / WEIGHTS)
        for path in [*fresh.iterdir(), fresh]:
            _sync(path)
        _replace(folder, fresh)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint of a folder, every tensor accounted for.

    Raises:
        NotFoundError: there is no such folder, or it lacks a file.
        CheckpointError: a file is damaged, or its content is not what the config says.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: no such checkpoint folder")
    try:
        config = config_from_dict(_read_json(folder / CONFIG))
        spec = PreprocessSpec.from_dict(_read_json(folder / PREPROCESSING))
        tokenizer = _read_tokenizer(folder)
        training = TrainingNote.from_dict(_read_json(folder / TRAINING))
        require_consistent(config, spec, tokenizer)
    except ConfigError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    if not (folder / WEIGHTS).is_file():
        raise NotFoundError(f"{folder} has no {WEIGHTS}; a checkpoint folder needs one")
    model = fill_model(config, read_weights(folder / WEIGHTS), str(folder / WEIGHTS))
    return Checkpoint(model=model, spec=spec, tokenizer=tokenizer, training=training)


def require_consistent(config: ModelConfig, spec: PreprocessSpec, tokenizer: AnyTokenizer | None) -> None:
    """Passes when frames and tokens come out as the model takes them.

    Raises:
        CheckpointError: sizes differ.
    """
    dual = dual_config(config)
    if spec.image_px != dual.vision.image_px:
        raise CheckpointError(f"preprocessing makes {spec.image_px} px images, the model takes {dual.vision.image_px}")
    if tokenizer is None:
        return
    given = (tokenizer.vocab_size, tokenizer.context_length)
    wanted = (dual.text.vocab_size, dual.text.context_length)
    if given != wanted:
        raise CheckpointError(
            f"the tokenizer has {given[0]} tokens and context {given[1]}; the model's text tower has {wanted[0]} "
            f"and {wanted[1]}"
        )


def dual_config(config: ModelConfig) -> DualConfig:
    """Sizes of the global encoder and the text tower, whatever the kind."""
    return config if isinstance(config, DualConfig) else config.dual


def _texts(checkpoint: Checkpoint, card: str | None) -> dict[str, str]:
    documents: dict[str, Any] = {
        CONFIG: config_to_dict(checkpoint.config),
        PREPROCESSING: checkpoint.spec.to_dict(),
        TRAINING: checkpoint.training.to_dict(),
    }
    texts = {name: json.dumps(values, indent=2) + "\n" for name, values in documents.items()}
    if checkpoint.tokenizer is not None:
        texts[TOKENIZER] = checkpoint.tokenizer.to_json()
        texts[TOKENIZER_CONFIG] = json.dumps(checkpoint.tokenizer.settings(), indent=2) + "\n"
    texts[CARD] = card if card is not None else _plain_card(checkpoint)
    return texts


def _plain_card(checkpoint: Checkpoint) -> str:
    training = checkpoint.training
    warning = training.warning()
    lines = ["---", "library_name: henasy", "---", "", f"# A henasy checkpoint of kind {checkpoint.model.kind}", ""]
    lines += [training.summary, *(["", f"**Note:** {warning}."] if warning else [])]
    return "\n".join([*lines, "", "Use: `henasy-index build VIDEOS --model THIS_FOLDER`.", ""])


def _stored(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    if dtype not in STORED_TYPES:
        raise CheckpointError(f"dtype is {dtype}; allowed: {STORED_TYPES}")
    stored = {name: value.detach().cpu().to(dtype).contiguous() for name, value in state.items()}
    overflown = [name for name, value in stored.items() if not bool(torch.isfinite(value).all())]
    if overflown:
        raise CheckpointError(f"weights are not finite in {dtype}: {', '.join(sorted(overflown)[:8])}")
    return stored


def _read_tokenizer(folder: Path) -> AnyTokenizer | None:
    has = [(folder / name).is_file() for name in (TOKENIZER, TOKENIZER_CONFIG)]
    if not any(has):
        return None
    settings = _read_json(folder / TOKENIZER_CONFIG)
    return tokenizer_from_json(_read_text(folder / TOKENIZER), settings)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: holds a {type(values).__name__}, not an object of settings")
    return values


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"{path.parent} has no {path.name}; a checkpoint folder needs one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error


def _require_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; a checkpoint is a folder")
    others = sorted({path.name for path in folder.iterdir()} - {*ALL_FILES, MOMENT_ENDS})
    if others:
        raise CheckpointError(
            f"{folder} holds files of something else ({', '.join(others[:5])}); choose another folder"
        )


def _replace(folder: Path, fresh: Path) -> None:
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(fresh, folder)
    except OSError:
        if old.exists():
            os.rename(old, folder)
        raise
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
