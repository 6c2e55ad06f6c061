"""How a build tells where it is: a bar on a terminal, lines of JSON for programs, nothing otherwise."""

import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichBar

from henasy.index import StagedUnit
from indexer.units import WorkUnit
from indexer.work_plan import Changes

_JSON_EVERY_S = 1.0

UnitKey = tuple[str, int]


class Progress(Protocol):
    """What a build reports while it runs."""

    def begin_examining(self, num_files: int) -> None:
        """Files are about to be opened."""

    def examined(self) -> None:
        """One file was opened."""

    def begin_encoding(self, changes: Changes, units: Sequence[WorkUnit], num_staged: int) -> None:
        """The work is known; `num_staged` units were finished by an earlier run."""

    def advanced(self, key: UnitKey, num_clips: int) -> None:
        """So many clips of a unit are done by now; may be called from any thread."""

    def encoded(self, unit: StagedUnit) -> None:
        """One unit is finished and durable."""

    def begin_publishing(self) -> None:
        """Everything is encoded."""


class Silent:
    """Reports nothing."""

    def begin_examining(self, num_files: int) -> None:
        """See `Progress`."""

    def examined(self) -> None:
        """See `Progress`."""

    def begin_encoding(self, changes: Changes, units: Sequence[WorkUnit], num_staged: int) -> None:
        """See `Progress`."""

    def advanced(self, key: UnitKey, num_clips: int) -> None:
        """See `Progress`."""

    def encoded(self, unit: StagedUnit) -> None:
        """See `Progress`."""

    def begin_publishing(self) -> None:
        """See `Progress`."""


class Rate:
    """Clips and seconds of video done, and how fast."""

    def __init__(self, units: Sequence[WorkUnit]) -> None:
        """Starts the clock."""
        self._units = {unit.key: unit for unit in units}
        self._done: dict[UnitKey, int] = {}
        self.total_clips = sum(len(unit.spans) for unit in units)
        self.refused = 0
        self._began = time.monotonic()

    def advance(self, key: UnitKey, num_clips: int) -> None:
        """So many clips of a unit are done by now."""
        self._done[key] = num_clips

    def finish(self, unit: StagedUnit) -> None:
        """All clips of a unit are done, encoded or refused."""
        refused = sum(run.stop - run.start for run in unit.refused)
        self._done[unit.key] = len(unit.rows) + refused
        self.refused += refused

    @property
    def clips(self) -> int:
        """Clips done."""
        return sum(list(self._done.values()))

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return max(1e-6, time.monotonic() - self._began)

    @property
    def clips_per_s(self) -> float:
        """Clips done per second."""
        return self.clips / self.elapsed_s

    @property
    def times_real_time(self) -> float:
        """Seconds of video done per second."""
        done = list(self._done.items())
        video_s = sum(self._units[key].seconds * count / len(self._units[key].spans) for key, count in done)
        return video_s / self.elapsed_s

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at this rate; None before the first unit."""
        return (self.total_clips - self.clips) / self.clips_per_s if self.clips else None


class TerminalProgress:
    """A bar on standard error."""

    def __init__(self) -> None:
        """Draws nothing yet."""
        self._bar = RichBar(
            TextColumn("{task.description:10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._rate = Rate([])

    def __enter__(self) -> "TerminalProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin_examining(self, num_files: int) -> None:
        """See `Progress`."""
        if num_files:
            self._task = self._bar.add_task("examining", total=num_files, rate="files")

    def examined(self) -> None:
        """See `Progress`."""
        if self._task is not None:
            self._bar.advance(self._task)

    def begin_encoding(self, changes: Changes, units: Sequence[WorkUnit], num_staged: int) -> None:
        """See `Progress`."""
        self._rate = Rate(units)
        if units:
            self._task = self._bar.add_task("encoding", total=self._rate.total_clips, rate="clips")

    def advanced(self, key: UnitKey, num_clips: int) -> None:
        """See `Progress`."""
        self._rate.advance(key, num_clips)
        self._show()

    def encoded(self, unit: StagedUnit) -> None:
        """See `Progress`."""
        self._rate.finish(unit)
        self._show()

    def begin_publishing(self) -> None:
        """See `Progress`."""
        self._task = self._bar.add_task("publishing", total=None, rate="")

    def _show(self) -> None:
        rate = f"clips  {self._rate.clips_per_s:.1f}/s  {self._rate.times_real_time:.0f}x real time"
        if self._task is not None:
            self._bar.update(self._task, completed=self._rate.clips, rate=rate)


class JsonProgress:
    """One JSON object a line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Writes to `stream`, by default standard output, flushing every line."""
        self._stream = sys.stdout if stream is None else stream
        self._rate = Rate([])
        self._last = 0.0
        self._lock = threading.Lock()

    def write(self, event: str, **values: Any) -> None:
        """Writes one event."""
        print(json.dumps({"event": event, **values}, ensure_ascii=False), file=self._stream, flush=True)

    def begin_examining(self, num_files: int) -> None:
        """See `Progress`."""
        self.write("examining", num_files=num_files)

    def examined(self) -> None:
        """See `Progress`."""

    def begin_encoding(self, changes: Changes, units: Sequence[WorkUnit], num_staged: int) -> None:
        """See `Progress`."""
        self._rate = Rate(units)
        self.write(
            "encoding",
            **changes._asdict(),
            num_units=len(units),
            num_units_staged=num_staged,
            num_clips=self._rate.total_clips,
        )

    def advanced(self, key: UnitKey, num_clips: int) -> None:
        """See `Progress`."""
        self._rate.advance(key, num_clips)
        self._report(is_forced=False)

    def encoded(self, unit: StagedUnit) -> None:
        """See `Progress`."""
        self._rate.finish(unit)
        self._report(is_forced=self._rate.clips == self._rate.total_clips)

    def begin_publishing(self) -> None:
        """See `Progress`."""
        self.write("publishing")

    def _report(self, *, is_forced: bool) -> None:
        with self._lock:
            if self._rate.elapsed_s - self._last < _JSON_EVERY_S and not is_forced:
                return
            self._last = self._rate.elapsed_s
            left_s = self._rate.left_s
            self.write(
                "progress",
                clips=self._rate.clips,
                num_clips=self._rate.total_clips,
                refused_clips=self._rate.refused,
                clips_per_s=round(self._rate.clips_per_s, 2),
                times_real_time=round(self._rate.times_real_time, 2),
                left_s=None if left_s is None else round(left_s, 1),
            )
