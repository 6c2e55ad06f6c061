"""The assignment attention equals the golden numbers; temporal-aware grouping keeps its promises."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from henasy.model.grouping import AssignAttention, TemporalAwareGrouping, straight_through

WIDTH = 32


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, Any]:
    return dict(np.load(golden_dir / "groupvit_tiny_io.npz"))


def _assign(golden_dir: Path, dtype: torch.dtype, eps: float = 1.0) -> AssignAttention:
    weights = load_file(golden_dir / "groupvit_tiny.safetensors")
    assign = AssignAttention(WIDTH, WIDTH, eps=eps, tau=1.0)
    own = {key.removeprefix("assign."): value for key, value in weights.items() if key.startswith("assign.")}
    assign.load_state_dict(own, strict=True)
    return assign.to(dtype)


def _close(actual: Tensor, expected: np.ndarray) -> None:
    atol = 1e-6 if actual.dtype == torch.float64 else 1e-5
    wanted = torch.from_numpy(expected).to(actual.dtype)
    assert actual.shape == wanted.shape
    torch.testing.assert_close(actual.detach(), wanted, atol=atol, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
class TestAssignGolden:
    def test_eval(self, golden_dir: Path, golden: dict[str, Any], dtype: torch.dtype) -> None:
        query, key = (torch.from_numpy(golden[f"assign_{name}"]).to(dtype) for name in ("query", "key"))
        merged, soft, hard = _assign(golden_dir, dtype).eval()(query, key)
        _close(merged, golden["assign_out"])
        _close(soft, golden["assign_soft"][:, 0])
        _close(hard, golden["assign_hard"][:, 0])

    def test_small_eps(self, golden_dir: Path, golden: dict[str, Any], dtype: torch.dtype) -> None:
        query, key = (torch.from_numpy(golden[f"assign_{name}"]).to(dtype) for name in ("query", "key"))
        merged = _assign(golden_dir, dtype, eps=1e-6).eval()(query, key).merged
        _close(merged, golden["assign_out_eps1e-6"])

    def test_gumbel_noise_and_gradients(self, golden_dir: Path, golden: dict[str, Any], dtype: torch.dtype) -> None:
        query, key, noise, cotangent = (
            torch.from_numpy(golden[name]).to(dtype)
            for name in ("assign_query", "assign_key", "gumbel_noise", "gumbel_cotangent")
        )
        query.requires_grad_()
        key.requires_grad_()
        merged, soft, hard = _assign(golden_dir, dtype).train()(query, key, noise[:, 0])
        _close(merged, golden["gumbel_out"])
        _close(hard, golden["gumbel_hard"][:, 0])
        _close(soft, golden["assign_soft"][:, 0])
        (merged * cotangent).sum().backward()
        assert query.grad is not None
        assert key.grad is not None
        _close(query.grad, golden["gumbel_grad_query"])
        _close(key.grad, golden["gumbel_grad_key"])


def _grouping(eps: float = 1.0) -> TemporalAwareGrouping:
    torch.manual_seed(0)
    return TemporalAwareGrouping(16, 24, eps=eps, tau=1.0, mlp_ratio=2.0, has_mlp=True)


def test_straight_through_is_one_hot_with_the_soft_gradient() -> None:
    soft = torch.rand(2, 3, 5).softmax(dim=1).requires_grad_()
    hard = straight_through(soft)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(hard.sum(dim=1), torch.ones(2, 5))
    weight = torch.rand(2, 3, 5)
    (hard * weight).sum().backward()
    assert soft.grad is not None
    assert torch.equal(soft.grad, weight)


def test_frames_are_grouped_separately() -> None:
    """Grouping a clip equals grouping each of its frames alone under the same group tokens."""
    grouping = _grouping().eval()
    groups, tokens = torch.randn(2, 4, 16), torch.randn(2, 3, 10, 24)
    whole = grouping(groups, tokens)
    for frame in range(3):
        alone = grouping(groups, tokens[:, frame : frame + 1])
        torch.testing.assert_close(whole.tokens[:, frame], alone.tokens[:, 0])
        assert torch.equal(whole.hard[:, frame], alone.hard[:, 0])


def test_merging_equals_the_formula() -> None:
    """Eq. 4 with value and output maps, group by group in loops."""
    grouping = _grouping().eval()
    assign = grouping.assign
    groups, tokens = torch.randn(1, 4, 16), torch.randn(1, 2, 10, 24)
    merged, _, hard = assign(groups.unsqueeze(1), tokens)
    for frame in range(2):
        for group in range(4):
            members = [i for i in range(10) if hard[0, frame, group, i] == 1]
            total = sum((assign.v_proj(tokens[0, frame, i]) for i in members), torch.zeros(16))
            expected = assign.proj(total / (len(members) + 1.0))
            torch.testing.assert_close(merged[0, frame, group], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("eps", [1.0, 1e-6])
def test_empty_groups_stay_finite(eps: float) -> None:
    grouping = _grouping(eps).train()
    groups = torch.randn(2, 8, 16, requires_grad=True)
    out = grouping(groups, torch.randn(2, 3, 2, 24))  # 2 tokens cannot fill 8 groups
    assert torch.isfinite(out.tokens).all()
    out.tokens.square().sum().backward()
    assert groups.grad is not None
    assert torch.isfinite(groups.grad).all()


def test_training_draws_noise_and_eval_does_not() -> None:
    grouping = _grouping()
    groups, tokens = torch.randn(1, 6, 16), torch.randn(1, 2, 50, 24)
    grouping.train()
    assert not torch.equal(grouping(groups, tokens).hard, grouping(groups, tokens).hard)
    grouping.eval()
    first, second = grouping(groups, tokens), grouping(groups, tokens)
    assert torch.equal(first.hard, second.hard)
    assert torch.equal(first.hard.argmax(dim=2), first.soft.argmax(dim=2))
