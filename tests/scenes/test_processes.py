"""What happens to the steps when the work ends well, raises, crashes, or is no longer wanted."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from henasy.errors import ConfigError
from henasy.scenes.processes import Report, run_each


def _count(item: int, report: Report) -> None:
    report(item)
    report(1)


def _fail(item: str, report: Report) -> None:
    report(1)
    if item == "config":
        raise ConfigError("size is 0x0")
    if item == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")
    if item == "bug":
        raise ZeroDivisionError("by accident")
    os.kill(os.getpid(), signal.SIGKILL)


def _linger(path: Path, report: Report) -> None:
    report(1)
    for _ in range(600):
        path.write_text(str(time.monotonic()))
        time.sleep(0.05)


def test_every_item_is_done_once_and_its_frames_are_told() -> None:
    frames: Counter[int] = Counter()
    done = []
    for step in run_each(_count, [5, 6, 7], workers=2):
        frames[step.item] += step.num_frames
        done += [step.item] if step.is_done else []
    assert frames == {5: 6, 6: 7, 7: 8}
    assert sorted(done) == [5, 6, 7]


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ("config", ConfigError, "size is 0x0"),
        ("disk", OSError, r"\[Errno 28\] No space left on device: '/somewhere'"),
        ("bug", RuntimeError, "ZeroDivisionError: by accident"),
        ("kill", ChildProcessError, "kill: its process was killed or crashed, exit code -9"),
    ],
)
def test_errors_and_deaths_arrive_as_errors(item: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(run_each(_fail, [item], workers=1))


def _interrupted(item: int, report: Report) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def test_an_interrupted_process_is_an_interruption_and_no_crash() -> None:
    with pytest.raises(KeyboardInterrupt):
        list(run_each(_interrupted, [1], workers=1))


def test_what_runs_is_stopped_when_the_steps_are_no_longer_wanted(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    steps = run_each(_linger, [path], workers=1)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    path.unlink(missing_ok=True)
    time.sleep(0.2)
    assert not path.exists()


_SCRIPT = """
from pathlib import Path
from henasy.scenes.archive import ArchiveConfig, write_archive

print("imported")
write_archive(ArchiveConfig(seed=1, num_videos=2, video_s=5.0, width_px=64, height_px=36, fps=4), Path("kitchens"), 2)
"""


def test_a_script_that_renders_is_not_run_again_by_its_processes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(_SCRIPT)
    run = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "imported\n"), run.stderr
    assert len(list((tmp_path / "kitchens" / "videos").glob("*.mp4"))) == 2
