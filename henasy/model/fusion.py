"""How a clip's embedding is made of the decoder's and of the global encoder's own.

Shapes: B clips, J joint width.
"""

import torch.nn.functional as F
from torch import Tensor


def fused(decoded: Tensor, global_video: Tensor, global_share: float) -> Tensor:
    """(B, J) weighted mean of the directions of two clip embeddings, (B, J) each; `decoded` itself at a share of 0.

    Each was trained to be compared with texts on its own, and they err in different places. float32 whatever is given.
    """
    if global_share == 0:
        return decoded
    decoded, global_video = (F.normalize(one.float(), dim=-1) for one in (decoded, global_video))
    return (1 - global_share) * decoded + global_share * global_video
