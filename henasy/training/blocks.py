"""Ways to run a model's transformer blocks: computed again in the backward pass, or compiled."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from henasy.errors import ConfigError
from henasy.model.conv_stem import ConvStem


def transformer_blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of a model: what its lists of equal modules hold, outermost first."""
    found: list[nn.Module] = []
    for child in model.children():
        if isinstance(child, ConvStem):  # norms of a block that is computed twice would learn twice
            continue
        members = list(child.children())
        is_stack = isinstance(child, nn.ModuleList | nn.Sequential) and len({type(one) for one in members}) == 1
        if is_stack and any(True for _ in members[0].children()):
            found += members
        else:
            found += transformer_blocks(child)
    return found


def recompute_blocks(model: nn.Module) -> int:
    """Makes every block keep only its input in the forward pass; returns how many there are.

    Gradients stay the same, random numbers included. A block's weights and names stay as they are.

    Raises:
        ConfigError: the model has no blocks.
    """
    blocks = [block for block in transformer_blocks(model) if _is_trained(block)]
    if not blocks:
        raise ConfigError("is_recomputing is set; this model has no blocks that are trained")
    for block in blocks:
        if not isinstance(block.forward, partial):  # two stages may train one model
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    return len(blocks)


def compile_blocks(model: nn.Module) -> int:
    """Compiles every block when it first runs; returns how many there are.

    Blocks rather than the model: equal blocks share one compilation, and the parts between them (matching, random
    patches) need none.

    Raises:
        ConfigError: the model has no blocks.
    """
    blocks = transformer_blocks(model)
    if not blocks:
        raise ConfigError("is_compiled is set; this model has no blocks")
    for block in blocks:
        block.compile()
    return len(blocks)


def _is_trained(block: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in block.parameters())
