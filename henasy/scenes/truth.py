"""What is where in a video of a rendered archive: instances, boxes, full-resolution masks."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError, NotFoundError
from henasy.scenes.files import whole_file


class InstanceRow(NamedTuple):
    """One object, tool or hand of a video."""

    instance: int
    """1..255, its value in instance maps; `object_id` in narrations"""
    noun: str
    """Row label of the noun taxonomy, e.g. "mug" or "left hand" """
    colour: str
    """Empty for hands and tools"""


class NarratedSpan(NamedTuple):
    """A narration with what it handles."""

    start_s: float
    end_s: float
    text: str
    instance: int
    """The handled object"""
    hand_instance: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
    """The truth of one video; masks show what is visible, so that occluders cut holes."""

    video_uid: str
    times_s: NDArray[np.float64]
    """(T,) ascending; each describes the frame on screen at that time"""
    ids: NDArray[np.uint8]
    """(T, H, W) instance of each pixel, 0 = background"""
    boxes: NDArray[np.int32]
    """(T, N, 4) x0, y0, x1, y1 in pixels, half-open, per row of `instances`; all 0 where nothing is visible"""
    instances: tuple[InstanceRow, ...]
    narrations: tuple[NarratedSpan, ...]

    @classmethod
    def open(cls, folder: Path | str, video_uid: str) -> "Truth":
        """The truth of a video of the archive in `folder`.

        Raises:
            NotFoundError: the archive has no such video.
        """
        path = truth_path(Path(folder), video_uid)
        if not path.exists():
            raise NotFoundError(f"no truth for video {video_uid!r}: {path} does not exist")
        with np.load(path, allow_pickle=False) as stored:
            columns = (stored["instances"].tolist(), stored["nouns"].tolist(), stored["colours"].tolist())
            rows = tuple(InstanceRow(*row) for row in zip(*columns, strict=True))
            return cls(
                video_uid=video_uid,
                times_s=stored["times_s"],
                ids=stored["ids"],
                boxes=stored["boxes"],
                instances=rows,
                narrations=_read_narrations(Path(folder), video_uid, rows),
            )

    def masks_at(self, time_s: float, instance: int) -> NDArray[np.bool_]:
        """(H, W) visible pixels of an instance at the truth time nearest to `time_s`.

        Raises:
            InputError: no such instance, or no truth within half a step of the time.
        """
        self._row(instance)
        mask: NDArray[np.bool_] = self.ids[self._time_row(time_s)] == instance
        return mask

    def box_at(self, time_s: float, instance: int) -> NDArray[np.int32] | None:
        """x0, y0, x1, y1 in pixels, half-open, or None when nothing of the instance is visible."""
        box = self.boxes[self._time_row(time_s), self._row(instance)]
        return box if box[2] > box[0] else None

    def hands(self) -> dict[str, int]:
        """Instances of the hands by noun, "left hand" and "right hand"."""
        return {row.noun: row.instance for row in self.instances if row.noun.endswith(" hand")}

    def _row(self, instance: int) -> int:
        for row, known in enumerate(self.instances):
            if known.instance == instance:
                return row
        raise InputError("instance", f"is {instance}, must be one of {[row.instance for row in self.instances]}")

    def _time_row(self, time_s: float) -> int:
        row = int(np.argmin(np.abs(self.times_s - time_s)))
        step_s = float(self.times_s[1] - self.times_s[0]) if len(self.times_s) > 1 else np.inf
        if abs(self.times_s[row] - time_s) > step_s / 2 + 1e-6:
            raise InputError("time_s", f"is {time_s}, truth is there from 0 to {self.times_s[-1]} s")
        return row


def truth_path(folder: Path, video_uid: str) -> Path:
    """Where the truth of a video lies."""
    return folder / "truth" / f"{video_uid}.npz"


def write_truth(
    folder: Path,
    video_uid: str,
    times_s: NDArray[np.float64],
    ids: NDArray[np.uint8],
    instances: Sequence[tuple[int, str, str]],
) -> None:
    """Writes the truth of one video: times (T,), instance maps (T, H, W), rows of (instance, noun, colour)."""
    path = truth_path(folder, video_uid)
    numbers, nouns, colours = zip(*instances, strict=True)
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(
            file,
            times_s=times_s,
            ids=ids,
            boxes=instance_boxes(ids, numbers),
            instances=np.array(numbers, np.int64),
            nouns=np.array(nouns),
            colours=np.array(colours),
        )


def instance_boxes(ids: NDArray[np.uint8], instances: Sequence[int]) -> NDArray[np.int32]:
    """(T, N, 4) tight half-open boxes of each instance in maps (T, H, W); all 0 where absent."""
    boxes = np.zeros((len(ids), len(instances), 4), np.int32)
    for column, instance in enumerate(instances):
        mask = ids == instance
        across, down = mask.any(axis=1), mask.any(axis=2)
        seen = across.any(axis=1)
        boxes[:, column, 0], boxes[:, column, 2] = across.argmax(1), across.shape[1] - across[:, ::-1].argmax(1)
        boxes[:, column, 1], boxes[:, column, 3] = down.argmax(1), down.shape[1] - down[:, ::-1].argmax(1)
        boxes[~seen, column] = 0
    return boxes


def _read_narrations(folder: Path, video_uid: str, rows: tuple[InstanceRow, ...]) -> tuple[NarratedSpan, ...]:
    hands = {row.noun: row.instance for row in rows}
    with (folder / "narrations.csv").open(newline="") as file:
        return tuple(
            NarratedSpan(
                float(line["clip_start"]),
                float(line["clip_end"]),
                line["clip_text"],
                int(line["object_id"]),
                hands[f"{line['hand']} hand"],
            )
            for line in csv.DictReader(file, delimiter="\t")
            if line["video_uid"] == video_uid
        )
