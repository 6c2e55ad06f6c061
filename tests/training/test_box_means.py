"""Boxes as means of patch tokens, against a plain loop."""

import numpy as np
import torch

from henasy.training.regions import box_means


def test_box_means_are_those_of_the_patches_whose_centres_lie_inside() -> None:
    draw = torch.Generator().manual_seed(0)
    patches = torch.randn(2, 3, 16, 5, generator=draw)
    corners = torch.rand(2, 3, 2, 4, generator=draw)
    boxes = torch.cat(
        [torch.minimum(corners[..., :2], corners[..., 2:]), torch.maximum(corners[..., :2], corners[..., 2:])], -1
    )
    got = box_means(patches, boxes, 4)
    centres = [((x + 0.5) / 4, (y + 0.5) / 4) for y in range(4) for x in range(4)]
    for place in np.ndindex(2, 3, 2):
        x0, y0, x1, y1 = boxes[place].tolist()
        inside = [k for k, (x, y) in enumerate(centres) if x0 <= x < x1 and y0 <= y < y1]
        if inside:  # a thinner box takes the patch that its own centre lies in
            torch.testing.assert_close(got.means[place], patches[place[:2]][inside].mean(dim=0))
        assert bool(got.has_patches[place])


def test_box_means_of_left_out_patches_and_of_no_box() -> None:
    patches = torch.arange(4.0).reshape(1, 1, 4, 1)
    boxes = torch.tensor([[[[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.5, 0, 0.5, 0]]]])
    keep = torch.tensor([1, 3])
    got = box_means(patches[:, :, keep], boxes, 2, keep=keep)
    assert got.has_patches.tolist() == [[[True, False, False]]]
    assert got.means[0, 0, :, 0].tolist() == [2.0, 0.0, 0.0]
