"""Examining, decoding and encoding on Ray. One of the owners of Ray.

    files -> examine tasks -> what each file is
    units -> lanes: decode task (streams batches, held back) -> encoder actor -> finished unit

A lane is a thread of the driver that follows one unit. Batches go from decoder to encoder through the object
store without passing the driver. Decoders run in processes that may die; that costs one unit, not the build.
"""

import concurrent.futures
import faulthandler
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from ray.exceptions import OutOfMemoryError, RayError, WorkerCrashedError

from henasy.errors import HenasyError
from henasy.index import ClipRows, IndexSettings, StagedUnit
from henasy.video import ClipBatch, RefusedClips, read_clips
from indexer.ray_start import given_address, ray, start_ray
from indexer.survey import Examined, examine
from indexer.units import (
    ClipEncoder,
    DecodeConfig,
    OnClips,
    ReadClips,
    WorkUnit,
    assemble_unit,
    decode_unit,
    encode_batch,
    refuse_unit,
)

LoadEncoder = Callable[[str, int | None], ClipEncoder]
"""(device, CPU threads) -> encoder; called once in every encoding process."""

_ATTEMPTS = 2
"""A process may also die because its machine did: one death does not convict a file."""
_SLOWEST_READ_BYTES_PER_S = 10e6
"""What a disk is given before hashing a whole file counts as a standstill."""
_DEATHS = (WorkerCrashedError, OutOfMemoryError)
"""How Ray says that a process died: by itself, or killed because the machine's memory was full."""
_BATCHES_AHEAD = 2
"""Decoded batches that wait per lane: one being taken while the next is made."""
_BATCHES_IN_ENCODING = 2
"""Batches of one lane that are with encoders: a lone lane keeps two busy, and none waits for the driver."""
_MAX_FRAME_BYTES = 320 * 570 * 3
"""The largest frame that leaves a decoder, 16:9 with a short side of 320 px."""
_POLL_S = 0.5
_BATCH_CLIPS = {"cpu": 16, "cuda": 64}


class RayConfig(NamedTuple):
    """Where and with how many processes work is done."""

    address: str | None = None
    """An existing cluster; None takes $RAY_ADDRESS, or starts Ray on this machine."""
    num_decoders: int | None = None
    """Decoding processes at a time; None takes one per core."""
    device: str | None = None
    """`cpu` or `cuda`; None takes the GPUs that Ray sees, else the CPU."""
    stall_s: float = 60.0
    """A decoder that does not advance for so long is killed."""


