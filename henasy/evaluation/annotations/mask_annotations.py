"""Hand-made masks for visual grounding: one JSON list, one object per mask.

    [{"video": "<id>", "time_s": 12.5, "noun": "kettle", "segmentation": {"size": [1080, 1920], "counts": "..."}},
     {"video": "<id>", "time_s": 12.5, "phrase": "pouring the water", "segmentation": {...}}]

`video` is the file's name without suffix, `time_s` the instant of the picture, `segmentation` COCO's run-length code
(compressed or not) of a mask as large as the displayed frame, or of the same shape. Other keys are ignored.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError, NotFoundError
from henasy.evaluation.annotations.coco_rle import draw_runs, runs_of_code

NOUN, PHRASE = "noun", "phrase"


@dataclass(frozen=True, kw_only=True)
class MaskAnnotation:
    """What a text names in one picture of a video."""

    video_id: str
    time_s: float
    kind: str
    """`noun` or `phrase`."""
    text: str
    size: tuple[int, int]
    """Height and width of the mask."""
    runs: NDArray[np.int64]
    """The mask, run by run."""

    def mask(self) -> NDArray[np.bool_]:
        """(H, W) the pixels."""
        return draw_runs(self.size, self.runs)


def load_masks(path: Path) -> list[MaskAnnotation]:
    """Every mask of a file, in its order.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: it is no list of masks as above, holds none, or names one thing twice in a picture; the
            message names the file, the number of the entry, the value and what is allowed.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such annotation file")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: not JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise AnnotationError(f"{path}: must be a list of at least one mask")
    masks = [_mask(entry, f"{path}, entry {number}") for number, entry in enumerate(entries)]
    first: dict[tuple[str, float, str], int] = {}
    for number, mask in enumerate(masks):
        before = first.setdefault((mask.video_id, mask.time_s, mask.text), number)
        if before != number:
            raise AnnotationError(
                f"{path}, entry {number}: {mask.text!r} of video {mask.video_id} at {mask.time_s} s is entry {before} "
                "too; one mask must hold all that a text names in a picture"
            )
    return masks


def _mask(entry: object, where: str) -> MaskAnnotation:
    if not isinstance(entry, dict):
        raise AnnotationError(f"{where}: is {str(entry)[:60]!r}, must be an object")
    missing = sorted({"video", "time_s", "segmentation"} - set(entry))
    if missing:
        raise AnnotationError(f"{where}: lacks the keys {missing}; its keys are {sorted(entry)}")
    kinds = [kind for kind in (NOUN, PHRASE) if kind in entry]
    if len(kinds) != 1:
        raise AnnotationError(f"{where}: has {kinds or 'neither'} of the keys noun and phrase, must have one of them")
    time_s = entry["time_s"]
    is_number = isinstance(time_s, int | float) and not isinstance(time_s, bool)
    if not is_number or not 0 <= time_s < math.inf:
        raise AnnotationError(f"{where}: time_s is {time_s!r}, must be a finite number of at least 0")
    try:
        size, runs = runs_of_code(entry["segmentation"])
    except ValueError as error:
        raise AnnotationError(f"{where}: segmentation: {error}") from error
    return MaskAnnotation(
        video_id=_text(entry, "video", where),
        time_s=float(time_s),
        kind=kinds[0],
        text=_text(entry, kinds[0], where),
        size=size,
        runs=runs,
    )


def _text(entry: dict[str, object], key: str, where: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value.strip():
        raise AnnotationError(f"{where}: {key} is {value!r}, must be a non-blank text")
    return value
