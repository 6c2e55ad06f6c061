"""Random weights for training from nothing."""

from torch import Tensor, nn

EMBEDDING_STD = 0.02
_RESIDUAL_OUTPUTS = ("proj", "fc2", "out_proj", "c_proj")


def init_linears_(module: nn.Module, *, num_residuals: int) -> None:
    """Draws every linear map of a transformer for unit-variance outputs; biases become zero.

    Maps that end a residual branch are made smaller, so that the sum of `num_residuals` branches keeps its
    scale. A small transformer trains far slower from the 0.02 that large ones start with.

    Source: openai/CLIP clip/model.py (the rule, there for the text tower).
    """
    for name, part in module.named_modules():
        is_residual_end = isinstance(part, nn.Linear) and name.rsplit(".", 1)[-1] in _RESIDUAL_OUTPUTS
        scale = num_residuals**-0.5 if is_residual_end else 1.0
        for key, weight in part.named_parameters(recurse=False):
            if isinstance(part, nn.LayerNorm):
                continue
            if key.endswith("bias"):
                nn.init.zeros_(weight)
            elif key in ("weight", "in_proj_weight"):
                fan_in = weight[0].numel()
                nn.init.normal_(weight, std=scale * fan_in**-0.5)


def init_embeddings_(*parameters: Tensor, std: float = EMBEDDING_STD) -> None:
    """Draws learned tokens and position embeddings."""
    for parameter in parameters:
        nn.init.trunc_normal_(parameter, std=std)
