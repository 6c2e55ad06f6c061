"""The space-time block equals a naive version that spells out who sees whom."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from henasy.model.attention import GroupedAttention, SpaceTimeBlock, attend, written_out_attention

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_written_out_attention_and_its_gradients(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    given = [torch.randn(3, 2, count, 8).to(dtype) for count in (7, 40, 40)]
    exact = [one.double().requires_grad_() for one in given]
    wanted = F.scaled_dot_product_attention(*exact)
    wanted.pow(2).sum().backward()
    parts = [one.clone().requires_grad_() for one in given]
    found = written_out_attention(*parts)
    found.pow(2).sum().backward()
    # In bfloat16 logits of about 3 are rounded by 1/128 before they are exponents.
    tolerance = {"rtol": 3e-2, "atol": 3e-2} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(found.double(), wanted, **tolerance)
    for part, one in zip(parts, exact, strict=True):
        assert part.grad is not None
        assert one.grad is not None
        torch.testing.assert_close(part.grad.double(), one.grad, **tolerance)


@pytest.mark.parametrize("has_gradients", [True, False])
@pytest.mark.parametrize(("num_keys", "dtype"), [(5, torch.float32), (40, torch.float32), (40, torch.bfloat16)])
def test_attention_takes_the_way_that_is_faster_and_keeps_bits_where_they_count(
    num_keys: int, dtype: torch.dtype, has_gradients: bool
) -> None:
    torch.manual_seed(0)
    given = [torch.randn(3, count, 2, 8).to(dtype).requires_grad_(has_gradients) for count in (7, num_keys, num_keys)]
    is_written_out = dtype == torch.bfloat16 or (num_keys == 5 and has_gradients)
    way = written_out_attention if is_written_out else F.scaled_dot_product_attention
    with torch.set_grad_enabled(has_gradients):
        assert torch.equal(attend(*given), way(*(one.transpose(1, 2) for one in given)).transpose(1, 2))