class RayWorkers:
    """Does a build's work in other processes. Ray starts with the first piece of it."""

    def __init__(
        self, config: RayConfig, settings: IndexSettings, load: LoadEncoder, read: ReadClips = read_clips
    ) -> None:
        """Remembers what to start; starts nothing."""
        self._config, self._settings, self._load, self._read = config, settings, load, read
        self._has_begun_ray = False
        self._encoders = _Encoders([])
        self._stopping = threading.Event()

    def __enter__(self) -> "RayWorkers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._has_begun_ray:
            ray.shutdown()

    def examine(self, files: Sequence[str]) -> Iterator[Examined]:
        """What each file is, in any order."""
        if not files:
            return
        self._start_ray()
        task = ray.remote(_examine_watched).options(num_cpus=1, max_retries=_ATTEMPTS - 1)
        waiting = list(reversed(files))
        running: dict[Any, str] = {}
        while waiting or running:
            while waiting and len(running) < 2 * self._num_decoders:
                file = waiting.pop()
                running[task.remote(file, self._config.stall_s, is_full_hash=self._settings.is_full_hash)] = file
            (done, *_), _ = ray.wait(list(running))
            yield _examined(done, running.pop(done), self._config.stall_s)

    def encode(self, units: Sequence[WorkUnit], on_clips: OnClips) -> Iterator[StagedUnit]:
        """Each unit, finished, in any order. Encoders are up when this returns.

        Args:
            on_clips: hears from the lanes' threads how far their units are.

        Raises:
            HenasyError: an encoder does not start, died or failed.
        """
        if units:
            self._start_ray()
            self._start_encoders()
        return self._finished(units, on_clips)

    def _finished(self, units: Sequence[WorkUnit], on_clips: OnClips) -> Iterator[StagedUnit]:
        # One lane more than decoders: while one waits for its last batch, another already decodes.
        num_lanes = self._num_decoders + 1
        waiting = list(reversed(units))
        running: set[concurrent.futures.Future[StagedUnit]] = set()
        with concurrent.futures.ThreadPoolExecutor(num_lanes) as lanes:
            try:
                while waiting or running:
                    while waiting and len(running) < num_lanes + 1:
                        running.add(lanes.submit(self._follow, waiting.pop(), on_clips))
                    done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                self._stopping.set()
                for future in running:
                    future.cancel()
        self._stopping.clear()

    @property
    def _address(self) -> str | None:
        return given_address(self._config.address)

    @property
    def _num_decoders(self) -> int:
        if self._config.num_decoders is not None:
            return self._config.num_decoders
        if self._address is not None:
            return int(ray.cluster_resources().get("CPU", 1))
        return os.cpu_count() or 1

    @property
    def _device(self) -> str:
        if self._config.device is not None:
            return self._config.device
        return "cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu"

    def _start_ray(self) -> None:
        if self._has_begun_ray or ray.is_initialized():
            return
        if self._address is not None:
            start_ray(self._address)
        else:
            start_ray(None, num_cpus=self._num_decoders, object_store_memory=self._store_bytes())
        self._has_begun_ray = True

    def _store_bytes(self) -> int:
        """Room for every batch that can be under way; more is never written."""
        frames = _BATCH_CLIPS["cuda"] * self._settings.num_frames
        if self._config.device == "cpu":
            frames = _BATCH_CLIPS["cpu"] * self._settings.num_frames
        batches = (self._num_decoders + 1) * (_BATCHES_AHEAD + _BATCHES_IN_ENCODING)
        return min(max(batches * frames * _MAX_FRAME_BYTES, 256 << 20), 4 << 30)

    def _start_encoders(self) -> None:
        if self._encoders.num_encoders:
            return
        device = self._device
        count = self._num_decoders
        threads: int | None = 1
        # On shared cores decoders and encoders compete on purpose: whichever is behind gets the core, and held
        # back batches keep the other from running ahead. So encoders claim no core of Ray's.
        # One that held a core while it waits would starve the only decoder of a machine with one.
        resources: dict[str, float] = {"num_cpus": 0}
        if device != "cpu":
            count = max(1, int(ray.cluster_resources().get("GPU", 1)))
            threads, resources = None, {"num_cpus": 0, "num_gpus": 1}
        actor = ray.remote(_EncoderActor).options(max_restarts=0, scheduling_strategy="SPREAD", **resources)
        actors = [actor.remote(self._load, self._settings, device, threads) for _ in range(count)]
        try:
            ray.get([one.ready.remote() for one in actors])
        except RayError as error:
            raise HenasyError(f"an encoder does not start: {_last_line(error)}") from error
        self._encoders = _Encoders(actors)

    def _follow(self, unit: WorkUnit, on_clips: OnClips) -> StagedUnit:
        for _ in range(_ATTEMPTS):
            try:
                return self._follow_once(unit, on_clips)
            except _DEATHS:
                continue
            except RayError as error:
                raise HenasyError(f"{unit.file}: encoding failed: {_last_line(error)}") from error
        reason = f"the decoder crashed, or did not advance for {self._config.stall_s:g} s, {_ATTEMPTS} times"
        return refuse_unit(unit, reason, self._settings)

    def _follow_once(self, unit: WorkUnit, on_clips: OnClips) -> StagedUnit:
        config = DecodeConfig(
            num_frames=self._settings.num_frames,
            batch_clips=_BATCH_CLIPS["cpu" if self._device == "cpu" else "cuda"],
            decoder=self._settings.decoder,
            stall_s=self._config.stall_s,
        )
        decode = ray.remote(decode_unit).options(
            num_cpus=1, max_retries=0, _generator_backpressure_num_objects=_BATCHES_AHEAD
        )
        pieces: list[ClipRows] = []
        refused: list[RefusedClips] = []
        for result in self._encoded(decode.remote(unit, config, self._read), unit.first):
            if isinstance(result, ClipRows):
                pieces.append(result)
                on_clips(unit.key, sum(len(piece) for piece in pieces))
            else:
                refused.append(result)
        return assemble_unit(unit, pieces, refused, self._settings)

    def _encoded(self, stream: Any, first: int) -> Iterator[ClipRows | RefusedClips]:
        """What becomes of the batches of a decode task, in any order."""
        pending: list[_Pending] = []
        is_over = False
        try:
            while pending or not is_over:
                sources = [] if is_over or len(pending) >= _BATCHES_IN_ENCODING else [stream]
                ready, _ = ray.wait([*sources, *(one.result for one in pending)], timeout=_POLL_S)
                if self._stopping.is_set():
                    ray.cancel(stream, force=True)
                    raise HenasyError("stopped")
                for done in [one for one in pending if one.result in ready]:
                    pending.remove(done)
                    yield self._encoders.collect(done)
                if stream in ready:
                    try:
                        pending.append(self._encoders.submit(next(stream), first))
                    except StopIteration:
                        is_over = True
        finally:
            for one in pending:
                self._encoders.forget(one)


