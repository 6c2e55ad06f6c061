"""Clips that could not be decoded: listed in a file of the run, counted, and too many of them stop it.

refused-0.jsonl    one line per clip: row, clip_idx, video_uid, start_s, end_s, reason
refused-0.counts   how many clips the process has asked for and was refused, from which a restarted run counts on
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from henasy.errors import TrainingError
from henasy.scenes.files import write_text
from henasy.training.egoclip.annotations import ClipTable

_FEWEST_ASKED = 1000
_COUNTS_EVERY = 1000
"""Clips asked for between two writings of the counts; a kill forgets fewer."""
_MOST_TOLD = 20


class Refusals:
    """What a run could not decode so far, for several threads. A clip that was refused once is not tried again."""

    def __init__(
        self, path: Path, table: ClipTable, *, max_share: float, report: Callable[[str], None] | None = None
    ) -> None:
        """Goes on with the list of an earlier part of the run.

        Args:
            path: the list; each process has its own.
            table: the clips.
            max_share: of the clips asked for, or of 1,000 while fewer were; above it the run stops.
            report: is told of the first refusals.
        """
        self._path, self._table, self._max_share, self._report = path, table, max_share, report
        self._reasons = {int(line["row"]): str(line["reason"]) for line in _whole_lines(path)}
        self._counts = path.with_suffix(".counts")
        self._lock = Lock()
        counts = json.loads(self._counts.read_text()) if self._counts.exists() else {}
        self.num_asked, self.num_refused = counts.get("num_asked", 0), counts.get("num_refused", 0)

    def reason(self, row: int) -> str | None:
        """Why a clip was refused before, None if it was not."""
        return self._reasons.get(row)

    def count_asked(self) -> None:
        """Counts one clip that was asked for."""
        with self._lock:
            self.num_asked += 1
            if self.num_asked % _COUNTS_EVERY == 0:
                self._keep_counts()

    def add(self, row: int, reason: str) -> None:
        """Lists a clip that cannot be had.

        Raises:
            TrainingError: it is one too many.
        """
        with self._lock:
            self.num_refused += 1
            if row not in self._reasons:
                self._reasons[row] = reason
                self._write(row, reason)
                self._keep_counts()
                if self._report is not None and len(self._reasons) <= _MOST_TOLD:
                    self._report(f"  a clip is replaced, number {len(self._reasons)}: {reason}")
        if self.num_refused > self._max_share * max(self.num_asked, _FEWEST_ASKED):
            kinds = Counter(why.rsplit(": ", 1)[-1] for why in self._reasons.values()).most_common(3)
            raise TrainingError(
                f"{self.num_refused} of {self.num_asked} clips could not be decoded, at most {self._max_share:.1%} may "
                f"be (max_refused_share); {self._path} lists them; most often: {dict(kinds)}"
            )

    def _write(self, row: int, reason: str) -> None:
        line = {
            "row": row,
            "clip_idx": int(self._table.clip_idx[row]),
            "video_uid": self._table.video_uids[int(self._table.video[row])],
            "start_s": float(self._table.start_s[row]),
            "end_s": float(self._table.end_s[row]),
            "reason": reason,
        }
        with self._path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def _keep_counts(self) -> None:
        write_text(self._counts, json.dumps({"num_asked": self.num_asked, "num_refused": self.num_refused}))


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The list as it stands; of a line that a power cut or a full disk left torn, the file is rid."""
    if not path.exists():
        return []
    texts = path.read_text(errors="replace").splitlines(keepends=True)
    known, whole = [], []
    for text in texts:
        try:
            known.append(json.loads(text))
        except json.JSONDecodeError:
            continue
        whole.append(text.rstrip("\n") + "\n")
    if whole != texts:
        write_text(path, "".join(whole))
    return known
