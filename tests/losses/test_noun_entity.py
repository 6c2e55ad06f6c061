"""NEC against the reference's word loss."""

from pathlib import Path

import numpy as np
import pytest
import torch

from henasy.losses.matching import match_nouns
from henasy.losses.noun_entity import entity_choice_loss, noun_cosines, noun_entity_loss


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden_dir / "losses_small.npz"))


def noun_rows_of(golden: dict[str, np.ndarray]) -> torch.Tensor:
    rows = torch.tensor(golden["word_gt_inds"])
    return rows.where(rows != 0, -1)  # the reference pads with row 0


def loss_of(golden: dict[str, np.ndarray], entities: torch.Tensor, synonym_cosine: float | None):
    nouns, rows = torch.tensor(golden["word_noun_embeds"]), noun_rows_of(golden)
    match = match_nouns(noun_cosines(entities, nouns, rows), rows)
    return noun_entity_loss(entities, nouns, rows, match, synonym_cosine=synonym_cosine)


def test_match_nouns_equals_reference(golden: dict[str, np.ndarray]) -> None:
    rows = noun_rows_of(golden)
    cosine = noun_cosines(torch.tensor(golden["word_entity_embeds"]), torch.tensor(golden["word_noun_embeds"]), rows)
    match = match_nouns(cosine, rows)
    got = {(b, rows[b, n].item(), match[b, n].item()) for b, n in torch.nonzero(match >= 0).tolist()}
    assert got == {tuple(row) for row in golden["word_matches_batch_noun_entity"].tolist()}


@pytest.mark.parametrize(
    ("synonym_cosine", "key"),
    [(0.6, "helpinghands_word_loss"), (None, "helpinghands_word_loss_no_synonym_mask")],
)
def test_noun_entity_loss_equals_reference(
    golden: dict[str, np.ndarray], synonym_cosine: float | None, key: str
) -> None:
    got = loss_of(golden, torch.tensor(golden["word_entity_embeds"]), synonym_cosine)
    assert got.value.item() == pytest.approx(golden[key].item(), rel=1e-9)
    assert got.num_terms == 7


def test_noun_entity_gradient_equals_reference(golden: dict[str, np.ndarray]) -> None:
    entities = torch.tensor(golden["word_entity_embeds"], requires_grad=True)
    loss_of(golden, entities, 0.6).value.backward()
    np.testing.assert_allclose(entities.grad.numpy(), golden["word_grad_entities"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("width", [0, 3])
def test_noun_entity_loss_without_nouns_is_zero_with_gradient(width: int) -> None:
    entities = torch.randn(2, 4, 8, requires_grad=True)
    rows = torch.full((2, width), -1)
    nouns = torch.randn(5, 8)
    match = match_nouns(noun_cosines(entities, nouns, rows), rows)
    got = noun_entity_loss(entities, nouns, rows, match)
    got.value.backward()
    assert (got.value.item(), got.num_terms) == (0.0, 0)
    assert entities.grad.abs().sum() == 0


def test_entity_choice_loss_equals_a_loop() -> None:
    cosine = torch.rand(3, 2, 5, dtype=torch.float64, requires_grad=True)
    noun_entity = torch.tensor([[1, -1], [4, 0], [-1, -1]])
    terms = [
        -(cosine[b, n, noun_entity[b, n]] / 0.1 - torch.logsumexp(cosine[b, n] / 0.1, dim=0))
        for b, n in ((0, 0), (1, 0), (1, 1))
    ]
    got = entity_choice_loss(cosine, noun_entity, temperature=0.1)
    torch.testing.assert_close(got.value, torch.stack(terms).mean())
    got.value.backward()
    assert not cosine.grad[2].any()
    assert not cosine.grad[0, 1].any()


def test_entity_choice_loss_without_nouns_is_zero_with_gradient() -> None:
    cosine = torch.rand(2, 3, 4, requires_grad=True)
    got = entity_choice_loss(cosine, torch.full((2, 3), -1))
    got.value.backward()
    assert got.value.item() == 0.0
    assert got.num_terms == 0
