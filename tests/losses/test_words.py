"""Things against single words."""

import math

import pytest
import torch

from henasy.losses.words import word_loss

WORDS = torch.eye(3)
THINGS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 3.0]])  # the first is word 0, the second lies between 1 and 2


def test_word_loss_by_hand() -> None:
    truth = torch.tensor([0, 0])
    got = word_loss(THINGS, WORDS, truth, temperature=0.5)
    first = -math.log(math.exp(2) / (math.exp(2) + 2))
    second = -math.log(1 / (1 + 2 * math.exp(2**0.5)))
    assert got.loss.value.item() == pytest.approx((first + second) / 2)
    assert got.loss.num_terms == got.top1.num_terms == 2
    assert got.top1.value == 0.5


def test_word_loss_leaves_out_words_that_are_not_allowed() -> None:
    allowed = torch.tensor([True, False, True])
    got = word_loss(THINGS, WORDS, torch.tensor([0, 2]), temperature=0.5, is_allowed=allowed)
    first, second = -math.log(math.exp(2) / (math.exp(2) + 1)), -math.log(1 / (1 + math.exp(-(2**0.5))))
    assert got.loss.value.item() == pytest.approx((first + second) / 2)
    assert got.top1.value == 1.0


def test_word_loss_of_nothing_is_an_exact_zero_with_a_gradient() -> None:
    things = torch.zeros(0, 3, requires_grad=True)
    got = word_loss(things, WORDS, torch.zeros(0, dtype=torch.int64), temperature=0.5)
    got.loss.value.backward()
    assert got.loss == (0.0, 0)
    assert things.grad is not None
