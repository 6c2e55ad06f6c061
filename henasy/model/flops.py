"""What one clip and one text cost, counted without computing anything."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from henasy.model.build import build
from henasy.model.config import DualConfig, ModelConfig
from henasy.model.henasy import Henasy


class Cost(NamedTuple):
    """Arithmetic of matrix products, convolutions and attention; nothing else counts."""

    flops: int
    """A multiplication and an addition count as two operations."""

    @property
    def macs(self) -> int:
        """The other convention: a multiplication with its addition counts as one."""
        return self.flops // 2


def clip_cost(config: ModelConfig, *, num_frames: int | None = None) -> Cost:
    """What encoding one clip costs.

    Args:
        config: the model.
        num_frames: frames of the clip, at most those of the config; None is all of them.
    """
    vision = config.vision if isinstance(config, DualConfig) else config.dual.vision
    shape = (1, num_frames or vision.num_frames, 3, vision.image_px, vision.image_px)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = build(config).eval().requires_grad_(False)
        frames = torch.empty(shape)
        if isinstance(model, Henasy):
            model(frames)
        else:
            model.encode_video(frames)
    return Cost(counter.get_total_flops())


def text_cost(config: ModelConfig, *, num_tokens: int | None = None) -> Cost:
    """What encoding one text costs whose end token is the last of `num_tokens`; None is the whole context."""
    dual = config if isinstance(config, DualConfig) else config.dual
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = build(dual).eval().requires_grad_(False)
        assert not isinstance(model, Henasy)
        tokens = torch.zeros(1, num_tokens or dual.text.context_length, dtype=torch.long)
        model.project_text(model.text_features(tokens)[:, -1])
    return Cost(counter.get_total_flops())
