"""The convolutional stem's own training: cut-out things and what they are called.

It stands in for the pictures of single things that CLIP's pre-training is full of: where a thing fills the picture,
its name is learnt from some hundred thousand of them; whole kitchens gave a fifth of it in the same time.

N things, S side of a cut-out in px, W nouns.
"""

from typing import NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from henasy.errors import ConfigError
from henasy.model.conv_stem import ConvStem
from henasy.training.clip_cache import NUM_HANDS
from henasy.training.config import TrainConfig
from henasy.training.data import ClipCache

MARGIN = 1.2
"""Side of a cut-out over the longer side of the thing's box."""
MIN_SIDE_PX = 16
"""Cut-outs of the cache's frames are not smaller."""
_HAND_WEIGHT = 0.25
"""How often a hand is drawn, against another thing: there are two in nearly every picture."""


class ThingBatch(NamedTuple):
    """Cut-outs with their names."""

    crops: Tensor
    """(N, 3, S, S) float32, normalised"""
    nouns: Tensor
    """(N,) int64 rows of the cache's nouns"""


class ThingBatches:
    """Cut-outs around the boxes of a cache: those of a step depend on (seed, step) alone."""

    def __init__(
        self,
        cache: ClipCache,
        config: TrainConfig,
        *,
        crop_px: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """A step has two things per anchor of its batch, as the other stages have clips.

        Raises:
            ConfigError: no clip of the cache has a box.
        """
        self.cache, self.config, self.crop_px = cache, config, crop_px
        self.mean, self.std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
        self.boxed = np.argwhere(np.asarray(cache.box_nouns) >= 0)
        if not len(self.boxed):
            raise ConfigError("the cache has no boxes; things are cut out around boxes")
        weights = np.where(self.boxed[:, 2] < NUM_HANDS, _HAND_WEIGHT, 1.0)
        self.cumulative = np.cumsum(weights / weights.sum())

    def batch(self, step: int, part: int, device: torch.device) -> ThingBatch:
        """Micro-batch `part` of optimiser step `step`."""
        rng = np.random.default_rng((self.config.seed, step, part))
        num_anchors = self.config.batch_size // self.config.num_micro_batches
        draws = rng.random((2 * num_anchors, 6))
        orders = rng.permuted(np.tile(np.arange(3), (2 * num_anchors, 1)), axis=1)
        picked = self.boxed[np.searchsorted(self.cumulative, draws[:, 0]).clip(max=len(self.boxed) - 1)]
        crops = [self._seen_anew(place, *row) for place, *row in zip(picked, draws[:, 1:], orders, strict=True)]
        return self._batch(crops, picked, device)

    def plain(self, num_things: int, *, seed: int, device: torch.device) -> ThingBatch:
        """Things other than hands, cut out without chance but which they are; to evaluate on.

        Raises:
            ConfigError: the cache has no such things.
        """
        objects = self.boxed[self.boxed[:, 2] >= NUM_HANDS]
        if not len(objects):
            raise ConfigError("the cache has boxes of hands alone; needed are boxes of things")
        picked = np.random.default_rng(seed).permutation(objects)[:num_things]
        return self._batch([self._cut(place, MARGIN, np.zeros(2)) for place in picked], picked, device)

    def _seen_anew(self, place: NDArray[np.int64], draws: NDArray[np.float64], order: NDArray[np.int64]) -> Tensor:
        """(3, S, S) of a thing nearer or farther, off centre, mirrored, in other colours."""
        crop = self._cut(place, MARGIN * (0.9 + 0.5 * draws[0]), 0.2 * draws[1:3] - 0.1)
        if draws[3] < self.config.recolour:
            crop = crop[torch.from_numpy(order)]
        # a mirrored left hand is a right hand
        is_mirrored = draws[4] < 0.5 and place[2] >= NUM_HANDS
        return crop.flip(-1) if is_mirrored else crop

    def _cut(self, place: NDArray[np.int64], margin: float, shift: NDArray[np.float64]) -> Tensor:
        """(3, S, S) in [0, 255] of a square around a box, as much of it as lies in the frame."""
        row, moment, _ = place
        frame_px = self.cache.crop_px
        box = self.cache.boxes[tuple(place)] * frame_px
        side = min(round(max(float((box[2:] - box[:2]).max()) * margin, MIN_SIDE_PX)), frame_px)
        corner = (box[:2] + box[2:]) / 2 + shift * side - side / 2
        x, y = corner.clip(0, frame_px - side).astype(int)
        pixels = torch.from_numpy(np.array(self.cache.frames[row, moment, y : y + side, x : x + side]))
        size = (self.crop_px, self.crop_px)
        return F.interpolate(pixels.permute(2, 0, 1)[None].float(), size, mode="bilinear", antialias=True)[0]

    def _batch(self, crops: list[Tensor], picked: NDArray[np.int64], device: torch.device) -> ThingBatch:
        nouns = torch.from_numpy(self.cache.box_nouns[tuple(picked.T)].astype(np.int64))
        normalised = (torch.stack(crops) - self.mean) / self.std
        return ThingBatch(normalised.to(device), nouns.to(device))


class ThingNamer(nn.Module):
    """A stem with a linear map to nouns, which is thrown away after its training."""

    def __init__(self, stem: ConvStem, num_nouns: int) -> None:
        super().__init__()
        self.stem = stem
        self.to_nouns = nn.Linear(stem.widen.in_features, num_nouns)

    def train(self, mode: bool = True) -> Self:
        """Switches all, the stem's norms included: this is the only training that they learn in."""
        self.stem.learns_norms = True
        super().train(mode)
        self.stem.learns_norms = False
        return self

    def forward(self, crops: Tensor) -> Tensor:
        """(N, W) logits of (N, 3, S, S) cut-outs."""
        logits: Tensor = self.to_nouns(self.stem.features(crops).mean(dim=(2, 3)))
        return logits


class ThingObjective:
    """Cross-entropy of the nouns."""

    def __init__(self, model: ThingNamer) -> None:
        self.model = model

    def __call__(self, batch: ThingBatch) -> dict[str, Tensor]:
        """The loss, and the share of things whose noun ranks first."""
        logits = self.model(batch.crops).float()
        top1 = (logits.argmax(dim=-1) == batch.nouns).float().mean()
        return {"loss": F.cross_entropy(logits, batch.nouns), "thing_top1": top1}


def thing_score(model: ThingNamer, batch: ThingBatch) -> dict[str, float]:
    """Share of things whose noun ranks first, with the model as it is used later."""
    model.eval()
    with torch.inference_mode():
        hits = model(batch.crops).argmax(dim=-1) == batch.nouns
    return {"thing": float(hits.float().mean())}
