"""The facade over a checkpoint: uint8 frames and strings in, numpy embeddings out.

F frames, N clips or texts, T frames per clip, E entities, D width of the joint space, (gh, gw) patch grid.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from henasy.checkpoint.folder import Checkpoint, dual_config, read_checkpoint
from henasy.checkpoint.locate import locate_checkpoint
from henasy.checkpoint.space import space_id
from henasy.checkpoint.training_note import TrainingNote
from henasy.checkpoint.weights import build_empty
from henasy.errors import ConfigError, InputError, UnsupportedError
from henasy.model.config import DualConfig, ModelConfig, with_frames
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.model.timesformer import inflate_temporal_embed
from henasy.text.stored import AnyTokenizer
from henasy.video.preprocess import PreprocessSpec, preprocess

DTYPES = ("float32", "bfloat16")
MICRO_BATCH_CPU = 8
MICRO_BATCH_CUDA = 64
_WIDE = 512
"""From this width on two clips keep a CPU's cores busy and more only leave its caches (docs/performance.md)."""
_FRAMES_AT_ONCE = 64
_TEXTS_AT_ONCE = 64
# shorter steps would make more batches than they save padding
_LENGTH_STEP = 4
_Finish = Callable[[Tensor], NDArray[np.float32]]
"""What turns the model's vectors into those that are handed out."""


class ClipEncoding(NamedTuple):
    """What one pass says about N clips; a dual encoder has E = 0. Embeddings are L2-normalised unless asked raw."""

    clip: NDArray[np.float32]
    """(N, D)"""
    entities: NDArray[np.float32]
    """(N, E, D)"""
    is_valid: NDArray[np.bool_]
    """(N, E) whether an entity owns any patch"""
    patch_share: NDArray[np.float32]
    """(N, E) share of the clip's patches"""
    assignment: NDArray[np.uint8]
    """(N, T, gh * gw) entity of each patch; (N, 0, 0) when E is 0"""
    global_clip: NDArray[np.float32]
    """(N, D) of the global encoder alone, in the same space; a dual encoder has no other, so there it is `clip`"""


