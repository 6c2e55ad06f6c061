"""How a clip's embedding is made of what the decoder adds and of the global encoder's own embedding.

Shapes: B clips, J joint width.
"""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn


class Fusion(nn.Module, ABC):
    """One clip embedding of two; has no weights."""

    @abstractmethod
    def forward(self, decoded: Tensor, global_video: Tensor) -> Tensor:
        """(B, J) clip embedding of the mapped output of the decoder and the global encoder's embedding, (B, J) each."""

    @abstractmethod
    def init_head_(self, head: nn.Linear) -> None:
        """Changes the fresh weights of the map behind the decoder to what this fusion starts from."""


class DecodedAlone(Fusion):
    """The decoder's output and nothing else, as in the paper (Eq. 6)."""

    def forward(self, decoded: Tensor, global_video: Tensor) -> Tensor:
        """(B, J) `decoded`."""
        return decoded

    def init_head_(self, head: nn.Linear) -> None:
        """Leaves them as they are."""


class BesideGlobal(Fusion):
    """The normalised global embedding plus the decoder's output, which starts at zero: so training starts from it."""

    def forward(self, decoded: Tensor, global_video: Tensor) -> Tensor:
        """(B, J) the sum."""
        return F.normalize(global_video, dim=-1) + decoded

    def init_head_(self, head: nn.Linear) -> None:
        """Zeros."""
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
