"""A unit of work from decoding to staging, as plain functions that know no Ray.

N clips of a batch.
"""

import faulthandler
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from henasy.index import ClipRows, IndexSettings, StagedUnit
from henasy.index.layout import MAX_UNIT_CLIPS
from henasy.index.rows import join_rows
from henasy.index.staging import RefusedRows
from henasy.video import ClipBatch, ClipPlan, RefusedClips, read_clips

if TYPE_CHECKING:
    # Decoding processes import this module and have no use for torch.
    from henasy.checkpoint.encoder import ClipEncoding


class WorkUnit(NamedTuple):
    """At most `MAX_UNIT_CLIPS` neighbouring clips of one video."""

    video_id: str
    unit: int
    file: str
    """Absolute path."""
    first: int
    """Row of the first clip in the video's plan."""
    spans: tuple[tuple[float, float], ...]
    """Seconds, half-open; one per clip."""

    @property
    def key(self) -> tuple[str, int]:
        """(video_id, unit)"""
        return self.video_id, self.unit

    @property
    def seconds(self) -> float:
        """Length of video that the unit covers for the first time, for progress."""
        return self.spans[-1][1] - self.spans[0][0]


class ClipEncoder(Protocol):
    """What is needed of an encoder."""

    def encode_clips(self, frames: NDArray[np.uint8], frame_rows: NDArray[np.int64]) -> "ClipEncoding":
        """Embeddings of N clips from F frames (F, H, W, 3) and their rows (N, T)."""


OnClips = Callable[[tuple[str, int], int], None]
"""Hears (unit's key, clips of it that are done)."""

ReadClips = Callable[..., Iterator[ClipBatch | RefusedClips]]


def num_units(num_clips: int) -> int:
    """Units of a video."""
    return math.ceil(num_clips / MAX_UNIT_CLIPS)


def units_of(video_id: str, file: str, duration_s: float, plan: ClipPlan) -> list[WorkUnit]:
    """All units of a video, in the order of time."""
    spans = plan.spans(duration_s).tolist()
    return [
        WorkUnit(video_id, unit, file, first, tuple((a, b) for a, b in spans[first : first + MAX_UNIT_CLIPS]))
        for unit, first in enumerate(range(0, len(spans), MAX_UNIT_CLIPS))
    ]


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How units are decoded."""

    num_frames: int
    """Frames per clip."""
    batch_clips: int = 16
    """Clips that are handed on together."""
    decoder: str = "pyav"
    """`pyav` or `decord`."""
    stall_s: float | None = None
    """End the process when decoding does not advance for so long; None never does."""


def decode_unit(
    unit: WorkUnit, config: DecodeConfig, read: ReadClips = read_clips
) -> Iterator[ClipBatch | RefusedClips]:
    """The unit's clips with their frames, in batches; clip rows count within the unit.

    Whatever goes wrong inside the decoder refuses the clips that are left: a damaged file can trip it in ways
    that no list of errors foresees, and must cost that file alone.
    """
    seen: set[int] = set()
    watch = _StallWatch(config.stall_s)
    try:
        for item in read(
            unit.file,
            np.array(unit.spans),
            config.num_frames,
            batch_clips=config.batch_clips,
            decoder=config.decoder,
            on_progress=watch.advance,
        ):
            watch.stop()
            seen.update((item.clip_rows if isinstance(item, ClipBatch) else item.rows).tolist())
            yield item
            watch.advance()
    except Exception as error:
        reason = str(error).removeprefix(f"{unit.file}: ") or type(error).__name__
        rest = [row for row in range(len(unit.spans)) if row not in seen]
        if rest:
            yield RefusedClips(np.array(rest), reason)
    finally:
        watch.stop()


class _StallWatch:
    """Ends this process when `advance` has not been called for a while, even from inside a C loop."""

    def __init__(self, stall_s: float | None) -> None:
        self._stall_s = stall_s
        self._set_at = -math.inf
        self.advance()

    def advance(self) -> None:
        now = time.monotonic()
        if self._stall_s is not None and now - self._set_at > min(1.0, self._stall_s / 4):
            self._set_at = now
            # The one timer of the standard library that fires while other code holds the interpreter.
            faulthandler.dump_traceback_later(self._stall_s, exit=True)

    def stop(self) -> None:
        self._set_at = -math.inf
        if self._stall_s is not None:
            faulthandler.cancel_dump_traceback_later()


def encode_batch(encoder: ClipEncoder, batch: ClipBatch, settings: IndexSettings, first: int) -> ClipRows:
    """The batch's clips as rows of the index; row identity comes from the batch itself.

    Args:
        first: row of the unit's first clip in the video's plan.
    """
    encoded = encoder.encode_clips(batch.frames, batch.frame_rows)
    is_dual = settings.num_entities == 0
    count = len(batch.clip_rows)
    return ClipRows(
        clip_rows=batch.clip_rows + first,
        spans=batch.spans,
        clip=encoded.clip.astype(np.float16),
        entities=encoded.entities.astype(np.float16),
        is_valid=encoded.is_valid,
        patch_share=encoded.patch_share.astype(np.float32),
        assignment=np.zeros((count, 0, 0), np.uint8) if is_dual else encoded.assignment,
    )


def assemble_unit(
    unit: WorkUnit, pieces: Sequence[ClipRows], refused: Sequence[RefusedClips], settings: IndexSettings
) -> StagedUnit:
    """The finished unit: every clip of it once, encoded or refused."""
    rows = join_rows(pieces, settings)
    rows = rows.take(np.argsort(rows.clip_rows, kind="stable"))
    runs = [run for one in refused for run in _runs(one, unit.first)]
    missing = set(range(unit.first, unit.first + len(unit.spans))) - set(rows.clip_rows.tolist())
    missing -= {row for run in runs for row in range(run.start, run.stop)}
    if missing:
        lost = RefusedClips(np.array(sorted(missing)) - unit.first, "the decoder ended without these clips")
        runs.extend(_runs(lost, unit.first))
    return StagedUnit(video_id=unit.video_id, unit=unit.unit, rows=rows, refused=tuple(sorted(runs)))


def refuse_unit(unit: WorkUnit, reason: str, settings: IndexSettings) -> StagedUnit:
    """The unit with none of its clips."""
    everything = RefusedClips(np.arange(len(unit.spans)), reason)
    return assemble_unit(unit, [], [everything], settings)


def _runs(refused: RefusedClips, first: int) -> list[RefusedRows]:
    rows = np.sort(refused.rows) + first
    cuts = np.flatnonzero(np.diff(rows) > 1) + 1
    return [RefusedRows(int(run[0]), int(run[-1]) + 1, refused.reason) for run in np.split(rows, cuts) if len(run)]
