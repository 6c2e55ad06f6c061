"""Batches of narrated clips with hard negatives, boxes, nouns and verb phrases, from a clip cache.

B anchors of a micro-batch, T frames, S image size in px, L tokens, N nouns and V verbs of the taxonomy. Each batch
holds 2B rows: the anchors, then one hard negative per anchor from the same video and at most 60 s away.
Source: EgoVLP batch formation (showlab/EgoVLP trainer/trainer_egoclip.py).
"""

import json
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from henasy.errors import ConfigError
from henasy.losses.matching import ABSENT
from henasy.scenes.household.combinations import COLOURS
from henasy.scenes.household.undone import undone
from henasy.text.stored import AnyTokenizer
from henasy.training.clip_cache import NUM_BOXES
from henasy.training.config import TrainConfig
from henasy.training.share import WHOLE, Share

NEIGHBOUR_S = 60.0


class TrainBatch(NamedTuple):
    """What one micro-batch trains on; rows are the anchors, then their hard negatives."""

    frames: torch.Tensor
    """(2B, T, 3, S, S) float32, normalised."""
    tokens: torch.Tensor
    """(2B, L) int64: a wording of the narration."""
    nouns: torch.Tensor
    """(2B, N) float32, multi-hot."""
    verbs: torch.Tensor
    """(2B, V) float32, multi-hot."""
    noun_rows: torch.Tensor
    """(2B, M) int64: the narrated nouns as rows of the word dictionary, the first first; -1 in an empty slot."""
    verb_rows: torch.Tensor
    """(2B,) int64: the narrated verb; -1 where there is none."""
    phrase_tokens: torch.Tensor
    """(2B, L) int64: the verb phrase."""
    phrase_ids: torch.Tensor
    """(2B,) int64: equal for phrases that mean the same; -1 where a clip has none."""
    boxes: torch.Tensor
    """(2B, T, 4, 4) float32, xyxy as shares of the frame; one without area is no box."""
    box_nouns: torch.Tensor
    """(2B, T, 4) int64: row of the word dictionary that names the box; -1 for a box without a name, and for none."""
    rows: torch.Tensor
    """(2B,) int64: which clips of the source these are; of a cache, which rows of `Told`."""


class ClipCache:
    """A clip cache on disk, opened for reading; see `clip_cache`."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "cache.json").read_text())
        self.nouns: list[str] = about["nouns"]
        self.verbs: list[str] = about["verbs"]
        self.crop_px: int = about["crop_px"]
        self.num_moments: int = about["num_moments"]
        self.frames = np.load(folder / "frames.npy", mmap_mode="r")
        self.boxes = np.load(folder / "boxes.npy", mmap_mode="r")
        self.box_nouns = np.load(folder / "box_nouns.npy", mmap_mode="r")
        table = pq.read_table(folder / "clips.parquet").to_pydict()
        self.texts: list[str] = table["text"]
        self.verb_phrases: list[str] = table["verb_phrase"]
        self.video_uids: list[str] = table["video_uid"]
        self.starts_s = np.array(table["start_s"])
        self.hands: list[str] = table["hand"]
        self.noun_rows = _padded(table["noun_rows"])
        """(N, M) int64: what a narration names, what is handled first; -1 in an empty slot."""
        self.handled_rows = self.noun_rows[:, 0]
        self.verb_rows = np.array(table["verb_row"])

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def told(self) -> "Told":
        """What narrations say of the clips, and of those that another verb undoes, backwards."""
        return _told(self)

    def neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each clip the first and one past the last row of its video within a minute of it."""
        _, video = np.unique(np.array(self.video_uids), return_inverse=True)
        key = video * 1e7 + self.starts_s
        first = np.searchsorted(key, np.maximum(key - NEIGHBOUR_S, video * 1e7), side="left")
        last = np.searchsorted(key, np.minimum(key + NEIGHBOUR_S, (video + 1) * 1e7 - 1), side="right")
        return first, last


def _padded(rows: list[list[int]]) -> NDArray[np.int64]:
    padded = np.full((len(rows), max(map(len, rows), default=1)), ABSENT)
    for row, own in zip(padded, rows, strict=True):
        row[: len(own)] = own
    return padded


def bare(text: str) -> str:
    """A narration without its leading "#C C"."""
    return text.removeprefix("#C C ").strip()


class Told(NamedTuple):
    """What is said of clips: rows 0 to N - 1 of the N clips as they are, row N + r of clip r played backwards."""

    texts: list[str]
    verb_phrases: list[str]
    handled_rows: NDArray[np.int64]
    """The noun of what is handled"""
    verb_rows: NDArray[np.int64]
    has_undone: NDArray[np.bool_]
    """(N,) whether another verb undoes the clip's; the second row of a clip without says the same as its first"""


