"""Hard patch assignments as bit planes: for 8 entities 3 bits a patch, some 300 bytes a clip.

N clips, T frames, K patches per frame, P planes.
"""

import numpy as np
from numpy.typing import NDArray


def num_planes(num_entities: int) -> int:
    """Bits that the numbers 0 .. num_entities - 1 need, at least 1."""
    return max(1, (num_entities - 1).bit_length())


def packed_bytes(num_frames: int, num_patches: int) -> int:
    """Bytes of one plane of one clip."""
    return -(-num_frames * num_patches // 8)


def pack_assignment(assignment: NDArray[np.uint8], num_entities: int) -> NDArray[np.uint8]:
    """Bit planes (N, P, bytes) of an assignment (N, T, K), lowest bit first."""
    flat = assignment.reshape(len(assignment), -1)
    planes = [(flat >> plane) & 1 for plane in range(num_planes(num_entities))]
    return np.packbits(np.stack(planes, axis=1), axis=2)


def unpack_assignment(packed: NDArray[np.uint8], num_frames: int, num_patches: int) -> NDArray[np.uint8]:
    """The assignment (N, T, K) in which each patch names its entity."""
    bits = np.unpackbits(packed, axis=2, count=num_frames * num_patches)
    weights = (1 << np.arange(packed.shape[1])).astype(np.uint8)
    flat: NDArray[np.uint8] = (bits * weights[None, :, None]).sum(axis=1, dtype=np.uint8)
    return flat.reshape(len(packed), num_frames, num_patches)
