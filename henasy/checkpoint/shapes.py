"""The sizes of a TimeSformer, told by the shapes of its tensors under LaViLa's names."""

import math
import re
from collections.abc import Mapping

from torch import Tensor

from henasy.errors import CheckpointError, ConfigError
from henasy.model.config import VisionConfig

HEAD_WIDTH = 64


class Shapes:
    """Shapes by name, with an error where one is not as the model has it."""

    def __init__(self, weights: Mapping[str, Tensor], source: str, model: str) -> None:
        """Reads the tensors of a file, which should be of a named kind of model."""
        self.weights, self.source, self.model = weights, source, model

    def of(self, name: str, num_axes: int) -> tuple[int, ...]:
        """The shape of a tensor.

        Raises:
            CheckpointError: it is missing or has another number of axes.
        """
        if name not in self.weights:
            raise CheckpointError(f"{self.source}: no tensor {name}; this is not {self.model}")
        shape = tuple(self.weights[name].shape)
        if len(shape) != num_axes or 0 in shape:
            raise CheckpointError(f"{self.source}: {name} has shape {shape}; {num_axes} axes are needed")
        return shape

    def depth(self, prefix: str) -> int:
        """How many blocks have names that start so."""
        found = {int(m.group(1)) for n in self.weights if (m := re.match(re.escape(prefix) + r"(\d+)\.", n))}
        return max(found, default=-1) + 1


def vision_of_shapes(
    shapes: Shapes, *, heads: int | None, activation: str, has_patch_bias: bool, has_first_norm: bool
) -> VisionConfig:
    """The video encoder below `visual.`: its sizes from the shapes, what shapes do not tell as given.

    Raises:
        CheckpointError: a tensor that tells a size is missing or has another number of axes.
        ConfigError: the heads do not divide the width, or the width is no multiple of 64 and they are not given.
    """
    patches, width = shapes.of("visual.pos_embed", 3)[1] - 1, shapes.of("visual.cls_token", 3)[2]
    patch_px, grid = shapes.of("visual.patch_embed.proj.weight", 4)[3], math.isqrt(max(patches, 0))
    if grid * grid != patches or grid == 0:
        raise CheckpointError(f"{shapes.source}: visual.pos_embed is for {patches} patches; a square number is needed")
    return VisionConfig(
        image_px=grid * patch_px,
        patch_px=patch_px,
        width=width,
        depth=shapes.depth("visual.blocks."),
        heads=heads_of(heads, width, "--vision-heads"),
        num_frames=shapes.of("visual.temporal_embed", 3)[1],
        mlp_ratio=shapes.of("visual.blocks.0.mlp.fc1.weight", 2)[0] / width,
        activation=activation,
        has_patch_bias=has_patch_bias,
        has_first_norm=has_first_norm,
    )


def heads_of(given: int | None, width: int, option: str) -> int:
    """Attention heads: those given, or width / 64.

    Raises:
        ConfigError: they do not divide the width, or the width is no multiple of 64 and they are not given.
    """
    if given is None and width % HEAD_WIDTH:
        raise ConfigError(
            f"{option} is needed: width {width} is no multiple of {HEAD_WIDTH}, the usual width of a head"
        )
    heads = width // HEAD_WIDTH if given is None else given
    if heads < 1 or width % heads:
        raise ConfigError(f"{option} is {heads}; allowed: a divisor of the width {width}")
    return heads
