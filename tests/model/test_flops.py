"""Counted cost agrees with the figures measured on the reference model."""

import pytest

from henasy.model.config import DualConfig, tiny
from henasy.model.flops import clip_cost, text_cost


def test_text_of_lavila_base() -> None:
    """The reference model needs 5.8 GFLOP per string of 77 tokens; ours pools before it projects."""
    assert text_cost(DualConfig()).flops == pytest.approx(5.9e9, rel=0.03)
    assert text_cost(DualConfig(), num_tokens=10).flops < text_cost(DualConfig()).flops / 7


def test_clip_of_lavila_base() -> None:
    """The reference model needs 184.6 GFLOP; ours skips 10/16 of the last block's linear maps for patches."""
    skipped = 2 * 4 * 196 * 10 * 768**2
    attention_of_patches = 2 * 2 * 4 * 196 * 197 * 768
    assert clip_cost(DualConfig()).flops == pytest.approx(184.6e9 - skipped - attention_of_patches, rel=0.005)


def test_fewer_frames_cost_less_and_conventions_differ_by_two() -> None:
    cost = clip_cost(tiny())
    assert cost.flops == 2 * cost.macs
    assert clip_cost(tiny(), num_frames=2).flops < 0.6 * cost.flops