class _Pending(NamedTuple):
    """A batch that is being encoded."""

    result: Any
    """Reference to what it becomes."""
    encoder: int


class _Encoders:
    """The encoding processes; each batch goes to the one with the fewest. Used from all lanes."""

    def __init__(self, actors: Sequence[Any]) -> None:
        self._actors = list(actors)
        self._loads = [0] * len(self._actors)
        self._lock = threading.Lock()

    @property
    def num_encoders(self) -> int:
        return len(self._actors)

    def submit(self, batch: Any, first: int) -> _Pending:
        with self._lock:
            encoder = min(range(len(self._loads)), key=self._loads.__getitem__)
            self._loads[encoder] += 1
        return _Pending(self._actors[encoder].encode.remote(batch, first), encoder)

    def collect(self, pending: _Pending) -> ClipRows | RefusedClips:
        self.forget(pending)
        result: ClipRows | RefusedClips = ray.get(pending.result)
        return result

    def forget(self, pending: _Pending) -> None:
        with self._lock:
            self._loads[pending.encoder] -= 1


class _EncoderActor:
    """Encodes batches in a process of its own."""

    def __init__(self, load: LoadEncoder, settings: IndexSettings, device: str, threads: int | None) -> None:
        self._encoder = load(device, threads)
        self._settings = settings

    def ready(self) -> bool:
        return True

    def encode(self, batch: ClipBatch | RefusedClips, first: int) -> ClipRows | RefusedClips:
        if isinstance(batch, RefusedClips):
            return batch
        return encode_batch(self._encoder, batch, self._settings, first)


def _last_line(error: Exception) -> str:
    """What went wrong in another process, without its traceback."""
    return str(error).strip().rpartition("\n")[2]


def _examine_watched(file: str, stall_s: float, *, is_full_hash: bool) -> Examined:
    # Hashing a whole file takes as long as reading it, which is no standstill.
    reading_s = os.stat(file).st_size / _SLOWEST_READ_BYTES_PER_S if is_full_hash and os.path.exists(file) else 0.0
    faulthandler.dump_traceback_later(stall_s + reading_s, exit=True)
    try:
        return examine(file, is_full_hash=is_full_hash)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _examined(reference: Any, file: str, stall_s: float) -> Examined:
    try:
        result: Examined = ray.get(reference)
    except _DEATHS:
        reason = f"reading its header crashed, or took more than {stall_s:g} s, {_ATTEMPTS} times"
        return Examined(file, "", None, reason)
    except RayError as error:
        raise HenasyError(f"{file}: examining failed: {_last_line(error)}") from error
    return result
