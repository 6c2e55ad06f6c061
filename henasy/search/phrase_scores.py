"""How well the phrases of a query meet the entities of clips.

n clips, E entities, P phrases, D width.
"""

import numpy as np
from numpy.typing import NDArray


def best_entity_scores(
    phrases: NDArray[np.float32], entities: NDArray[np.float32], is_valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(..., P) each phrase's cosine with the entity of a clip that it meets best; -inf where a clip has none.

    Args:
        phrases: (..., P, D) L2-normalised.
        entities: (..., E, D) L2-normalised, with the leading axes of `phrases` or such that broadcast with them.
        is_valid: (..., E) entities without patches meet nothing.
    """
    cosines = entities.astype(np.float64) @ np.swapaxes(phrases, -1, -2).astype(np.float64)
    met = np.where(is_valid[..., None], cosines, -np.inf)
    best: NDArray[np.float64] = met.max(axis=-2, initial=-np.inf)
    return best
