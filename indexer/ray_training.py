"""One training command in many processes, on Ray Train. One of the owners of Ray.

Every process runs the same command as a user would in one process; Ray gives each its rank and a process group, in
which the command finds its peers. When a process dies, Ray stops the others and starts all of them again: the command
goes on from the run's last state. A run that failed for a reason of its own (wrong settings, a loss that is not finite)
is not started again.
"""

import contextlib
import io
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, NamedTuple

from henasy.errors import ConfigError, HenasyError, missing_extra
from henasy.orphans import end_with_parent
from indexer.ray_start import given_address, ray, start_ray

Command = Callable[[Sequence[str]], int]
"""Runs a command line in this process; its exit code. Prints its own errors."""

_PATIENCE_S = 12 * 3600
"""How long processes wait for one that evaluates or renders; Ray notices a dead one at once."""
_START_S = 600
"""Time for all processes to start; a cluster may have to make room."""
_POLL_S = 0.5
_TOGETHER_S = 15.0
"""Within which processes end when all of them fail for one reason; one that waits for a failed one is ended."""
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How many processes, and where."""

    num_workers: int
    """Processes; each makes its share of every batch."""
    gpus_per_worker: int | None = None
    """0 or 1; None is 1 where Ray sees GPUs."""
    cpus_per_worker: int | None = None
    """Cores that a process claims, and its threads; None is an even share of this machine, or 1 in a cluster."""
    address: str | None = None
    """An existing cluster; None takes $RAY_ADDRESS, or starts Ray on this machine."""
    max_restarts: int = 10
    """Deaths of processes after which the command gives up; the same command then still goes on."""

    def __post_init__(self) -> None:
        if self.num_workers < 1:
            raise ConfigError(f"workers is {self.num_workers}; it must be at least 1")
        if self.gpus_per_worker not in (None, 0, 1):
            raise ConfigError(f"gpus_per_worker is {self.gpus_per_worker}; a process trains on one GPU or on none")


def train_on_ray(command: Command, arguments: Sequence[str], scale: Scale) -> int:
    """The exit code of a command that was run by `scale.num_workers` processes until all were done.

    What they print is printed here.

    Raises:
        ConfigError: Ray Train is not installed, a cluster does not take us, or it lacks what is asked for.
        HenasyError: Ray does not start, or processes died too often.
    """
    train, train_torch = _ray_train()
    address = given_address(scale.address)
    num_cores = max(os.cpu_count() or 1, scale.num_workers)
    start_ray(address, **({} if address else {"num_cpus": num_cores}))
    folder = tempfile.mkdtemp(prefix="henasy-train-")  # Ray Train's own notes; the run's state lies in the run
    try:
        resources = _resources(scale, num_cores, is_cluster=address is not None)
        desk = ray.remote(_Desk).options(num_cpus=0).remote()
        trainer = train_torch.TorchTrainer(
            _run_in_worker,
            train_loop_config={"task": _Task(command, tuple(arguments), os.getcwd(), desk)},
            torch_config=train_torch.TorchConfig(timeout_s=_PATIENCE_S),
            scaling_config=train.ScalingConfig(
                num_workers=scale.num_workers, use_gpu=resources["GPU"] > 0, resources_per_worker=resources
            ),
            run_config=train.RunConfig(
                storage_path=folder,
                failure_config=train.FailureConfig(max_failures=scale.max_restarts),
                logging_config=train.LoggingConfig(log_level="ERROR"),
            ),
        )
        _fit_and_listen(trainer, desk)
        return _exit_code(ray.get(desk.codes.remote()), scale.num_workers)
    except train.TrainingFailedError as error:
        raise HenasyError(
            f"processes died more than {scale.max_restarts} times ({_last_line(error)}); the same command goes on from "
            "the last checkpoint"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        ray.shutdown()


def _exit_code(codes: dict[int, int], num_workers: int) -> int:
    """That of the first process that failed; 0 when all ended well."""
    if any(codes.values()):
        return next(code for _, code in sorted(codes.items()) if code)
    return 0 if len(codes) == num_workers else EXIT_INTERRUPTED


def _ray_train() -> tuple[Any, Any]:
    # Read when the package is first imported; a worker's folder must stay the user's.
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(_START_S))
    os.environ["RAY_TRAIN_ENABLE_PRINT_PATCH"] = "0"  # prints would be heard twice
    try:
        import ray.train
        import ray.train.torch
    except ImportError as error:
        raise missing_extra(f"--workers needs Ray Train ({error})", "train") from error
    return ray.train, ray.train.torch


def _resources(scale: Scale, num_cores: int, *, is_cluster: bool) -> dict[str, float]:
    """What each process claims.

    Raises:
        ConfigError: there is not enough for all of them.
    """
    has = ray.cluster_resources()
    gpus = scale.gpus_per_worker
    if gpus is None:
        gpus = 1 if has.get("GPU", 0) >= 1 else 0
    cpus = scale.cpus_per_worker or (1 if is_cluster else max(1, num_cores // scale.num_workers))
    wanted = {"CPU": float(cpus), "GPU": float(gpus)}
    for name, each in wanted.items():
        if each * scale.num_workers > has.get(name, 0):
            raise ConfigError(
                f"{scale.num_workers} processes with {each:g} {name} each; Ray has {has.get(name, 0):g} {name}"
            )
    return wanted


class _Desk:
    """Hears what the processes print and how their commands ended."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._codes: dict[int, int] = {}

    def hear(self, text: str) -> None:
        self._lines.append(text)

    def take(self) -> str:
        """What was heard since the last time."""
        text, self._lines = "".join(self._lines), []
        return text

    def end(self, rank: int, code: int) -> None:
        self._codes[rank] = code

    def codes(self) -> dict[int, int]:
        """Exit codes by process; a process that died has none."""
        return self._codes


