"""Batches of EgoClip: those of a step depend on (seed, step, part) and the files alone.

B anchors of a micro-batch, T frames, S image size in px, L tokens, M noun slots. A batch holds 2B rows: the anchors,
then a hard negative of each from the same video and stretch of time. Everything that is drawn for an anchor comes from
the seed, its position in the run and the attempt, so any number of processes makes the same rows.

A clip that cannot be decoded is replaced: an anchor by the clip at the same position of another order of the epoch, a
negative by another draw from the anchor's segment.
"""

from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from henasy.errors import ConfigError, HenasyError, TrainingError
from henasy.text.stored import AnyTokenizer
from henasy.training.config import TrainConfig
from henasy.training.data import TrainBatch
from henasy.training.egoclip.captions import MAX_NOUNS, caption_nouns, phrase_number, plain_phrase
from henasy.training.egoclip.clips import EgoClips
from henasy.training.egoclip.handobj import NUM_EACH, NUM_FRAMES
from henasy.training.egoclip.order import shuffled
from henasy.training.egoclip.refusals import Refusals
from henasy.training.share import WHOLE, Share
from henasy.video.preprocess import PreprocessSpec
from henasy.video.view_pool import ViewPool
from henasy.video.views import FilePart, View, ViewRule

MIN_BOX_SHARE = 0.3
"""A box with less than this share of its area inside the crop is absent."""
_MAX_ATTEMPTS = 50
_ANCHOR, _NEGATIVE = 0, 1


class Sampling(NamedTuple):
    """What is seen of a clip."""

    rule: ViewRule
    """Crop and size."""
    num_frames: int
    """T"""
    is_middle: bool = False
    """Whether all clips are seen at the middles of T equal parts, or at random moments of them; clips with boxes are
    seen at the middles either way, at which the boxes were found."""


class _Clip(NamedTuple):
    """A clip on its way."""

    row: int
    """Of the usable clips."""
    view: Future[View]


