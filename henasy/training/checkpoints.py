"""The folders that a run leaves for use: each a whole checkpoint, the newest and the best kept.

RUN/checkpoints/step-00000400/   loads wherever a checkpoint is asked for
RUN/checkpoints/scores.json      what evaluations gave, by the folder's name
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from henasy.errors import CheckpointError, ConfigError

FolderScores = Callable[[Path], Mapping[str, float]]
"""What evaluations give for a checkpoint folder."""
FOLDER = "checkpoints"
SCORES = "scores.json"
_PREFIX = "step-"


class Checkpoints:
    """Writes a run's checkpoint folders, remembers their scores, drops those that are neither new nor best."""

    def __init__(
        self,
        folder: Path,
        write: Callable[[Path], None],
        *,
        evaluate: FolderScores | None = None,
    ) -> None:
        """Takes what writes the model, as it is when called, into a folder, and what scores such a folder."""
        self.folder, self._write, self.evaluate = folder, write, evaluate

    def path(self, step: int) -> Path:
        """The folder of the model after so many steps."""
        return self.folder / f"{_PREFIX}{step:08d}"

    def write(self, step: int) -> Path:
        """Writes the folder of a step, whole or not at all.

        Raises:
            CheckpointError: it cannot be written, e.g. to a full disk; earlier ones are whole.
        """
        path = self.path(step)
        try:
            self._write(path)
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be written ({error}); the checkpoints before it are whole"
            ) from error
        return path

    def add_scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Remembers the scores of a step's folder; none, where the evaluations failed, are remembered too."""
        finite = {name: value for name, value in scores.items() if math.isfinite(value)}
        self._store(self.scores() | {self.path(step).name: finite})

    def scores(self) -> dict[str, dict[str, float]]:
        """What evaluations gave, by the folder's name.

        Raises:
            CheckpointError: the file is damaged.
        """
        path = self.folder / SCORES
        if not path.exists():
            return {}
        try:
            read: dict[str, dict[str, float]] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error}); delete it to go on without scores") from error
        return read

    def best(self, metric: str) -> Path | None:
        """The folder with the highest score, the earlier of equals; None when none has it."""
        scored = {name: one[metric] for name, one in sorted(self.scores().items()) if metric in one}
        return self.folder / max(scored, key=lambda name: scored[name]) if scored else None

    def prune(self, num_kept: int, metric: str) -> None:
        """Deletes all but the newest and, if a metric is named, the best."""
        kept = set(self._folders()[-num_kept:])
        best = self.best(metric) if metric else None
        for path in self._folders():
            if path not in kept and path != best:
                shutil.rmtree(path, ignore_errors=True)

    def forget_after(self, step: int) -> None:
        """Drops what a run had written past the step that it goes on from."""
        newer = [path for path in self._folders() if path.name > self.path(step).name]
        for path in newer:
            shutil.rmtree(path, ignore_errors=True)
        scores = self.scores()
        kept = {name: value for name, value in scores.items() if name <= self.path(step).name}
        if kept != scores:
            self._store(kept)

    def require_none_after(self, step: int) -> None:
        """Passes when no folder is of a later step than a run without a state can have come to.

        Raises:
            ConfigError: there are such folders; a run from the start would delete them.
        """
        newer = [path.name for path in self._folders() if path.name > self.path(step).name]
        if newer:
            raise ConfigError(
                f"{self.folder} holds {', '.join(newer)}, but the run has no state to go on from; move them away or "
                "train in another folder"
            )

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.folder.glob(f"{_PREFIX}*") if path.is_dir())

    def _store(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{SCORES}"
        with temporary.open("w") as stream:
            json.dump(scores, stream, indent=2)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.folder / SCORES)
