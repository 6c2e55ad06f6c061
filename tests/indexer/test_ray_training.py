"""Training on Ray whose processes and whose driver are killed ends as an undisturbed run under torchrun."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from henasy.errors import ConfigError
from henasy.training.log import read_log
from indexer import train_cli
from indexer.ray_training import Scale

HERE = Path(__file__).parent
NUM_STEPS, HELD_AT = 40, 30
PATIENCE_S = 240.0


def command_of(*arguments: object) -> list[str]:
    return [sys.executable, *(str(one) for one in arguments)]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    return kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def start(*arguments: object, log: Path) -> subprocess.Popen[bytes]:
    """A process in a session of its own, so that all it starts can be ended with it."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            command_of(*arguments), env=environment(), stdout=stream, stderr=stream, start_new_session=True
        )


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended with the test, whatever happens."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_step(run: Path, step: int, driver: subprocess.Popen[bytes], log: Path) -> None:
    path, deadline = run / "log.jsonl", time.monotonic() + PATIENCE_S
    while not path.exists() or len(path.read_text().splitlines()) < step:
        assert driver.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def pids_of(run: Path, rank: int) -> set[int]:
    return {int(path.name.rpartition("-")[2]) for path in run.glob(f"pid-{rank}-*")}


def is_running(pid: int) -> bool:
    """Not of a process that has ended and that nobody has asked for its status yet: it has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def wait_until_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.timeout(900)
def test_killed_process_and_killed_driver_change_nothing(tmp_path: Path, ended: list[subprocess.Popen[bytes]]) -> None:
    undisturbed, run, log = tmp_path / "undisturbed", tmp_path / "run", tmp_path / "log"
    script = (HERE / "line_training.py", run, NUM_STEPS, -1)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    run.mkdir()
    (run / "hold").touch()
    plain = start(*torchrun, script[0], undisturbed, NUM_STEPS, -1, log=tmp_path / "plain")
    driver = start(*script, log=log)
    ended += [plain, driver]

    wait_for_step(run, 6, driver, log)
    (victim,) = pids_of(run, 1)
    os.kill(victim, signal.SIGKILL)
    wait_for_step(run, HELD_AT, driver, log)
    assert len(pids_of(run, 0)) == len(pids_of(run, 1)) == 2, "all processes start again"

    driver.kill()
    driver.wait()
    wait_until_gone(pids_of(run, 0) | pids_of(run, 1))
    (run / "hold").unlink()
    again = start(*script, log=log)
    ended.append(again)
    assert again.wait(PATIENCE_S) == 0, log.read_text()
    assert plain.wait(PATIENCE_S) == 0, (tmp_path / "plain").read_text()

    assert (run / "weights.txt").read_text() == (undisturbed / "weights.txt").read_text()
    lines, theirs = (read_log(one / "log.jsonl") for one in (run, undisturbed))
    assert [line["step"] for line in lines] == list(range(NUM_STEPS))
    assert [line["loss"] for line in lines] == [line["loss"] for line in theirs]
    assert "going on from step 28 of 40" in log.read_text()


def test_end_with_parent_ends_a_busy_process_whose_parent_is_killed(
    tmp_path: Path, ended: list[subprocess.Popen[bytes]]
) -> None:
    child = (
        "import os, pathlib; from henasy.orphans import end_with_parent; end_with_parent(1); "
        f"pathlib.Path({str(tmp_path)!r}, f'pid-0-{{os.getpid()}}').touch()\nwhile True: pass"
    )
    parent = start(
        "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])", log=tmp_path / "l"
    )
    ended.append(parent)
    deadline = time.monotonic() + PATIENCE_S
    while not (pids := pids_of(tmp_path, 0)):
        assert time.monotonic() < deadline, (tmp_path / "l").read_text()
        time.sleep(0.1)
    time.sleep(1.5)
    assert all(map(is_running, pids)), "it goes on while its parent does"
    parent.kill()
    parent.wait()
    wait_until_gone(pids)


@pytest.mark.timeout(600)
def test_command_that_fails_by_itself_is_not_tried_again(tmp_path: Path, ended: list[subprocess.Popen[bytes]]) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    driver = start(HERE / "line_training.py", run, 9, 6, log=log)
    ended.append(driver)
    assert driver.wait(PATIENCE_S) == 1, log.read_text()
    for rank in (0, 1):
        assert len(pids_of(run, rank)) == 1
        assert f"process {rank}: step 6: not finite: {{'loss': nan}}; the step was not applied" in log.read_text()


def test_scale_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ConfigError, match="workers is 0; it must be at least 1"):
        Scale(num_workers=0)
    with pytest.raises(ConfigError, match="gpus_per_worker is 2; a process trains on one GPU or on none"):
        Scale(num_workers=1, gpus_per_worker=2)


def test_train_command_without_workers_needs_no_ray(tmp_path: Path) -> None:
    script = (
        "import sys; from indexer.train_cli import scaled; "
        f"code = scaled.main(['plot', {str(tmp_path)!r}, 'x.png'], standalone_mode=False); "
        "print(code, 'ray' in sys.modules)"
    )
    done = subprocess.run(command_of("-c", script), env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "1 False\n"
    assert "no such log" in done.stderr


def test_train_command_options_of_ray_need_workers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["henasy-train", "--address", "10.0.0.1:6379", "tiny", "run"])
    with pytest.raises(SystemExit) as caught:
        train_cli.main()
    assert caught.value.code == 2
    assert "--address needs --workers" in capsys.readouterr().err
