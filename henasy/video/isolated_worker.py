"""The child side of `henasy.video.isolated`: does what it is told until its standard input closes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from henasy.errors import HenasyError, VideoError
from henasy.orphans import end_with_parent
from henasy.video.clips import ClipBatch, read_clips
from henasy.video.probe import probe
from henasy.video.views import FilePart, View, ViewRule, read_view
from henasy.video.wire import Message, read_message, write_message

_PROGRESS_INTERVAL_S = 0.25


def main() -> None:
    """Serve requests from standard input; answers go to what standard output was at the start."""
    output = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the messages
    end_with_parent(exit_code=1)  # a decoder that hangs must not outlive the process that would have killed it
    send = partial(write_message, partial(_write_all, output))
    send("ready", {})
    while True:
        try:
            request = read_message(partial(_read_all, 0))
        except EOFError:
            return
        try:
            _serve(request, send)
        except HenasyError as error:
            send("error", {"is_video": isinstance(error, VideoError), "text": str(error)})


def _serve(request: Message, send: partial[None]) -> None:
    path = Path(str(request.values["path"]))
    if request.kind == "probe":
        send("info", asdict(probe(path)) | {"path": str(path)})
        return
    if request.kind == "view":
        view = _view(request, _Pulse(send).beat)
        send("view", {}, {"frames": view.frames, "crop": view.crop})
        return
    batches = read_clips(
        path,
        request.arrays["spans"],
        int(str(request.values["num_frames"])),
        batch_clips=int(str(request.values["batch_clips"])),
        decoder=str(request.values["decoder"]),
        on_progress=_Pulse(send).beat,
    )
    for item in batches:
        if isinstance(item, ClipBatch):
            send("batch", {}, dict(vars(item)))
        else:
            send("refused", {"reason": item.reason}, {"rows": item.rows})
    send("done", {})


def _view(request: Message, on_progress: Callable[[], None]) -> View:
    values = request.values
    paths, counts = cast(list[str], values["paths"]), cast(list[int], values["counts"])
    times_s = np.split(cast(NDArray[np.float64], request.arrays["times_s"]), np.cumsum(counts)[:-1])
    parts = [FilePart(Path(path), times) for path, times in zip(paths, times_s, strict=True)]
    rule = ViewRule(*cast(list[Any], values["rule"]))
    seed, decoder = int(str(values["seed"])), str(values["decoder"])
    return read_view(parts, rule, seed=seed, decoder=decoder, on_progress=on_progress)


class _Pulse:
    """Tells the parent that decoding advances, but not more often than it needs to know."""

    def __init__(self, send: partial[None]) -> None:
        self._send = send
        self._last_s = time.monotonic()

    def beat(self) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s >= _PROGRESS_INTERVAL_S:
            self._last_s = now_s
            self._send("progress", {})


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _read_all(descriptor: int, buffer: memoryview) -> None:
    while buffer:
        count = os.readv(descriptor, [buffer])
        if count == 0:
            raise EOFError
        buffer = buffer[count:]


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(1)  # the parent is gone
