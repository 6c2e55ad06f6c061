"""Saliency of a hand-worked example."""

import torch

from henasy.model.saliency import compose_saliency, own_patches

# One clip, one frame, 4 patches, 3 segments, 3 entities.
BOOT = torch.tensor([[[[0.8, 0.1, 0.0, 0.5], [0.2, 0.7, 0.0, 0.5], [0.0, 0.2, 1.0, 0.0]]]])  # (1, 1, G, K)
ENTITY = torch.tensor([[[[0.9, 0.0, 0.2], [0.1, 1.0, 0.3], [0.0, 0.0, 0.5]]]])  # (1, 1, E, G)
# Patch 0: entity 0 gets 0.9*0.8 + 0*0.2 + 0.2*0 = 0.72, entity 1 gets 0.1*0.8 + 1*0.2 = 0.28, entity 2 gets 0.
SALIENCY = torch.tensor([[[[0.72, 0.13, 0.20, 0.45], [0.28, 0.77, 0.30, 0.55], [0.0, 0.10, 0.50, 0.0]]]])


def test_saliency_of_the_example() -> None:
    torch.testing.assert_close(compose_saliency(ENTITY, BOOT), SALIENCY)


def test_saliency_sums_to_one_over_entities() -> None:
    entity = torch.randn(2, 3, 5, 7).softmax(dim=2)
    boot = torch.randn(2, 3, 7, 11).softmax(dim=2)
    torch.testing.assert_close(compose_saliency(entity, boot).sum(dim=2), torch.ones(2, 3, 11))


def test_ownership_of_the_example() -> None:
    owned = own_patches(SALIENCY)
    assert owned.hard.tolist() == [[[0, 1, 2, 1]]]
    assert owned.patch_share.tolist() == [[0.25, 0.5, 0.25]]
    assert owned.is_valid.tolist() == [[True, True, True]]


def test_an_entity_without_patches_is_not_valid() -> None:
    saliency = torch.tensor([[[[0.6, 0.6], [0.3, 0.3], [0.1, 0.1]]]])
    owned = own_patches(saliency)
    assert owned.is_valid.tolist() == [[True, False, False]]
    assert owned.patch_share.tolist() == [[1.0, 0.0, 0.0]]
