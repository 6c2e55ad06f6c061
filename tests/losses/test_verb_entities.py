"""VEC against a version with loops."""

import math

import pytest
import torch

from henasy.losses.verb_entities import verb_entities_loss


def naive(entities, phrases, clips, ids, valid, tau) -> float:
    def unit(v):
        return v / v.norm()

    terms = []
    for p in range(len(phrases)):
        a = unit(phrases[p])
        own = [unit(e) for e, ok in zip(entities[clips[p]], valid[clips[p]], strict=True) if ok]
        if not own:
            continue
        weights = [math.exp(float(a @ e) / tau) for e in own]
        mean = sum(w / sum(weights) * e for w, e in zip(weights, own, strict=True))
        others = [
            math.exp(float(mean @ unit(phrases[j])) / tau)
            for j in range(len(phrases))
            if (j == p or ids[j] != ids[p]) and valid[clips[j]].any()
        ]
        terms.append(-math.log(math.exp(float(mean @ a) / tau) / sum(others)))
    return sum(terms) / len(terms)


def inputs():
    generator = torch.Generator().manual_seed(3)
    entities = torch.randn(5, 4, 8, generator=generator, dtype=torch.float64)
    phrases = torch.randn(7, 8, generator=generator, dtype=torch.float64)
    clips, ids = torch.tensor([0, 0, 1, 2, 3, 4, 4]), torch.tensor([1, 2, 1, 3, 4, 2, 2])
    phrases[2] = phrases[0]
    valid = torch.rand(5, 4, generator=generator) > 0.4
    valid[3] = False
    valid[0] = True
    return entities, phrases, clips, ids, valid


@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_verb_entities_loss_equals_loops(tau: float) -> None:
    entities, phrases, clips, ids, valid = inputs()
    got = verb_entities_loss(entities, phrases, phrase_clips=clips, phrase_ids=ids, is_valid=valid, temperature=tau)
    assert got.value.item() == pytest.approx(naive(entities, phrases, clips, ids, valid, tau), rel=1e-9)
    assert got.num_terms == 6
    everything = verb_entities_loss(entities, phrases, phrase_clips=clips, phrase_ids=ids, temperature=tau)
    wanted = naive(entities, phrases, clips, ids, torch.ones_like(valid), tau)
    assert everything.value.item() == pytest.approx(wanted, rel=1e-9)


def test_verb_entities_gradient_is_finite_where_entities_are_excluded() -> None:
    entities, phrases, clips, ids, valid = inputs()
    entities.requires_grad_()
    verb_entities_loss(entities, phrases, phrase_clips=clips, phrase_ids=ids, is_valid=valid).value.backward()
    assert entities.grad.isfinite().all()
    assert (entities.grad[~valid] == 0).all()


def test_verb_entities_loss_without_phrases_is_zero_with_gradient() -> None:
    entities = torch.randn(2, 4, 8, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    got = verb_entities_loss(entities, torch.zeros(0, 8), phrase_clips=none, phrase_ids=none)
    got.value.backward()
    assert (got.value.item(), got.num_terms) == (0.0, 0)
    assert entities.grad.abs().sum() == 0
