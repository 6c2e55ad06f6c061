"""Decoding in a child process that can be killed: a file on which a decoder hangs or crashes costs that file alone."""

from __future__ import annotations

import math
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

import henasy
from henasy.errors import HenasyError, VideoError
from henasy.video.clips import ClipBatch, RefusedClips, check_spans
from henasy.video.probe import VideoInfo
from henasy.video.views import FilePart, View, ViewRule
from henasy.video.wire import Message, read_message, write_message

_START_TIMEOUT_S = 120.0
"""For the child to import its libraries, on a machine that is busy or reads them over a network."""


class DecodeProcess:
    """A child process that decodes one video after another, and is replaced when it hangs or dies.

    The pipe between the two holds less than one batch, so the child works at most one batch ahead of its reader.
    For one thread at a time.
    """

    def __init__(self, *, timeout_s: float = 60.0) -> None:
        """Args: timeout_s: time without progress after which the child is killed."""
        self._timeout_s = timeout_s
        self._child: _Child | None = None

    def probe(self, path: Path | str) -> VideoInfo:
        """As `henasy.video.probe`.

        Raises:
            VideoError: as there, or because the decoder hung or crashed.
        """
        try:
            message = self._ask("probe", {"path": str(path)}).receive(self._timeout_s)
        except _ChildLostError as error:
            self.close()
            raise VideoError(f"{path}: {error}") from error
        _raise_error(message)
        values = message.values | {"path": Path(path)}
        return VideoInfo(**values)  # type: ignore[arg-type]  # the fields of a VideoInfo that the child sent

    def read_clips(
        self,
        path: Path | str,
        spans: ArrayLike,
        num_frames: int,
        *,
        batch_clips: int = 32,
        decoder: str = "pyav",
        limit_s: float = math.inf,
    ) -> Iterator[ClipBatch | RefusedClips]:
        """As `henasy.video.read_clips`; where the decoder hangs or crashes, the rest of the clips are refused.

        Args:
            limit_s: time from the first batch asked for to the end; then the child is killed, even if it advances.

        Raises:
            VideoError: as there, or because the decoder hung, crashed or took too long before the first batch.
        """
        ends_s = time.monotonic() + limit_s
        checked = check_spans(spans)
        left = np.ones(len(checked), dtype=bool)
        values = {"path": str(path), "num_frames": num_frames, "batch_clips": batch_clips, "decoder": decoder}
        is_finished = False
        try:
            child = self._ask("clips", values, {"spans": checked}, ends_s)
            while (message := child.receive(self._timeout_s, ends_s)).kind != "done":
                is_finished = message.kind == "error"
                _raise_error(message)
                item = _clips_of(message)
                if item is not None:
                    left[item.clip_rows if isinstance(item, ClipBatch) else item.rows] = False
                    yield item
            is_finished = True
        except _ChildLostError as error:
            if left.all():
                raise VideoError(f"{path}: {error}") from error
            yield RefusedClips(np.flatnonzero(left).astype(np.int64), str(error))
        finally:
            if not is_finished:
                self.close()

    def read_view(
        self, parts: Sequence[FilePart], rule: ViewRule, *, seed: int, decoder: str = "pyav", limit_s: float = math.inf
    ) -> View:
        """As `henasy.video.views.read_view`.

        Args:
            limit_s: time after which the child is killed, even if it advances.

        Raises:
            VideoError: as there, or because the decoder hung, crashed or took too long.
        """
        ends_s = time.monotonic() + limit_s
        values = {
            "path": str(parts[0].path),
            "paths": [str(part.path) for part in parts],
            "counts": [len(part.times_s) for part in parts],
            "rule": list(rule),
            "seed": seed,
            "decoder": decoder,
        }
        try:
            child = self._ask("view", values, {"times_s": np.concatenate([part.times_s for part in parts])}, ends_s)
            while (message := child.receive(self._timeout_s, ends_s)).kind == "progress":
                pass
        except _ChildLostError as error:
            self.close()
            raise VideoError(f"{parts[0].path}: {error}") from error
        _raise_error(message)
        frames = cast(NDArray[np.uint8], message.arrays["frames"])
        return View(frames, cast(NDArray[np.float64], message.arrays["crop"]))

    @property
    def child_pid(self) -> int | None:
        """The process that decodes now, if one is running."""
        return self._child.pid if self._child is not None else None

    def close(self) -> None:
        """Kill the child, if there is one; the next request starts another."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> DecodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self,
        kind: str,
        values: dict[str, object],
        arrays: dict[str, NDArray[np.float64]] | None = None,
        ends_s: float = math.inf,
    ) -> _Child:
        if self._child is None or not self._child.is_alive:
            self.close()
            self._child = _Child()
            self._child.receive(_START_TIMEOUT_S, ends_s)
        self._child.send(kind, values, arrays or {})
        return self._child


def read_clips_isolated(
    path: Path | str,
    spans: ArrayLike,
    num_frames: int,
    *,
    batch_clips: int = 32,
    decoder: str = "pyav",
    timeout_s: float = 60.0,
) -> Iterator[ClipBatch | RefusedClips]:
    """As `henasy.video.read_clips`, in a child process of its own that is killed after `timeout_s` without progress."""
    with DecodeProcess(timeout_s=timeout_s) as process:
        yield from process.read_clips(path, spans, num_frames, batch_clips=batch_clips, decoder=decoder)


class _ChildLostError(Exception):
    """The child died, or was given up."""


class _Child:
    """The running process and the two pipes to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "henasy.video.isolated_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
            start_new_session=True,  # an interrupt at the terminal is for the parent, which then kills it
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN)
        self._finalizer = weakref.finalize(self, _kill, self._process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, kind: str, values: dict[str, object], arrays: dict[str, NDArray[np.float64]]) -> None:
        try:
            write_message(partial(_write_all, self._input), kind, values, arrays)
        except OSError as error:
            raise _ChildLostError(self._how_it_ended()) from error

    def receive(self, timeout_s: float, ends_s: float = math.inf) -> Message:
        """The next message; any byte counts as progress, but on the monotonic clock `ends_s` is the end of it."""
        return read_message(partial(self._read_into, timeout_s=timeout_s, ends_s=ends_s))

    def kill(self) -> None:
        self._finalizer()

    def _read_into(self, buffer: memoryview, *, timeout_s: float, ends_s: float) -> None:
        while buffer:
            left_s = ends_s - time.monotonic()
            if not self._poll.poll(1000 * max(0.0, min(timeout_s, left_s))):
                self.kill()
                is_late = left_s < timeout_s
                reason = "was not finished in time" if is_late else f"made no progress for {timeout_s:g} s"
                raise _ChildLostError(f"decoding {reason}")
            count = os.readv(self._output, [buffer])
            if count == 0:
                raise _ChildLostError(self._how_it_ended())
            buffer = buffer[count:]

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            self.kill()
            return "the decoding process closed its pipe"
        if code < 0:
            return f"the decoding process was killed by {signal.Signals(-code).name}"
        return f"the decoding process ended with exit code {code}"


def _clips_of(message: Message) -> ClipBatch | RefusedClips | None:
    arrays = message.arrays
    if message.kind == "batch":
        return ClipBatch(
            spans=cast(NDArray[np.float64], arrays["spans"]),
            clip_rows=cast(NDArray[np.int64], arrays["clip_rows"]),
            frames=cast(NDArray[np.uint8], arrays["frames"]),
            frame_times_s=cast(NDArray[np.float64], arrays["frame_times_s"]),
            frame_rows=cast(NDArray[np.int64], arrays["frame_rows"]),
        )
    if message.kind == "refused":
        return RefusedClips(cast(NDArray[np.int64], arrays["rows"]), str(message.values["reason"]))
    return None


def _raise_error(message: Message) -> None:
    if message.kind == "error":
        text = str(message.values["text"])
        raise VideoError(text) if message.values["is_video"] else HenasyError(text)


def _environment() -> dict[str, str]:
    """The parent's, with this package importable, and no thread pool for the arrays of a decoder."""
    package_root = str(Path(henasy.__file__).resolve().parents[1])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