class EgoClipBatches:
    """Batches of clips that child processes decode; may be asked from several threads."""

    def __init__(
        self,
        clips: EgoClips,
        tokenizer: AnyTokenizer,
        config: TrainConfig,
        *,
        spec: PreprocessSpec,
        sampling: Sampling,
        pool: ViewPool,
        refusals: Refusals,
        share: Share = WHOLE,
    ) -> None:
        """Prepares nothing but names.

        Args:
            clips: what to train on.
            tokenizer: of the model.
            config: seed, steps, batch size and micro-batches; the batch size counts the anchors of all processes.
            spec: mean and standard deviation of the model's input.
            sampling: what is seen of a clip.
            pool: decodes; the caller closes it.
            refusals: counts what cannot be decoded.
            share: what this process makes of each batch.

        Raises:
            ConfigError: a batch needs more clips than there are, or boxes are known for another number of frames.
        """
        config.require_forwards("only a rendered archive knows what undoes an action")
        if config.batch_size > len(clips):
            raise ConfigError(f"batch_size is {config.batch_size}; there are {len(clips)} clips")
        if clips.boxes is not None and sampling.num_frames != NUM_FRAMES:
            raise ConfigError(f"num_frames is {sampling.num_frames}; with boxes it must be {NUM_FRAMES}")
        self.clips, self.config, self.share = clips, config, share
        self._tokenizer, self._sampling, self._pool, self._refusals = tokenizer, sampling, pool, refusals
        self._mean = torch.tensor(spec.mean).view(1, 1, 3, 1, 1)
        self._std = torch.tensor(spec.std).view(1, 1, 3, 1, 1)
        self._size = config.batch_size // config.num_micro_batches
        self._own = share.rows(self._size)[: self._size // share.size]

    def batch(self, step: int, part: int, device: torch.device) -> TrainBatch:
        """Micro-batch `part` of optimiser step `step`.

        Raises:
            TrainingError: too many clips cannot be decoded.
        """
        first = step * self.config.batch_size + part * self._size
        pairs = [_Pair(self, int(position)) for position in first + self._own]
        made = [pair.clips() for pair in pairs]
        rows = np.array([anchor.row for anchor, _ in made] + [negative.row for _, negative in made])
        views = [anchor.view.result() for anchor, _ in made] + [negative.view.result() for _, negative in made]
        return self._assembled(rows, views, device)

    def _assembled(self, rows: NDArray[np.int64], views: list[View], device: torch.device) -> TrainBatch:
        table, taxonomy = self.clips.table, self.clips.taxonomy
        held = self.clips.usable[rows]
        texts = table.texts(held)
        phrases = self._phrases(held, texts)
        boxes = self._boxes(held, np.stack([view.crop for view in views]))
        frames = torch.from_numpy(np.stack([view.frames for view in views]))
        if device.type == "cuda":
            frames = frames.pin_memory()
        verbs = [table.verbs.of(int(row))[:1] for row in held]
        return TrainBatch(
            frames=self._normalised(frames.to(device, non_blocking=True)),
            tokens=torch.from_numpy(self._tokenizer.encode_batch(texts)).to(device),
            nouns=torch.from_numpy(table.nouns.multi_hot(held, len(taxonomy.nouns.labels))).to(device),
            verbs=torch.from_numpy(table.verbs.multi_hot(held, len(taxonomy.verbs.labels))).to(device),
            noun_rows=torch.from_numpy(self._noun_rows(held, texts)).to(device),
            verb_rows=torch.tensor([int(tags[0]) if len(tags) else -1 for tags in verbs], device=device),
            phrase_tokens=torch.from_numpy(self._tokenizer.encode_batch(phrases)).to(device),
            phrase_ids=torch.tensor([phrase_number(phrase) for phrase in phrases], device=device),
            boxes=torch.from_numpy(boxes).to(device),
            box_nouns=torch.from_numpy(self._box_nouns(boxes)).to(device),
            rows=torch.from_numpy(held).to(device),
        )

    def _normalised(self, frames: torch.Tensor) -> torch.Tensor:
        mean, std = self._mean.to(frames.device), self._std.to(frames.device)
        return frames.permute(0, 1, 4, 2, 3).float().sub_(mean).div_(std)  # a batch is large: no copy per operation

    def _phrases(self, rows: NDArray[np.int64], texts: list[str]) -> list[str]:
        table, taxonomy = self.clips.table, self.clips.taxonomy
        written = self.clips.phrases.of(rows) if self.clips.phrases is not None else [None] * len(rows)
        return [
            plain_phrase(text, table.verbs.of(int(row)).tolist(), table.nouns.of(int(row)).tolist(), taxonomy)
            if phrase is None
            else phrase
            for row, text, phrase in zip(rows, texts, written, strict=True)
        ]

    def _noun_rows(self, rows: NDArray[np.int64], texts: list[str]) -> NDArray[np.int64]:
        """(n, M) rows of the word dictionary that the narrations name."""
        taxonomy, tags = self.clips.taxonomy, self.clips.table.nouns
        found = np.full((len(rows), MAX_NOUNS), -1, np.int64)
        for out, (row, text) in enumerate(zip(rows, texts, strict=True)):
            words = [
                taxonomy.word_rows[noun.word] for noun in caption_nouns(text, tags.of(int(row)).tolist(), taxonomy)
            ]
            found[out, : len(words)] = words
        return found

    def _boxes(self, rows: NDArray[np.int64], crops: NDArray[np.float64]) -> NDArray[np.float32]:
        """(n, T, 4, 4) boxes as shares of the crop."""
        if self.clips.boxes is None:
            return np.zeros((len(rows), self._sampling.num_frames, 2 * NUM_EACH, 4), np.float32)
        return crop_boxes(self.clips.boxes.of(rows), crops)

    def _box_nouns(self, boxes: NDArray[np.float32]) -> NDArray[np.int64]:
        nouns = np.full(boxes.shape[:3], -1, np.int64)
        if self.clips.hand_row is not None:
            is_box: NDArray[np.bool_] = np.all(boxes[..., 2:] > boxes[..., :2], axis=-1)
            nouns[..., :NUM_EACH] = np.where(is_box[..., :NUM_EACH], self.clips.hand_row, -1)
        return nouns

    def anchor(self, position: int, attempt: int) -> int:
        """The usable clip at a position of the run; later attempts take it from other orders of the epoch."""
        epoch, place = divmod(position, len(self.clips))
        return int(shuffled(np.array([place]), len(self.clips), (self.config.seed, epoch, attempt))[0])

    def negative(self, anchor: int, position: int, attempt: int) -> int:
        """Another usable clip of an anchor's segment; the anchor where it is alone."""
        draw = np.random.default_rng((self.config.seed, position, 2, attempt)).random(1)
        return int(self.clips.segments.other(np.array([anchor]), draw)[0])

    def read(self, row: int, position: int, kind: int, attempt: int) -> Future[View]:
        """Starts to read a clip, at moments and with a crop that are drawn for this position and attempt."""
        self._refusals.count_asked()
        held = int(self.clips.usable[row])
        known = self._refusals.reason(held)
        if known is not None:
            return _failed(TrainingError(known))
        rng = np.random.default_rng((self.config.seed, position, kind, attempt))
        try:
            parts = self._parts(held, rng)
        except HenasyError as error:
            return _failed(error)
        return self._pool.submit(parts, self._sampling.rule, seed=int(rng.integers(2**62)))

    def refuse(self, row: int, reason: str) -> None:
        """Lists a clip that could not be read; raises once they are too many."""
        self._refusals.add(int(self.clips.usable[row]), reason)

    def _parts(self, row: int, rng: np.random.Generator) -> list[FilePart]:
        start_s, end_s = (float(edge[0]) for edge in self.clips.files.spans(np.array([row])))
        shares = rng.random(self._sampling.num_frames)
        has_boxes = self.clips.boxes is not None and self.clips.boxes.has_clip(row)
        if self._sampling.is_middle or has_boxes:
            shares[:] = 0.5
        steps = (np.arange(self._sampling.num_frames) + shares) / self._sampling.num_frames
        return self.clips.files.parts(row, start_s + steps * (end_s - start_s))


class _Pair:
    """An anchor and its hard negative, being read."""

    def __init__(self, source: EgoClipBatches, position: int) -> None:
        self._source, self._position = source, position
        self._begin(0)

    def _begin(self, attempt: int) -> None:
        self._attempt = attempt
        anchor = self._source.anchor(self._position, attempt)
        self._anchor = _Clip(anchor, self._source.read(anchor, self._position, _ANCHOR, attempt))
        self._negative = self._drawn(anchor, attempt * _MAX_ATTEMPTS)

    def _drawn(self, anchor: int, attempt: int) -> _Clip:
        row = self._source.negative(anchor, self._position, attempt)
        return _Clip(row, self._source.read(row, self._position, _NEGATIVE, attempt))

    def clips(self) -> tuple[_Clip, _Clip]:
        """Both as soon as they are read, each replaced by another as often as it cannot be read.

        Raises:
            TrainingError: too many clips cannot be decoded.
        """
        while (reason := _fault(self._anchor)) is not None:
            self._source.refuse(self._anchor.row, reason)
            self._negative.view.cancel()
            if self._attempt + 1 == _MAX_ATTEMPTS:
                raise TrainingError(f"no clip in {_MAX_ATTEMPTS} could be decoded; the last: {reason}")
            self._begin(self._attempt + 1)
        attempt = self._attempt * _MAX_ATTEMPTS
        while (reason := _fault(self._negative)) is not None:
            self._source.refuse(self._negative.row, reason)
            attempt += 1
            if attempt % _MAX_ATTEMPTS == 0:
                return self._anchor, self._anchor
            self._negative = self._drawn(self._anchor.row, attempt)
        return self._anchor, self._negative


def crop_boxes(boxes: NDArray[np.float32], crops: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, T, M, 4) boxes as shares of a crop of the frame; zeros where under 30 % of the box is inside.

    Args:
        boxes: (n, T, M, 4) xyxy as shares of the frame.
        crops: (n, 4) left, top, right, bottom as shares of the frame.
    """
    origin = np.tile(crops[:, :2], 2)[:, None, None]
    size = np.tile(crops[:, 2:] - crops[:, :2], 2)[:, None, None]
    shares = (boxes - origin) / size
    seen = np.clip(shares, 0.0, 1.0)
    area, seen_area = (np.prod(np.maximum(box[..., 2:] - box[..., :2], 0), axis=-1) for box in (shares, seen))
    is_seen = (seen_area > 0) & (seen_area >= MIN_BOX_SHARE * area)
    return np.where(is_seen[..., None], seen, 0.0).astype(np.float32)


def _fault(clip: _Clip) -> str | None:
    """What is wrong with a clip that has been read, None if nothing."""
    error = clip.view.exception()
    if error is not None and not isinstance(error, HenasyError):
        raise error
    return None if error is None else str(error)


def _failed(error: HenasyError) -> Future[View]:
    future: Future[View] = Future()
    future.set_exception(error)
    return future
