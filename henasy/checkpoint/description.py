"""What a checkpoint is, in numbers: for `henasy-model info`."""

from dataclasses import asdict, dataclass
from typing import Any

from henasy.checkpoint.folder import Checkpoint, dual_config
from henasy.checkpoint.space import space_id
from henasy.model.config import HenasyConfig, config_to_dict
from henasy.model.flops import clip_cost, text_cost

_PARTS = {
    "visual.": "global encoder",
    "image_projection": "projections",
    "text_projection": "projections",
    "logit_scale": "projections",
    "local.": "local entity encoder",
    "decoder.": "entity-aware decoder",
    "video_head.": "projections",
    "entity_head.": "projections",
}


@dataclass(frozen=True, kw_only=True)
class Description:
    """Kind, sizes, cost and origin of a checkpoint."""

    kind: str
    """"henasy" or "dual"."""
    space_id: str
    """Name of the space of its embeddings."""
    image_px: int
    """Side of the square input."""
    num_frames: int
    """Frames per clip."""
    grid: tuple[int, int]
    """Patches per column and row of a frame."""
    joint_dim: int
    """Width of the embeddings."""
    num_entities: int
    """Entities per clip; 0 for a dual encoder."""
    context_length: int
    """Tokens per text."""
    vocab_size: int
    """Rows of the token embedding."""
    has_tokenizer: bool
    """Whether it can read text."""
    num_parameters: int
    """All of them, the text tower included."""
    parameters: dict[str, int]
    """By part of the model."""
    flops_per_clip: int
    """Of matrix products, convolutions and attention; a multiplication with its addition counts as two."""
    flops_per_text: int
    """The same for a text that fills the context."""
    training: dict[str, Any]
    """What it was trained on."""
    warning: str | None
    """What a user with footage of the real world should know."""
    config: dict[str, Any]
    """All sizes."""
    preprocessing: dict[str, object]
    """What is done to frames."""

    def to_dict(self) -> dict[str, Any]:
        """The description as plain JSON values."""
        return asdict(self)


def describe(checkpoint: Checkpoint) -> Description:
    """Everything that `henasy-model info` tells."""
    config = checkpoint.config
    dual = dual_config(config)
    parameters = count_parameters(checkpoint)
    return Description(
        kind=checkpoint.model.kind,
        space_id=space_id(checkpoint),
        image_px=dual.vision.image_px,
        num_frames=dual.vision.num_frames,
        grid=(dual.vision.grid_size, dual.vision.grid_size),
        joint_dim=dual.joint_dim,
        num_entities=config.local.num_entities if isinstance(config, HenasyConfig) else 0,
        context_length=dual.text.context_length,
        vocab_size=dual.text.vocab_size,
        has_tokenizer=checkpoint.tokenizer is not None,
        num_parameters=sum(parameters.values()),
        parameters=parameters,
        flops_per_clip=clip_cost(config).flops,
        flops_per_text=text_cost(config).flops,
        training=checkpoint.training.to_dict(),
        warning=checkpoint.training.warning(),
        config=config_to_dict(config),
        preprocessing=checkpoint.spec.to_dict(),
    )


def count_parameters(checkpoint: Checkpoint) -> dict[str, int]:
    """Number of parameters by part of the model, in the order of the data flow."""
    counts = dict.fromkeys([*dict.fromkeys(_PARTS.values()), "text tower"], 0)
    for name, parameter in checkpoint.model.named_parameters():
        inner = name.removeprefix("dual.")
        part = next((part for prefix, part in _PARTS.items() if inner.startswith(prefix)), "text tower")
        counts[part] += parameter.numel()
    return {part: count for part, count in counts.items() if count}