def load_encoder(
    name_or_folder: str | Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    num_frames: int | None = None,
    micro_batch: int | None = None,
) -> "Encoder":
    """The encoder of a checkpoint folder, of the shipped checkpoint, or of a hub id.

    Args:
        name_or_folder: see `locate_checkpoint`.
        device: where it computes, as torch names it.
        dtype: "float32", or "bfloat16" for the matrix products with everything else in float32.
        num_frames: frames per clip if not the checkpoint's own; its temporal embedding is inflated or cut, and the
            space is another one.
        micro_batch: clips per pass; by default a number that suits the device.

    Raises:
        NotFoundError: no such checkpoint.
        CheckpointError: the checkpoint is damaged.
        ConfigError: an argument is not allowed, or there is no such device.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is {dtype!r}; allowed: {', '.join(DTYPES)}")
    target = require_device(device)
    checkpoint = read_checkpoint(locate_checkpoint(name_or_folder))
    if num_frames is not None and num_frames != dual_config(checkpoint.config).vision.num_frames:
        checkpoint = with_num_frames(checkpoint, num_frames)
    default = default_micro_batch(checkpoint, target)
    return Encoder(
        checkpoint,
        device=target,
        dtype=dtype,
        micro_batch=default if micro_batch is None else micro_batch,
    )


def default_micro_batch(checkpoint: Checkpoint, device: torch.device) -> int:
    """Clips that are encoded at a time unless the caller says otherwise."""
    if device.type == "cuda":
        return MICRO_BATCH_CUDA
    return 2 if dual_config(checkpoint.config).vision.width >= _WIDE else MICRO_BATCH_CPU


def with_num_frames(checkpoint: Checkpoint, num_frames: int) -> Checkpoint:
    """The same weights for another number of frames per clip.

    Source: LaViLa lavila/models/utils.py; only the temporal embedding changes.
    """
    config = checkpoint.config
    prefix = "" if isinstance(config, DualConfig) else "dual."
    name = f"{prefix}visual.temporal_embed"
    weights = checkpoint.model.state_dict()
    weights[name] = inflate_temporal_embed(weights[name], num_frames)
    model = build_empty(with_frames(config, num_frames))
    model.load_state_dict(weights, strict=True, assign=True)
    return replace(checkpoint, model=model.eval().requires_grad_(False))


class Encoder:
    """Encodes clips and texts into one space.

    Clips pass through the model in micro-batches of one fixed size, the last one filled up, so that a clip's vectors do
    not depend on which clips are encoded along with it.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: torch.device, dtype: str, micro_batch: int) -> None:
        """Moves the checkpoint's model to a device."""
        if micro_batch < 1:
            raise ConfigError(f"micro_batch is {micro_batch}; it must be at least 1")
        self.space_id = space_id(checkpoint)
        self.spec: PreprocessSpec = checkpoint.spec
        self.card: TrainingNote = checkpoint.training
        self.config: ModelConfig = checkpoint.config
        self.kind: str = checkpoint.model.kind
        self.device, self.dtype, self.micro_batch = device, dtype, micro_batch
        self._tokenizer = checkpoint.tokenizer
        self._model: DualEncoder | Henasy = checkpoint.model.to(device)

    @property
    def width(self) -> int:
        """D, width of the joint space."""
        return dual_config(self.config).joint_dim

    @property
    def num_frames(self) -> int:
        """T, frames per clip."""
        return dual_config(self.config).vision.num_frames

    @property
    def num_entities(self) -> int:
        """E, entities per clip; 0 for a dual encoder."""
        return 0 if isinstance(self.config, DualConfig) else self.config.local.num_entities

    @property
    def grid(self) -> tuple[int, int]:
        """(gh, gw), patches per column and row of a frame."""
        side = dual_config(self.config).vision.grid_size
        return side, side

    @torch.inference_mode()
    def encode_clips(
        self,
        frames: NDArray[np.uint8],
        frame_rows: NDArray[np.int64],
        *,
        is_normalised: bool = True,
        third: int | None = None,
    ) -> ClipEncoding:
        """Embeddings and entities of N clips.

        Args:
            frames: (F, H, W, 3) uint8, RGB, displayed orientation.
            frame_rows: (N, T) integers, rows of `frames` that make each clip.
            is_normalised: False for embeddings as the model gives them, for evaluators that take raw dot products.
            third: which of three crops along the long side to see in place of the usual one, as for `preprocess`.

        Raises:
            InputError: an array has another shape or type, or a row does not exist.
        """
        found = self._blank(len(frame_rows))
        for rows, clips in self._micro_batches(frames, frame_rows, third):
            with self._precision():
                part = self._encode(clips, _unit if is_normalised else _raw)
            for name in ClipEncoding._fields:
                getattr(found, name)[rows] = getattr(part, name)[: len(rows)]
        return found

    @torch.inference_mode()
    def saliency(self, frames: NDArray[np.uint8], frame_rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, T, E, gh, gw) how much each patch belongs to each entity; sums to 1 over E.

        Raises:
            UnsupportedError: the checkpoint is a dual encoder, which has no entities.
            InputError: as for `encode_clips`.
        """
        model = self._model
        if not isinstance(model, Henasy):
            raise UnsupportedError(f"a checkpoint of kind {self.kind} has no entities, hence no saliency")
        found = np.zeros((len(frame_rows), self.num_frames, self.num_entities, *self.grid), np.float32)
        for rows, clips in self._micro_batches(frames, frame_rows):
            with self._precision():
                maps = model(clips).saliency.float().cpu().numpy()
            found[rows] = maps.reshape(-1, *found.shape[1:])[: len(rows)]
        return found

    @property
    def max_text_tokens(self) -> int:
        """Tokens of a text, with start and end, beyond which `encode_texts` cuts it.

        Raises:
            UnsupportedError: the checkpoint has no tokenizer.
        """
        return self._require_tokenizer().context_length

    def num_text_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, with start and end; takes no pass through the model.

        Raises:
            UnsupportedError: the checkpoint has no tokenizer.
        """
        return self._require_tokenizer().num_tokens(texts)

    def _require_tokenizer(self) -> AnyTokenizer:
        if self._tokenizer is None:
            raise UnsupportedError("this checkpoint has no tokenizer, so it cannot read text; import it with one")
        return self._tokenizer

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], *, is_normalised: bool = True) -> NDArray[np.float32]:
        """(N, D) embeddings of texts; what is beyond `max_text_tokens` is cut, as in training.

        They are L2-normalised unless `is_normalised` is False.

        Raises:
            UnsupportedError: the checkpoint has no tokenizer.
        """
        finish = _unit if is_normalised else _raw
        embeddings = np.zeros((len(texts), self.width), np.float32)
        tokenizer = self._require_tokenizer()
        tokens = tokenizer.encode_batch(texts)
        for rows in _by_length(tokenizer.lengths(tokens)):
            batch = torch.from_numpy(tokens[rows]).to(self.device)
            with self._precision():
                embeddings[rows] = finish(self._model.encode_text(batch))
        return embeddings

    @torch.inference_mode()
    def encode_text_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Of each text its tokens (L, D) in the joint space, not normalised; the last is its embedding in CLIP's tower.

        The start token, which has seen nothing, is left out; so is what is beyond `max_text_tokens`.

        Raises:
            UnsupportedError: the checkpoint has no tokenizer.
        """
        tokens = self._require_tokenizer().encode_batch(texts)
        lengths = np.minimum(self.num_text_tokens(texts), tokens.shape[1])
        found = [np.zeros((0, self.width), np.float32)] * len(texts)
        for rows in _by_length(lengths):
            batch = torch.from_numpy(tokens[rows, : lengths[rows].max()]).to(self.device)
            with self._precision():
                embeddings = _raw(self._model.encode_text_tokens(batch))
            for row, values in zip(rows.tolist(), embeddings, strict=True):
                found[row] = values[1 : lengths[row]]
        return found

    def _encode(self, clips: Tensor, finish: _Finish) -> ClipEncoding:
        model = self._model
        if isinstance(model, DualEncoder):
            clip = finish(model.encode_video(clips))
            return self._blank(len(clips))._replace(clip=clip, global_clip=clip)
        out = model(clips)
        return ClipEncoding(
            clip=finish(out.video),
            entities=finish(out.entities),
            is_valid=out.is_valid.cpu().numpy(),
            patch_share=out.patch_share.float().cpu().numpy(),
            assignment=out.hard.to(torch.uint8).cpu().numpy(),
            global_clip=finish(out.global_video),
        )

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == "bfloat16")

    def _blank(self, count: int) -> ClipEncoding:
        entities = self.num_entities
        patches = (self.num_frames, self.grid[0] * self.grid[1]) if entities else (0, 0)
        return ClipEncoding(
            clip=np.zeros((count, self.width), np.float32),
            entities=np.zeros((count, entities, self.width), np.float32),
            is_valid=np.zeros((count, entities), np.bool_),
            patch_share=np.zeros((count, entities), np.float32),
            assignment=np.zeros((count, *patches), np.uint8),
            global_clip=np.zeros((count, self.width), np.float32),
        )

    def _micro_batches(
        self, frames: NDArray[np.uint8], frame_rows: NDArray[np.int64], third: int | None = None
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Rows of clips with (micro_batch, T, 3, S, S) normalised frames, filled up with the first of them."""
        self._check(frames, frame_rows)
        used, positions = np.unique(frame_rows, return_inverse=True)
        table = positions.reshape(frame_rows.shape)
        images = self._images(frames, used, third)
        for first in range(0, len(table), self.micro_batch):
            rows = np.arange(first, min(first + self.micro_batch, len(table)))
            filled = np.concatenate([rows, np.full(self.micro_batch - len(rows), first)])
            yield rows, images[torch.from_numpy(table[filled]).to(self.device)]

    def _images(self, frames: NDArray[np.uint8], used: NDArray[np.int64], third: int | None) -> Tensor:
        """(U, 3, S, S) the frames in use as the model sees them, each once."""
        pieces = [
            preprocess(frames[used[first : first + _FRAMES_AT_ONCE]], self.spec, device=self.device, third=third)
            for first in range(0, len(used), _FRAMES_AT_ONCE)
        ]
        side = self.spec.image_px
        return torch.cat(pieces) if pieces else torch.empty(0, 3, side, side, device=self.device)

    def _check(self, frames: NDArray[np.uint8], frame_rows: NDArray[np.int64]) -> None:
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise InputError("frames", f"{frames.dtype}{frames.shape}; allowed: uint8 (F, H, W, 3)")
        wanted = f"integers (N, {self.num_frames})"
        if frame_rows.ndim != 2 or frame_rows.shape[1] != self.num_frames or frame_rows.dtype.kind not in "iu":
            raise InputError("frame_rows", f"{frame_rows.dtype}{frame_rows.shape}; allowed: {wanted}")
        if frame_rows.size and not 0 <= frame_rows.min() <= frame_rows.max() < len(frames):
            raise InputError("frame_rows", f"{frame_rows.min()} to {frame_rows.max()}; there are {len(frames)} frames")


def require_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ConfigError: it is no device's, or this machine has none such.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device is {name!r}; allowed: cpu, cuda, cuda:0, ...") from error
    is_there: dict[str, Callable[[], bool]] = {"cpu": lambda: True, "cuda": torch.cuda.is_available}
    if device.type not in is_there or not is_there[device.type]():
        raise ConfigError(f"device is {name!r}, which this machine or this version of torch does not have")
    return device


def _by_length(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows in groups of about the same length, which a text tower that stops at the longest end computes fastest."""
    steps = -(-lengths // _LENGTH_STEP)
    for step in np.unique(steps):
        rows = np.flatnonzero(steps == step)
        for first in range(0, len(rows), _TEXTS_AT_ONCE):
            yield rows[first : first + _TEXTS_AT_ONCE]


def _raw(vectors: Tensor) -> NDArray[np.float32]:
    raw: NDArray[np.float32] = vectors.float().cpu().numpy()
    return raw


def _unit(vectors: Tensor) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = F.normalize(vectors.float(), dim=-1).cpu().numpy()
    return unit
