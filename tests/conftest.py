"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

# Before torch is imported. Threads gain nothing on tensors this small, and beside other work they wait for each other:
# a test of half a minute then took five.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of reference facts beside the checkout; tests that need it skip without it."""
    if not (SHARED / "reference").is_dir():
        pytest.skip("needs ../shared")
    return SHARED


@pytest.fixture(scope="session")
def golden_dir(shared_dir: Path) -> Path:
    """The golden numbers made by running the reference code."""
    return shared_dir / "reference" / "golden"