class _Task(NamedTuple):
    """What every process does."""

    command: Command
    arguments: tuple[str, ...]
    folder: str
    """Where the user stands; paths may be relative to it."""
    desk: Any


class _Voice(io.TextIOBase):
    """Standard output of a process, heard where the command was given."""

    def __init__(self, desk: Any) -> None:
        self._desk = desk

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # click finds out in this way what a stream takes
            raise TypeError(f"text is {type(text).__name__}; it must be str")
        self._desk.hear.remote(text)
        return len(text)


class _CommandFailedError(Exception):
    """Ends a process whose command failed, and with it the others."""


def _run_in_worker(config: dict[str, _Task]) -> None:
    # The parent is Ray's daemon on this machine, which a driver that started it takes along. Ray ends its processes
    # too, but on a crowded machine it once left one asleep for minutes.
    end_with_parent(EXIT_INTERRUPTED)
    task = config["task"]
    if any(ray.get(task.desk.codes.remote()).values()):
        return  # started again because the command failed by itself: once is enough
    voice = _Voice(task.desk)
    with contextlib.redirect_stdout(voice), contextlib.redirect_stderr(voice):
        code = _run_command(task)
    rank = int(os.environ["RANK"])
    ray.get(task.desk.end.remote(rank, code))
    if code != 0 and not _have_all_ended(task.desk):
        raise _CommandFailedError(f"process {rank} ended with exit code {code}")


def _have_all_ended(desk: Any) -> bool:
    """Whether the other processes have failed too, as they do when something stops all of them, or soon will have."""
    deadline_s = time.monotonic() + _TOGETHER_S
    while time.monotonic() < deadline_s:
        if len(ray.get(desk.codes.remote())) == int(os.environ["WORLD_SIZE"]):
            return True
        time.sleep(_POLL_S)
    return False


def _run_command(task: _Task) -> int:
    try:
        os.chdir(task.folder)
    except OSError as error:
        print(f"{task.folder}: not on this machine ({error}); the processes need one file system", file=sys.stderr)
        return EXIT_FAILED
    return task.command(task.arguments)


def _fit_and_listen(trainer: Any, desk: Any) -> None:
    """Runs Ray Train to its end and prints meanwhile what the processes print.

    In a thread beside, so that an interruption reaches the caller: in the main one Ray Train takes the signal itself
    and exits as if all were well.
    """
    outcome: Future[Any] = Future()

    def fit() -> None:
        try:
            outcome.set_result(trainer.fit())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=fit, daemon=True).start()
    is_over = False
    while not is_over:
        is_over = bool(wait([outcome], timeout=_POLL_S).done)
        sys.stdout.write(ray.get(desk.take.remote()))
        sys.stdout.flush()
    outcome.result()


def _last_line(error: Exception) -> str:
    """What went wrong in another process, without its traceback."""
    return str(error).strip().rpartition("\n")[2]
