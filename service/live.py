"""The engine of the live generation, exchanged when a build publishes a newer one."""

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from henasy.errors import HenasyError
from henasy.heads.moment_ends import EndsHead
from henasy.index.generation import read_current
from henasy.index.reader import Index
from henasy.search.engine import Engine
from henasy.video.pool import ClipPool

if TYPE_CHECKING:
    from henasy.checkpoint.encoder import Encoder

_LOG = logging.getLogger(__name__)


class LiveEngine:
    """Holds one warm engine; calls that began with the generation before end with it."""

    def __init__(
        self, index: Index, encoder: "Encoder", *, is_checked: bool = True, ends: EndsHead | None = None
    ) -> None:
        """Warms an opened index.

        Args:
            index: the generation to begin with.
            encoder: the one of its space.
            is_checked: compare the checksums of what newer generations add.
            ends: the encoder's head for the ends of moments.

        Raises:
            SpaceMismatchError: index and encoder are of different spaces.
        """
        self._encoder, self._is_checked, self._ends = encoder, is_checked, ends
        self._clips = ClipPool()
        self._current = self._warm(index)
        self._refused: int | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> Engine:
        """The engine to answer the next call with."""
        return self._current

    def refresh(self) -> bool:
        """Takes up a newer generation; True when there was one.

        One that cannot be opened is logged once and not tried again: the one before goes on answering.
        """
        root = self._current.index.root
        try:
            number = read_current(root)
            if number in (self._current.index.generation, self._refused):
                return False
            newer = Index.open(root, is_checked=self._is_checked, opened=self._current.index)
            self._current = self._warm(newer)
        except HenasyError as error:
            self._note_refused(root, error)
            return False
        _LOG.info("serving generation %d of %s", self._current.index.generation, root)
        return True

    def _note_refused(self, root: Path, error: HenasyError) -> None:
        try:
            number = read_current(root)
        except HenasyError:
            number = -1
        if number != self._refused:
            _LOG.error("generation %d goes on answering: %s", self._current.index.generation, error)
        self._refused = number

    def watch(self, every_s: float) -> None:
        """Refreshes in a thread until `close`."""
        self._thread = threading.Thread(target=self._refresh_until_closed, args=(every_s,), daemon=True)
        self._thread.start()

    def _refresh_until_closed(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                self.refresh()
            except Exception:
                _LOG.exception("generation %d goes on answering", self._current.index.generation)

    def close(self) -> None:
        """Ends the watching, and the processes that decode for explanations."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._clips.close()

    def _warm(self, index: Index) -> Engine:
        engine = Engine(index, self._encoder, self._clips.read_clip, ends=self._ends)
        index.warm()
        self._encoder.encode_texts(["warm up"])
        return engine
