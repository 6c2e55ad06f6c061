"""Half to single precision against numpy's own conversion."""

import numpy as np
import pytest

from henasy.index.half import to_single

EVERY_HALF = np.arange(2**16, dtype=np.uint16).view(np.float16)


def _bits(values: np.ndarray) -> list[int]:
    return values.view(np.uint32).tolist()


def test_every_finite_half_converts_to_the_bit() -> None:
    finite = EVERY_HALF[np.isfinite(EVERY_HALF)]

    assert _bits(to_single(finite)) == _bits(finite.astype(np.float32))


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_converts_too(odd: float) -> None:
    values = np.array([0.5, odd, -2.0], np.float16)

    assert _bits(to_single(values)) == _bits(values.astype(np.float32))


def test_shape_stays_and_nothing_is_shared() -> None:
    values = np.linspace(-1, 1, 24, dtype=np.float16).reshape(2, 3, 4)[:, ::2]
    kept = values.copy()

    found = to_single(values)
    found[:] = 7

    assert found.shape == (2, 2, 4)
    assert found.dtype == np.float32
    assert (values == kept).all()


def test_no_numbers_give_none() -> None:
    assert to_single(np.zeros((0, 8), np.float16)).shape == (0, 8)
