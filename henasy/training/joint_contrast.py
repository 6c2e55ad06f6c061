"""Gradients of a loss over all parts of a step, at the memory of one part.

Each part is embedded without gradients; the loss of all parts' embeddings gives the gradient of each embedding; then
each part is embedded again, with the same random numbers, and its embeddings' gradients go on into the weights.

Source: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup (gradient caching).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

BatchIn = TypeVar("BatchIn", contravariant=True)
Batch = TypeVar("Batch")


@runtime_checkable
class JointObjective(Protocol[BatchIn]):
    """An objective whose loss can be taken over parts that were embedded one by one."""

    def embed(self, batch: BatchIn) -> Sequence[Tensor]:
        """What the loss needs of a part; rows (dim 0) are clips."""
        ...

    def losses(self, embedded: Sequence[Tensor], parts: Sequence[BatchIn]) -> Mapping[str, Tensor]:
        """Scalars by name of all parts, their embeddings joined."""
        ...


class _Random(NamedTuple):
    """Where the random numbers of a part begin."""

    cpu: Tensor
    device: Tensor | None

    @classmethod
    def here(cls, device: torch.device) -> "_Random":
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None)

    def restore(self, device: torch.device) -> None:
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            torch.cuda.set_rng_state(self.device, device)


def backward_jointly(
    objective: JointObjective[Batch],
    parts: Sequence[Batch],
    *,
    device: torch.device,
    autocast: Callable[[], torch.autocast],
    scale: Callable[[Tensor], Tensor],
    check: Callable[[Mapping[str, Tensor]], None],
) -> Mapping[str, Tensor]:
    """The scalars of all parts together; their loss's gradients are added to the weights' own.

    Args:
        objective: what embeds and what is minimised.
        parts: batches that fit into memory one at a time.
        device: where the random numbers of the forward pass come from.
        autocast: makes the context of a forward pass.
        scale: applied to the loss before its backward pass.
        check: refuses scalars before anything is differentiated.
    """
    starts: list[_Random] = []
    embedded: list[Sequence[Tensor]] = []
    for part in parts:
        starts.append(_Random.here(device))
        with torch.no_grad(), autocast():
            embedded.append(objective.embed(part))
    joined = [torch.cat(list(column)) for column in zip(*embedded, strict=True)]
    leaves = [column.requires_grad_(column.is_floating_point()) for column in joined]
    with autocast():
        values = objective.losses(leaves, parts)
    check(values)
    scale(values["loss"]).backward()  # type: ignore[no-untyped-call]
    first = 0
    for part, start in zip(parts, starts, strict=True):
        start.restore(device)
        with autocast():
            again = objective.embed(part)
        rows = slice(first, first + len(again[0]))
        first = rows.stop
        wanted = [
            (output, leaf.grad[rows])
            for output, leaf in zip(again, leaves, strict=True)
            if output.requires_grad and leaf.grad is not None
        ]
        torch.autograd.backward([output for output, _ in wanted], [grad for _, grad in wanted])
    return values
