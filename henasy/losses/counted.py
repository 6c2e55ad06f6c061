"""A loss together with the number of things it was averaged over, so that an empty batch shows."""

from typing import NamedTuple

from torch import Tensor


class CountedLoss(NamedTuple):
    """A mean loss and how many terms it is the mean of."""

    value: Tensor
    """Scalar; an exact 0 that still carries a gradient when `num_terms` is 0."""
    num_terms: int
    """Number of nouns, phrases or boxes that took part."""


def mean_of(terms: Tensor, anchor: Tensor) -> CountedLoss:
    """The mean of `terms` (P,), or 0 attached to `anchor`'s graph when there are none."""
    if terms.numel() == 0:
        return CountedLoss(anchor.reshape(-1)[:0].sum(), 0)
    return CountedLoss(terms.mean(), terms.numel())


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32 if it is of a shorter floating type: logits over a temperature need the bits."""
    return x.float() if x.element_size() < 4 else x
