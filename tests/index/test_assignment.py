import numpy as np
import pytest

from henasy.index.assignment import num_planes, pack_assignment, packed_bytes, unpack_assignment


@pytest.mark.parametrize(("entities", "planes"), [(1, 1), (2, 1), (3, 2), (8, 3), (9, 4), (16, 4), (17, 5), (256, 8)])
def test_packed_assignment_comes_back(entities: int, planes: int) -> None:
    assignment = np.random.default_rng(entities).integers(0, entities, (5, 3, 7), dtype=np.uint8)
    packed = pack_assignment(assignment, entities)
    assert num_planes(entities) == planes
    assert packed.shape == (5, planes, packed_bytes(3, 7))
    np.testing.assert_array_equal(unpack_assignment(packed, 3, 7), assignment)


def test_eight_entities_take_some_300_bytes_a_clip() -> None:
    packed = pack_assignment(np.zeros((1, 4, 196), np.uint8), 8)
    assert packed.nbytes == 294


def test_bits_are_where_the_format_says() -> None:
    packed = pack_assignment(np.array([[[5, 0, 3]]], np.uint8), 8)
    # Lowest bit of 5, 0, 3 is 1, 0, 1; the next 0, 0, 1; the highest 1, 0, 0. First patch in the highest bit.
    assert packed.tolist() == [[[0b10100000], [0b00100000], [0b10000000]]]
