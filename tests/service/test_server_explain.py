"""Explain over real gRPC while the decoder of its video hangs or crashes: the server answers all the same."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_world import GRID
from spoiled_decoder import set_fate, spoil_decoders
from world import serving

from service.client import HenasyClient
from service.server import SearchServer


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchServer]:
    spoil_decoders(tmp_path / "site", monkeypatch)
    with serving(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("fate", "reason", "timeout_s"),
    [
        ("crash", "killed by SIGSEGV", 30.0),
        ("hang", "decoding was not finished in time", 6.0),
        ("endless", "decoding was not finished in time", 6.0),
    ],
)
def test_a_decoder_that_fails_costs_the_soft_saliency_alone(
    server: SearchServer, tmp_path: Path, fate: str, reason: str, timeout_s: float
) -> None:
    video = tmp_path / "kitchen 0" / "video-0.mp4"
    with HenasyClient(server.address) as client:
        soft = client.explain("a mug", "video0", 1.0, slot=0)
        assert (soft.is_soft, soft.unavailable_reason) == (True, "")
        set_fate(video, fate)
        # Half of the time that the call has may go into reading, so the answer comes in time.
        hard = client.explain("a mug", "video0", 1.0, slot=0, timeout_s=timeout_s)
        assert not hard.is_soft
        assert str(video) in hard.unavailable_reason
        assert reason in hard.unavailable_reason
        assert hard.explanation == soft.explanation
        values = next(saliency.values for saliency in hard.saliency if saliency.slot == 0)
        assert values.shape == (2, *GRID)
        assert set(np.unique(values)) <= {0, 255}
        assert client.search("a mug")
        set_fate(video, "")
        assert client.explain("a mug", "video0", 1.0, slot=0).is_soft
