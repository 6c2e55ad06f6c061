"""The projection loss against the reference's numbers and against maps that really are enlarged."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from henasy.losses.projection import (
    box_profiles,
    has_area,
    projection_loss,
    projection_terms,
    soft_overlap,
)


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden_dir / "losses_small.npz"))


def test_projection_terms_equal_reference_with_gradient(golden: dict[str, np.ndarray]) -> None:
    masks = torch.tensor(golden["boxinst_mask"][:, 0], requires_grad=True)
    box = torch.tensor(golden["boxinst_box"][:, 0])
    terms = projection_terms(masks, box.amax(dim=2), box.amax(dim=1))
    # the reference lists the maximum over y (one value per column) first
    np.testing.assert_allclose(terms.detach().T.numpy()[::-1], golden["boxinst_per_instance_yx"], rtol=1e-9)
    loss = terms.sum(dim=1).mean()
    assert loss.item() == pytest.approx(golden["boxinst_project_term"].item(), rel=1e-9)
    loss.backward()
    np.testing.assert_allclose(masks.grad.numpy(), golden["boxinst_grad"][:, 0], rtol=1e-7, atol=1e-10)


def test_box_profiles_cover_cells_by_their_centres() -> None:
    boxes = torch.tensor([[0.25, 0.0, 0.7, 1.0], [0.3, 0.6, 0.31, 0.61], [0.0, 0.0, 0.0, 0.0]])
    rows, columns = box_profiles(boxes, (2, 8))
    assert rows.tolist() == [[True, True], [False, True], [False, False]]
    assert torch.nonzero(columns[0]).flatten().tolist() == [2, 3, 4, 5]
    assert torch.nonzero(columns[1]).flatten().tolist() == [2]  # too thin to hold a centre
    assert not columns[2].any()
    assert has_area(boxes).tolist() == [True, True, False]


def test_boxes_beyond_the_frame_count_by_what_is_inside() -> None:
    boxes = torch.tensor([[-0.5, 0.5, 0.25, 1.5], [1.1, 0.0, 1.3, 1.0], [0.98, 0.0, 1.3, 1.0]])
    rows, columns = box_profiles(boxes, (4, 4))
    assert rows[0].tolist() == [False, False, True, True]
    assert columns.tolist() == [[True, False, False, False], [False] * 4, [False, False, False, True]]
    assert has_area(boxes).tolist() == [True, False, True]


def enlarged(saliency: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    flat = F.interpolate(saliency.flatten(0, 1), size=grid, mode="bilinear", align_corners=False)
    return flat.unflatten(0, saliency.shape[:2])


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    saliency = torch.randn(2, 3, 5, 6, 7, generator=generator, dtype=torch.float64).softmax(dim=2)
    corners = torch.rand(2, 3, 4, 2, 2, generator=generator, dtype=torch.float64).sort(dim=-2).values
    boxes = corners.flatten(-2)
    boxes[0, 1, 2] = 0
    return saliency, boxes


def test_soft_overlap_equals_enlarged_maps() -> None:
    saliency, boxes = scene()
    grid = (20, 24)
    maps = enlarged(saliency, grid)
    rows, columns = box_profiles(boxes, grid)
    masks = (rows[..., :, None] & columns[..., None, :]).double()
    inside = torch.einsum("btmhw,btehw->btme", masks, maps)
    union = masks.sum((-1, -2))[..., None] + maps.sum((-1, -2))[:, :, None] - inside
    np.testing.assert_allclose(soft_overlap(saliency, boxes, grid), inside / union, rtol=1e-9, atol=1e-12)


def test_projection_loss_equals_loop_over_boxes() -> None:
    saliency, boxes = scene()
    grid = (20, 24)
    entity = torch.arange(4).expand(2, 3, 4).where(has_area(boxes), -1)
    maps = enlarged(saliency, grid)
    rows, columns = box_profiles(boxes, grid)
    terms = []
    for b, t, m in torch.nonzero(entity >= 0).tolist():
        for side, target in ((1, rows[b, t, m]), (0, columns[b, t, m])):
            profile = maps[b, t, entity[b, t, m]].amax(dim=side)
            wanted = target.double()
            product, squares = (profile * wanted).sum(), (profile**2).sum() + (wanted**2).sum()
            terms.append(1 - 2 * product / (squares + 1e-5))
    got = projection_loss(saliency, boxes, entity, grid=grid)
    assert got.num_terms == 23
    assert got.value.item() == pytest.approx(2 * torch.stack(terms).mean().item(), rel=1e-9)


def test_projection_loss_of_a_perfect_map_is_near_zero() -> None:
    saliency = torch.zeros(1, 1, 2, 8, 8)
    saliency[0, 0, 1, 2:6, 0:4] = 1
    box = torch.tensor([[[[0.0, 0.25, 0.5, 0.75]]]])
    got = projection_loss(saliency, box, torch.tensor([[[1]]]), grid=(8, 8))
    assert got.value.item() == pytest.approx(0.0, abs=1e-5)


def test_projection_loss_without_boxes_is_zero_with_gradient() -> None:
    saliency = torch.rand(2, 3, 5, 6, 7, requires_grad=True)
    for slots in (0, 4):
        boxes, entity = torch.zeros(2, 3, slots, 4), torch.full((2, 3, slots), -1)
        assert soft_overlap(saliency, boxes, (8, 8)).shape == (2, 3, slots, 5)
        got = projection_loss(saliency, boxes, entity)
        got.value.backward()
        assert (got.value.item(), got.num_terms) == (0.0, 0)
    assert saliency.grad.abs().sum() == 0
