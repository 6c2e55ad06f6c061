"""A build that dies: at every step that makes something durable, by the real signal, in a real process."""

import errno
import os
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from local_build import SETTINGS, LocalWorkers, build_locally, write_clip

from henasy.errors import NotFoundError
from henasy.index import Index, IndexWriter, logical_digest, nearest
from henasy.index import layout as index_layout
from indexer import units as indexer_units
from indexer.build import BuildRequest, build
from indexer.progress import Silent


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two videos of two units and one of one, when units hold four clips."""
    monkeypatch.setattr(indexer_units, "MAX_UNIT_CLIPS", 4)
    # Small enough that every part has FAISS files, whose writing must survive too.
    monkeypatch.setattr(nearest, "FLAT_MAX_VECTORS", 8)
    # OpenMP's threads do not survive a fork.
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    folder = tmp_path / "videos"
    for seed, seconds in enumerate((3.0, 2.6, 1.5)):
        write_clip(folder / f"{seed}.mp4", seconds, seed=seed)
    return folder


def in_child(action: Callable[[], None]) -> int:
    """The wait status of a forked process that does something and ends."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def die_at_step(step: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills this process just before its n-th call of a function of `os`."""
    real, left = getattr(os, name), [step]

    def counted(*args: object, **options: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    monkeypatch.setattr(os, name, counted)


def finished_units(index: Path) -> set[tuple[str, int]]:
    """Units that are durable: staged, or their video published."""
    with IndexWriter(index, SETTINGS) as writer:
        staged = set(writer.staged())
    try:
        published = {record.video_id for record in Index.open(index).videos}
    except NotFoundError:
        published = set()
    return staged | {(video_id, unit) for video_id in published for unit in range(2)}


def build_with(workers: LocalWorkers, videos: Path, index: Path) -> None:
    build(BuildRequest(videos=(videos,), index=index, settings=SETTINGS), workers, Silent())


@pytest.mark.parametrize(("name", "stride"), [("replace", 1), ("fsync", 4), ("unlink", 1)])
def test_killed_build_goes_on_to_the_same_index(
    videos: Path, tmp_path: Path, name: str, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, undisturbed, _ = build_locally(videos, tmp_path / "undisturbed")
    expected = logical_digest(undisturbed)
    step, was_killed = 0, True
    while was_killed:
        index = tmp_path / f"{name}-{step}"

        def doomed(index: Path = index, step: int = step) -> None:
            die_at_step(step, name, monkeypatch)
            build_with(LocalWorkers(), videos, index)

        status = in_child(doomed)
        was_killed = os.WIFSIGNALED(status)
        assert was_killed or status == 0
        finished = finished_units(index)
        workers = LocalWorkers()
        build_with(workers, videos, index)
        assert not finished & set(workers.encoded), f"encoded again after dying at step {step}"
        assert logical_digest(Index.open(index)) == expected
        assert_tidy(index)
        step += stride
    # Five units are staged, then moved into a part, its caches, a generation and CURRENT.
    assert step > (4 if name == "unlink" else 15)


def test_build_killed_while_updating_keeps_the_old_state_readable(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    _, before, _ = build_locally(videos, index)
    old = logical_digest(before)
    write_clip(videos / "new.mp4", 2.0, seed=7)
    (videos / "0.mp4").unlink()
    write_clip(videos / "1.mp4", 1.0, seed=8)
    step, digests = 0, [old]
    while len(set(digests)) == 1:

        def doomed(step: int = step) -> None:
            die_at_step(step, "replace", monkeypatch)
            build_with(LocalWorkers(), videos, index)

        in_child(doomed)
        digests.append(logical_digest(Index.open(index)))
        step += 1
    _, fresh, _ = build_locally(videos, tmp_path / "fresh")
    ours, theirs = Index.open(index), fresh
    offline = [record.video_id for record in ours.videos if not record.is_online]
    assert len(offline) == 1
    assert {record.video_id for record in ours.videos} - set(offline) == {record.video_id for record in theirs.videos}


def test_everything_is_synced_before_it_gets_its_name(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut could lose: a name that is durable before the bytes behind it are."""
    synced: set[int] = set()
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        real_sync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def replace(source: Path, target: Path) -> None:
        inside = list(Path(source).rglob("*")) if Path(source).is_dir() else []
        for path in [Path(source), *inside]:
            assert path.stat().st_ino in synced, f"{path} was named before it was synced"
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    build_locally(videos, tmp_path / "index")


def _errno_of(action: Callable[[], None]) -> int | None:
    try:
        action()
    except OSError as error:
        return error.errno
    return None


def test_full_disk_leaves_the_index_as_it_was(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    _, before, _ = build_locally(videos, index)
    old = logical_digest(before)
    write_clip(videos / "new.mp4", 4.0, seed=7)
    real, calls = os.fsync, 0
    for full_at in range(100):
        calls = 0

        def sync(descriptor: int, full_at: int = full_at) -> None:
            nonlocal calls
            calls += 1
            if calls > full_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", sync)
        failed_with = _errno_of(lambda: build_with(LocalWorkers(), videos, index))
        monkeypatch.setattr(os, "fsync", real)
        if failed_with is None:
            break
        assert failed_with == errno.ENOSPC
        if Index.open(index).generation == 1:
            assert logical_digest(Index.open(index)) == old
    assert full_at > 5
    workers = LocalWorkers()
    build_with(workers, videos, index)
    assert not workers.encoded
    assert len(Index.open(index).videos) == 4


def test_writes_that_really_fail_leave_the_index_as_it_was(videos: Path, tmp_path: Path) -> None:
    """The kernel refuses writes beyond a file size, as a full disk does, wherever they come from."""
    index = tmp_path / "index"
    _, before, _ = build_locally(videos, index)
    old = logical_digest(before)
    write_clip(videos / "new.mp4", 4.0, seed=7)
    for limit in (10, 400, 700, 1500):

        def starved(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with pytest.raises(OSError, match=r"too large|cannot write"):
                build_with(LocalWorkers(), videos, index)

        assert in_child(starved) == 0, f"limit {limit}"
        assert logical_digest(Index.open(index)) == old
    _, opened, _ = build_locally(videos, index)
    assert len(opened.videos) == 4


def test_reader_sees_whole_generations_while_a_build_publishes(videos: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    build_locally(videos, index)
    seen: list[tuple[int, int, int]] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            opened = Index.open(index)
            seen.append((opened.generation, len(opened.videos), opened.num_clips))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(6):
            write_clip(videos / f"more {number}.mp4", 1.0, seed=20 + number)
            build_locally(videos, index)
    finally:
        is_over.set()
        reader.join()
    states = sorted(set(seen))
    assert len({generation for generation, _, _ in states}) == len(states)
    assert states[-1][0] <= 7


def assert_tidy(index: Path) -> None:
    """Nothing is left of what was killed."""
    assert not list(index.rglob(f"*{index_layout.TEMPORARY_SUFFIX}"))
    assert not list((index / "staging").iterdir())
    assert len(list((index / "parts").iterdir())) == 1