def _told(cache: ClipCache) -> Told:
    label_row = {label: row for row, label in enumerate(cache.verbs)}
    texts, phrases, verbs = list(cache.texts), list(cache.verb_phrases), list(cache.verb_rows)
    has_undone = np.zeros(len(cache), bool)
    for row in range(len(cache)):
        back = undone(cache.texts[row], cache.verb_phrases[row], cache.verbs[cache.verb_rows[row]])
        has_undone[row] = back is not None
        texts.append(cache.texts[row] if back is None else back.text)
        phrases.append(cache.verb_phrases[row] if back is None else back.verb_phrase)
        verbs.append(cache.verb_rows[row] if back is None else label_row[back.verb])
    return Told(texts, phrases, np.tile(cache.handled_rows, 2), np.array(verbs), has_undone)


class CacheBatches:
    """Batches of a cache: those of a step depend on (seed, step) alone."""

    def __init__(
        self,
        cache: ClipCache,
        tokenizer: AnyTokenizer,
        config: TrainConfig,
        *,
        image_px: int,
        num_frames: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        share: Share = WHOLE,
    ) -> None:
        """`share` is what this process makes of each batch; all shares together are the batch of one process."""
        if cache.num_moments % num_frames:
            raise ConfigError(f"num_frames is {num_frames}; it must divide the cache's {cache.num_moments}")
        if image_px > cache.crop_px:
            raise ConfigError(f"image_px is {image_px}; the cache's crop is {cache.crop_px} px")
        if num_frames == 1 and (config.backwards or config.undone_negatives):
            raise ConfigError(
                f"backwards is {config.backwards} and undone_negatives {config.undone_negatives}; both must be 0 for "
                "single frames, which have no direction"
            )
        if config.batch_size > len(cache):
            raise ConfigError(f"batch_size is {config.batch_size}; the cache has {len(cache)} clips")
        self.cache, self.config, self.share = cache, config, share
        self.image_px, self.num_frames = image_px, num_frames
        self.mean = torch.tensor(mean).view(1, 1, 3, 1, 1)
        self.std = torch.tensor(std).view(1, 1, 3, 1, 1)
        self.first, self.last = cache.neighbours()
        self.told = cache.told
        wordings = [self.told.texts, [bare(text) for text in self.told.texts], self.told.verb_phrases]
        self.wordings = np.stack([tokenizer.encode_batch(texts) for texts in wordings])
        self.has_colour = [not COLOURS.keys().isdisjoint(text.split()) for text in self.told.texts]
        # however they are worded, phrases of one verb and noun are no negatives of each other
        self.phrase_ids = self.told.verb_rows * len(cache.nouns) + self.told.handled_rows

    def batch(self, step: int, part: int, device: torch.device) -> TrainBatch:
        """Micro-batch `part` of optimiser step `step`."""
        rng = np.random.default_rng((self.config.seed, step, part))
        anchors = self._anchors(step, part)
        drawn = self._backwards(anchors, self._hard_negatives(anchors, rng), rng)
        # all rows are drawn for, also those that other processes make: so the shares are parts of one batch
        own = self.share.rows(len(anchors))
        frames, boxes, box_nouns = self._views(drawn, own, rng)
        self._recolour(frames, drawn, own, rng)
        wording = rng.choice(3, size=len(drawn), p=(0.6, 0.2, 0.2))[own]
        rows = drawn[own]
        handled_rows, verb_rows = self.told.handled_rows[rows], self.told.verb_rows[rows]
        batch = TrainBatch(
            frames=self._normalised(frames),
            tokens=torch.from_numpy(self.wordings[wording, rows]),
            nouns=torch.from_numpy(np.eye(len(self.cache.nouns), dtype=np.float32)[handled_rows]),
            verbs=torch.from_numpy(np.eye(len(self.cache.verbs), dtype=np.float32)[verb_rows]),
            noun_rows=torch.from_numpy(self.cache.noun_rows[rows % len(self.cache)]),
            verb_rows=torch.from_numpy(verb_rows),
            phrase_tokens=torch.from_numpy(self.wordings[2, rows]),
            phrase_ids=torch.from_numpy(self.phrase_ids[rows]),
            boxes=torch.from_numpy(boxes),
            box_nouns=torch.from_numpy(box_nouns.astype(np.int64)),
            rows=torch.from_numpy(rows),
        )
        return TrainBatch(*(tensor.to(device, non_blocking=True) for tensor in batch))

    def _backwards(
        self, anchors: NDArray[np.int64], negatives: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """(2B,) rows of what is told of the anchors and negatives, some of them played backwards.

        A negative that its anchor undoes is the anchor's own clip the other way round: all but the order is the same.
        """
        if not (self.config.backwards or self.config.undone_negatives):
            return np.concatenate([anchors, negatives])
        num_clips, has_undone = len(self.cache), self.told.has_undone
        draws = rng.random((3, len(anchors)))
        is_own = (draws[0] < self.config.undone_negatives) & has_undone[anchors]
        is_back = (draws[1] < self.config.backwards) & has_undone[anchors]
        other_back = (draws[2] < self.config.backwards) & has_undone[negatives]
        negatives = np.where(is_own, anchors, negatives)
        return np.concatenate(
            [anchors + num_clips * is_back, negatives + num_clips * np.where(is_own, ~is_back, other_back)]
        )

    def _recolour(
        self, frames: NDArray[np.uint8], rows: NDArray[np.int64], own: NDArray[np.int64], rng: np.random.Generator
    ) -> None:
        """Swaps the colour channels of some clips, in place; `frames` are those of the `own` rows."""
        place = {int(position): out for out, position in enumerate(own)}
        for position, row in enumerate(rows):
            if rng.random() < self.config.recolour and not self.has_colour[row]:
                order = rng.permutation(3)
                if position in place:
                    frames[place[position]] = frames[place[position]][..., order]

    def views(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """(N, T, 3, S, S) normalised frames of clips as evaluation sees them: middle moments, centre crop."""
        per_frame, offset = self.cache.num_moments // self.num_frames, (self.cache.crop_px - self.image_px) // 2
        moments = np.arange(self.num_frames) * per_frame + per_frame // 2
        inside = slice(offset, offset + self.image_px)
        return self._normalised(self.cache.frames[rows][:, moments, inside, inside])

    def _normalised(self, frames: NDArray[np.uint8]) -> torch.Tensor:
        return (torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() - self.mean) / self.std

    def _anchors(self, step: int, part: int) -> NDArray[np.int64]:
        """The step's clips: every clip once per epoch, in an order drawn anew for each."""
        size = self.config.batch_size // self.config.num_micro_batches
        position = step * self.config.batch_size + part * size + np.arange(size)
        epochs = position // len(self.cache)
        orders = {
            int(epoch): np.random.default_rng((self.config.seed, 7, int(epoch))).permutation(len(self.cache))
            for epoch in np.unique(epochs)
        }
        return np.array([orders[int(e)][p % len(self.cache)] for e, p in zip(epochs, position, strict=True)])

    def _hard_negatives(self, anchors: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Another clip near each anchor; the anchor itself when it is alone in its minute."""
        first, count = self.first[anchors], (self.last - self.first)[anchors]
        offset = (rng.random(len(anchors)) * np.maximum(count - 1, 1)).astype(np.int64)
        picked = first + offset
        return np.where(count > 1, np.where(picked >= anchors, picked + 1, picked), anchors)

    def _views(
        self, rows: NDArray[np.int64], own: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int16]]:
        """A random moment from each of T equal parts and a random crop, the same in all frames of a clip.

        All rows are drawn for, the `own` ones are made.
        """
        per_frame, room = self.cache.num_moments // self.num_frames, self.cache.crop_px - self.image_px
        place = {int(position): out for out, position in enumerate(own)}
        frames = np.empty((len(own), self.num_frames, self.image_px, self.image_px, 3), np.uint8)
        boxes = np.empty((len(own), self.num_frames, NUM_BOXES, 4), np.float32)
        nouns = np.empty((len(own), self.num_frames, NUM_BOXES), np.int16)
        for position, row in enumerate(rows):
            moments = np.arange(self.num_frames) * per_frame + rng.integers(per_frame, size=self.num_frames)
            x, y = rng.integers(room + 1, size=2)
            if position not in place:
                continue
            out = place[position]
            is_back, clip = divmod(int(row), len(self.cache))
            if is_back:
                moments = moments[::-1]
            crop = self.cache.frames[clip, :, y : y + self.image_px, x : x + self.image_px]
            frames[out] = crop[moments]
            shifted = self.cache.boxes[clip, moments] * self.cache.crop_px - np.array([x, y, x, y])
            boxes[out] = np.clip(shifted / self.image_px, 0, 1)
            nouns[out] = self.cache.box_nouns[clip, moments]
        return frames, boxes, nouns
