"""How a clip's embedding is made of the decoder's and of the global encoder's own.

Shapes: B clips, J joint width.
"""

import torch.nn.functional as F
from torch import Tensor


def fused(decoded: Tensor, global_video: Tensor, global_share: float) -> Tensor:
    """(B, J) weighted mean of the directions of two clip embeddings, (B, J) each; `decoded` itself at a share of 0.

    Two encoders that were trained apart err in different places; their mean errs less than either.
    """
    if global_share == 0:
        return decoded
    return (1 - global_share) * F.normalize(decoded, dim=-1) + global_share * F.normalize(global_video, dim=-1)
