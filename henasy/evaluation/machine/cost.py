"""What models cost: parameters and arithmetic, counted without computing anything."""

from typing import NamedTuple

from henasy.checkpoint.weights import build_empty
from henasy.model.assemblies import COMPLETE, table_4
from henasy.model.config import HenasyConfig, LocalConfig, ModelConfig, base, base_768, tiny, with_frames
from henasy.model.flops import Cost, clip_cost

COUNTED_FRAMES = (4, 16)
EXPLAINED = (
    "HENASY's 599 and HelpingHands' 530 GFLOPs per clip are not reproduced: at 4 frames of 224 px the count is far "
    "below in either convention, and neither 4, 8 nor 16 frames give both or their difference. 291 M parameters are "
    "those of base-768 with the text tower; none of the variants 512 wide that were tried reaches them"
)


class ModelCost(NamedTuple):
    """What can be told of a model without running it."""

    num_parameters: int
    """Both towers included"""
    num_trainable: int
    """Those that the model's own stage of training changes"""
    clip: dict[int, Cost]
    """Of one clip, by its frames"""


def counted_models() -> dict[str, ModelConfig]:
    """The presets, their dual encoders, base with one setting changed, and the designs of Table 4, by name."""
    with_mlp = HenasyConfig(local=LocalConfig(is_cross_mlp=True))
    without_mlp = HenasyConfig(local=LocalConfig(has_tag_mlp=False))
    return {
        "base": base(),
        "base, cross MLP": with_mlp,
        "base, no TAG MLP": without_mlp,
        **_designs("base", base()),
        "base-768": base_768(),
        "dual of base": base().dual,
        "tiny": tiny(),
        **_designs("tiny", tiny()),
        "dual of tiny": tiny().dual,
    }


MEASURED = ("base", "base-768", "dual of base", "tiny", "dual of tiny")
"""The models that are run; of the others one runs what `--model` names."""


def _designs(preset: str, config: HenasyConfig) -> dict[str, ModelConfig]:
    return {f"{preset} {name}": design for name, design in table_4(config).items() if name != COMPLETE}


def count_cost(config: ModelConfig) -> ModelCost:
    """Parameters, and arithmetic at 4 and at 16 frames."""
    sizes = [(value.numel(), value.requires_grad) for value in build_empty(config).parameters()]
    return ModelCost(
        num_parameters=sum(size for size, _ in sizes),
        num_trainable=sum(size for size, is_trained in sizes if is_trained),
        clip={num_frames: clip_cost(with_frames(config, num_frames)) for num_frames in COUNTED_FRAMES},
    )
