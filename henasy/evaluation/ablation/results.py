"""The results of finished runs: a file with one JSON object a line, enough to pair any two runs video by video.

run         row/seed-N                          settings    hash of all that decides the run's numbers
experiment  hash of what all runs share         shared      the same in words
scores      measure: mean, a fraction
videos      sha256 of the test videos' names, in whose order the sums below stand
by_video    component: [[sum, count], ...]
right       the questions answered rightly, a bit each in the order of the set, packed, base64
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.evaluation.tasks.report import write_text


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """One line."""

    row: str
    """Key of the ablated row, or of a reading of one."""
    seed: int
    settings: str
    """Hash of all that decides the run's numbers."""
    experiment: str
    """Hash of what the runs of one table share: runs of different experiments cannot be compared."""
    shared: Mapping[str, Any]
    """What all runs of the experiment share."""
    steps: int
    finished: str
    """When, UTC."""
    step_s: float | None
    """Seconds a step of it took; of runs that share a step's batch and its sight, one is billed for both."""
    space_id: str
    """Of the trained model."""
    scores: Mapping[str, float]
    videos: str
    """Digest of the names of the test videos."""
    by_video: Mapping[str, Sequence[Sequence[float]]]
    """Of each component its sum and its count in each test video."""
    right: str
    """Packed bits, base64."""

    @property
    def name(self) -> str:
        """Row and seed."""
        return run_name(self.row, self.seed)

    def sums(self, component: str) -> NDArray[np.float64]:
        """(V, 2) sum and count of a component in each test video."""
        return np.array(self.by_video[component], np.float64).reshape(-1, 2)


def run_name(row: str, seed: int) -> str:
    """How a run and its folder are called."""
    return f"{row}/seed-{seed}"


def packed(is_right: NDArray[np.bool_]) -> str:
    """Bits as text."""
    return base64.b64encode(np.packbits(is_right).tobytes()).decode("ascii")


def unpacked(text: str, count: int) -> NDArray[np.bool_]:
    """(count,) the bits again."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    return bits[:count].astype(bool)


def read_results(path: Path) -> list[FinishedRun]:
    """The runs of a file in its order; none if there is no file.

    Raises:
        AnnotationError: a line is no result, or a run stands there twice.
    """
    if not path.exists():
        return []
    runs: list[FinishedRun] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        runs.append(_run(f"{path}, line {number}", line))
    settings = [run.settings for run in runs]
    if repeated := {one for one in settings if settings.count(one) > 1}:
        raise AnnotationError(f"{path}: runs with the settings {sorted(repeated)} stand there more than once")
    return runs


def add_results(path: Path, runs: Sequence[FinishedRun]) -> None:
    """The file with lines more, all of them or none; the caller is its only writer."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    write_text(path, text + "".join(json.dumps(asdict(run)) + "\n" for run in runs))


def _run(place: str, line: str) -> FinishedRun:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{place}: not JSON: {error}") from error
    known = {item.name for item in fields(FinishedRun)}
    if not isinstance(values, dict) or set(values) != known:
        keys = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise AnnotationError(f"{place}: has {keys}; a finished run has {sorted(known)}")
    return FinishedRun(**values)
