"""A data set in EgoClip's layout, small enough for a test: annotations, taxonomy, grey videos whole or in chunks."""

import csv
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

FPS = 10
FIRST_LEVEL, STEP = 30, 20
"""The left half of frame i is grey by its tens, the right half by its units: a view tells which moments it shows."""
COLUMNS = (
    "clip_idx",
    "video_uid",
    "video_dur",
    "narration_source",
    "narration_ind",
    "narration_time",
    "clip_start",
    "clip_end",
    "clip_text",
    "tag_verb",
    "tag_noun",
)
NOUNS = (
    ("cup", ["cup", "mug"]),
    ("knife", ["knife"]),
    ("chopping_board", ["chopping board", "board"]),
    ("hand", ["hand"]),
)
VERBS = (("take_(pick,_grab)", ["take", "pick"]), ("turn_off_(switch_off)", ["turn off"]), ("wash", ["wash"]))


class Row(NamedTuple):
    """One line of the annotations."""

    video_uid: str
    start_s: float
    end_s: float
    text: str = "#C C picks the cup"
    tag_verb: str = "[0]"
    tag_noun: str = "[0]"
    video_s: float = 10.0


def write_annotations(path: Path, rows: Sequence[Row], without: Sequence[str] = ()) -> Path:
    """The rows as `egoclip.csv`, narrated at the middle of each clip; `without` leaves out columns."""
    columns = [name for name in COLUMNS if name not in without]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        for number, row in enumerate(rows):
            values = {
                "clip_idx": 100 + number,
                "video_uid": row.video_uid,
                "video_dur": row.video_s,
                "narration_source": "narration_pass_1",
                "narration_ind": number,
                "narration_time": (row.start_s + row.end_s) / 2,
                "clip_start": row.start_s,
                "clip_end": row.end_s,
                "clip_text": row.text,
                "tag_verb": row.tag_verb,
                "tag_noun": row.tag_noun,
            }
            writer.writerow([values[name] for name in columns])
    return path


def write_taxonomy(folder: Path) -> Path:
    """Four nouns and three verbs."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, rows in (("noun", NOUNS), ("verb", VERBS)):
        with (folder / f"narration_{kind}_taxonomy.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("label", "group"), *((label, str(group)) for label, group in rows)])
    return folder


def write_grey(path: Path, *, num_frames: int, first: int = 0, size: tuple[int, int] = (48, 64)) -> Path:
    """A video of grey frames, numbered from `first` on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": "1", "g": "12"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number in range(first, first + num_frames):
            picture = np.full((*size, 3), FIRST_LEVEL + STEP * (number // 10), np.uint8)
            picture[:, size[1] // 2 :] = FIRST_LEVEL + STEP * (number % 10)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def frame_numbers(frames: np.ndarray) -> np.ndarray:
    """(...) which frames of a grey video these levels (..., S, S, 3) show, if the crop has its middle."""
    side = frames.shape[-2]
    tens, units = (frames[..., side // 4, column, 1] for column in (side // 4, side - 1 - side // 4))
    return sum(
        np.rint((part.astype(float) - FIRST_LEVEL) / STEP).astype(int) * n for part, n in ((tens, 10), (units, 1))
    )
