"""Views of clips, made by several child processes at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from henasy.errors import VideoError
from henasy.video.isolated import DecodeProcess
from henasy.video.views import FilePart, View, ViewRule


class ViewPool:
    """Child processes that decode, crop and resize; a clip at which two in a row hang or crash is given up.

    The threads that wait for them read from pipes, so they take next to nothing of this process's time.
    """

    def __init__(
        self, num_processes: int, *, timeout_s: float = 60.0, limit_s: float = 300.0, decoder: str = "pyav"
    ) -> None:
        """Args:
        num_processes: clips that are read at a time; each child starts with its first clip.
        timeout_s: time without progress after which a child is killed.
        limit_s: time that a clip may take, however much the child advances.
        decoder: `pyav` or `decord`.
        """
        self._idle: SimpleQueue[DecodeProcess] = SimpleQueue()
        self._all = [DecodeProcess(timeout_s=timeout_s) for _ in range(num_processes)]
        for process in self._all:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(num_processes, thread_name_prefix="view")
        self._decoder, self._limit_s = decoder, limit_s

    def submit(self, parts: Sequence[FilePart], rule: ViewRule, *, seed: int) -> Future[View]:
        """A clip's view as soon as it is read; its errors are those of `henasy.video.views.read_view`."""
        return self._threads.submit(self._read, parts, rule, seed)

    def close(self) -> None:
        """Drops what has not begun and ends the children; the pool cannot be used again."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._all:
            process.close()

    def __enter__(self) -> ViewPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, parts: Sequence[FilePart], rule: ViewRule, seed: int) -> View:
        process = self._idle.get()
        try:
            try:
                return process.read_view(parts, rule, seed=seed, decoder=self._decoder, limit_s=self._limit_s)
            except VideoError:
                if process.child_pid is not None:
                    raise
                # The child was lost: a machine or a disk that stood still looks like a decoder that hangs.
                return process.read_view(parts, rule, seed=seed, decoder=self._decoder, limit_s=self._limit_s)
        except OSError as error:
            raise VideoError(f"{parts[0].path}: no decoding process can be started: {error}") from error
        finally:
            self._idle.put(process)
