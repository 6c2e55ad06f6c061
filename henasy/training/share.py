"""Which rows of a step's batch a process makes, when several share it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import ConfigError


class Share(NamedTuple):
    """A process's part of every batch: an even stretch of the anchors, with their hard negatives."""

    rank: int = 0
    size: int = 1

    def rows(self, num_anchors: int) -> NDArray[np.int64]:
        """Own rows among a batch's 2 `num_anchors`, the anchors first, then the hard negatives.

        Raises:
            ConfigError: the anchors cannot be dealt out evenly.
        """
        if num_anchors % self.size:
            raise ConfigError(f"{num_anchors} anchors in a part; it must be a multiple of the {self.size} processes")
        each = num_anchors // self.size
        anchors = np.arange(self.rank * each, (self.rank + 1) * each)
        return np.concatenate([anchors, num_anchors + anchors])


WHOLE = Share()
