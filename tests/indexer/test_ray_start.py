"""Ray that does not start, as on an overloaded machine, with Ray's own functions replaced."""

import pytest
from local_build import SETTINGS

from henasy.errors import ConfigError, HenasyError
from indexer.ray_workers import RayConfig, RayWorkers, ray

LATE = "The current node timed out during startup."


class FakeRay:
    """Counts starts and stops; the first starts fail."""

    def __init__(self, num_failures: int) -> None:
        self.addresses: list[str] = []
        self.num_stops = 0
        self._num_failures = num_failures

    def init(self, *, address: str, **options: object) -> None:
        self.addresses.append(address)
        if len(self.addresses) <= self._num_failures:
            raise Exception(LATE)

    def shutdown(self) -> None:
        self.num_stops += 1


def examine_one(monkeypatch: pytest.MonkeyPatch, fake: FakeRay, config: RayConfig) -> None:
    """Begins to examine a file; KeyboardInterrupt when Ray is up and would now be waited for."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", fake.init)
    monkeypatch.setattr(ray, "shutdown", fake.shutdown)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "wait", lambda running: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(ray, "remote", lambda function: Unused())
    with RayWorkers(config, SETTINGS, lambda device, threads: None) as workers:  # type: ignore[arg-type, return-value]
        list(workers.examine(["/a.mp4"]))


class Unused:
    """Stands where Ray's remote functions stand."""

    def options(self, **options: object) -> "Unused":
        return self

    def remote(self, *arguments: object, **options: object) -> int:
        return 0


def test_a_node_that_is_late_once_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(1)
    with pytest.raises(KeyboardInterrupt):
        examine_one(monkeypatch, fake, RayConfig(num_decoders=1))
    assert fake.addresses == ["local", "local"]
    # After the failed start, and at the end.
    assert fake.num_stops == 2


def test_a_node_that_stays_late_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(9)
    message = (
        f"^Ray did not start on this machine: {LATE[:-1]}; the machine may be overloaded; run the same command again$"
    )
    with pytest.raises(HenasyError, match=message) as caught:
        examine_one(monkeypatch, fake, RayConfig(num_decoders=1))
    assert not isinstance(caught.value, ConfigError)
    assert (fake.addresses, fake.num_stops) == (["local", "local"], 2)


def test_a_cluster_that_turns_us_away_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(9)
    message = f"^address 10.0.0.1:1: Ray does not start: {LATE[:-1]}; a cluster that asks for a token"
    with pytest.raises(ConfigError, match=message):
        examine_one(monkeypatch, fake, RayConfig("10.0.0.1:1", num_decoders=1))
    assert (fake.addresses, fake.num_stops) == (["10.0.0.1:1"], 1)
