"""The space-time block equals a naive version that spells out who sees whom."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from henasy.model.attention import GroupedAttention, SpaceTimeBlock, attend

FRAMES, POSITIONS, WIDTH = 3, 5, 8


def _naive(attention: GroupedAttention, globals_: Tensor, tokens: Tensor, *, is_over_time: bool) -> Tensor:
    """All tokens in one sequence, one query at a time, over the list of keys that it may see."""
    num_globals = globals_.shape[1]
    x = torch.cat((globals_, tokens.flatten(1, 2)), dim=1)[0]
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    place = [None] * num_globals + [(t, p) for t in range(FRAMES) for p in range(POSITIONS)]
    axis = 1 if is_over_time else 0
    rows = []
    for i, at in enumerate(place):
        seen = [j for j, to in enumerate(place) if at is None or to is None or to[axis] == at[axis]]
        heads = []
        for head in torch.arange(WIDTH).chunk(attention.heads):
            scores = k[seen][:, head] @ q[i, head] / len(head) ** 0.5
            heads.append(scores.softmax(dim=0) @ v[seen][:, head])
        rows.append(torch.cat(heads))
    out: Tensor = attention.proj(torch.stack(rows))
    return out


@pytest.mark.parametrize("num_globals", [0, 1, 4])
@pytest.mark.parametrize("is_over_time", [True, False])
def test_grouped_attention(num_globals: int, is_over_time: bool) -> None:
    torch.manual_seed(0)
    attention = GroupedAttention(WIDTH, 2).double()
    globals_ = torch.randn(1, num_globals, WIDTH, dtype=torch.float64)
    tokens = torch.randn(1, FRAMES, POSITIONS, WIDTH, dtype=torch.float64)
    run = attention.over_time if is_over_time else attention.over_space
    global_out, token_out = run(globals_, tokens)
    actual = torch.cat((global_out, token_out.flatten(1, 2)), dim=1)[0]
    expected = _naive(attention, globals_, tokens, is_over_time=is_over_time)
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=0)
    if num_globals:
        torch.testing.assert_close(attention.globals_only(globals_, tokens), global_out, atol=1e-12, rtol=0)


def test_block_without_globals_returns_none() -> None:
    block = SpaceTimeBlock(WIDTH, 2, 2.0)
    globals_, tokens = block(torch.zeros(2, 0, WIDTH), torch.randn(2, FRAMES, POSITIONS, WIDTH))
    assert globals_.shape == (2, 0, WIDTH)
    assert tokens.shape == (2, FRAMES, POSITIONS, WIDTH)


@pytest.mark.parametrize(("num_keys", "dtype"), [(5, torch.float32), (40, torch.float32), (40, torch.bfloat16)])
def test_attention_with_gradients_is_the_fused_one_written_out(num_keys: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    sizes = [(3, 7, 2, 8), (3, num_keys, 2, 8), (3, num_keys, 2, 8)]
    given = [torch.randn(size).to(dtype) for size in sizes]
    exact = [one.double().requires_grad_() for one in given]
    wanted = F.scaled_dot_product_attention(*(one.transpose(1, 2) for one in exact)).transpose(1, 2)
    wanted.pow(2).sum().backward()
    parts = [one.clone().requires_grad_() for one in given]
    found = attend(*parts)
    found.pow(2).sum().backward()
    tolerance = {"rtol": 3e-2, "atol": 3e-2} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(found.double(), wanted, **tolerance)
    for part, one in zip(parts, exact, strict=True):
        assert part.grad is not None
        assert one.grad is not None
        torch.testing.assert_close(part.grad.double(), one.grad, **tolerance)
    if dtype != torch.float32:
        return
    with torch.no_grad():
        fused = F.scaled_dot_product_attention(*(one.transpose(1, 2) for one in given)).transpose(1, 2)
        assert torch.equal(attend(*given), fused)
