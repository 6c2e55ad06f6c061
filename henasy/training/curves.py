"""The training log as TensorBoard shows it. Owner of tensorboard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from henasy.errors import missing_extra


class Curves:
    """One curve per logged quantity; after a resume, points past the resumed step are hidden."""

    def __init__(self, folder: Path, *, resume_step: int = 0) -> None:
        """Opens a new event file in `folder`.

        Raises:
            ConfigError: the package is missing.
        """
        try:
            # Loads for seconds, and not every run wants it.
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            message = f"has_tensorboard is True, which needs the tensorboard package ({error})"
            raise missing_extra(message, "train") from error
        self._writer: Any = SummaryWriter(str(folder), purge_step=resume_step or None)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()
