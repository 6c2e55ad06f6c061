"""EGTEA annotations: trimmed clips and the one of 106 actions that each shows.

Two public layouts are read: the data set's own (`action_idx.txt`, `test_split1.txt`), in which a clip is a video file
of its name, and that of fpv-iplab/rulstm (`actions.csv`, `validation1.csv`), in which it is a span of a session's
video, in frames at 30 per second.

N clips, C classes.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError, NotFoundError
from henasy.evaluation.encoding.frame_rules import Span

ACTION_FILE, SPLIT_FILE = "action_idx.txt", "test_split1.txt"
SESSION_ACTION_FILE, SESSION_SPLIT_FILE = "actions.csv", "validation1.csv"
SESSION_FPS = 30
PUBLISHED_DIGEST = "29ec57093ab4b91a19974d409a7ce371a865ce9b4a326eda94951d0972a77e4c"
"""`split_digest` of test split 1 as fpv-iplab/rulstm publishes it; the data set's own files name the same clips."""
_CLIP_NAME = re.compile(r"(?P<session>.+)-(?P<start_ms>\d+)-\d+-F\d+-F\d+", re.ASCII)
_SESSION_FIELDS = "clip number, video, first frame, last frame, verb, noun, action"


@dataclass(frozen=True, kw_only=True)
class EgteaTest:
    """A test split."""

    spans: tuple[Span, ...]
    """(N,) in the order of the split file; an infinite end is the end of the file."""
    names: tuple[str, ...]
    """(C,) text of each class, in the order of the action file."""
    targets: NDArray[np.int64]
    """(N,) row of each clip's class in `names`."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line of an annotation file, for error messages."""

    path: Path
    number: int
    text: str

    def error(self, what: str, allowed: str) -> AnnotationError:
        return AnnotationError(f"{self.path}, line {self.number}: {what}, must be {allowed}")

    def whole(self, name: str, text: str) -> int:
        text = text.strip()
        if not text.isascii() or not text.isdigit():
            raise self.error(f"{name} is {text!r}", "a whole number of at least 0")
        return int(text)


def load_egtea(path: Path) -> EgteaTest:
    """The test split in a folder, or in a split file with its action file beside it.

    Raises:
        NotFoundError: if a file is missing.
        AnnotationError: if a line has other fields, an action is unknown, or a clip or an action is repeated.

    Source: PROTOCOLS section 3.4.
    """
    split, actions = annotation_files(path)
    row_of, names = (_session_actions if actions.name == SESSION_ACTION_FILE else _actions)(actions)
    read_clip = _session_clip if actions.name == SESSION_ACTION_FILE else _clip
    spans: dict[Span, int] = {}
    for line in _lines(split):
        span, action = read_clip(line)
        if action not in row_of:
            raise line.error(f"action is {action}", f"one of the {len(row_of)} of {actions.name}")
        if span in spans:
            raise line.error(f"the clip {span.video_id} is repeated", "different in every line")
        spans[span] = row_of[action]
    return EgteaTest(spans=tuple(spans), names=tuple(names), targets=np.array(list(spans.values()), np.int64))


def split_digest(test: EgteaTest) -> str:
    """sha256 of which session shows which action from which second on, whatever the layout and the order of its lines.

    A clip of the data set's own layout names its session and its milliseconds.
    """
    rows = []
    for span, target in zip(test.spans, test.targets.tolist(), strict=True):
        name = _CLIP_NAME.fullmatch(span.video_id)
        session, start_s = (name["session"], int(name["start_ms"]) / 1000) if name else (span.video_id, span.start_s)
        rows.append([session, int(start_s), test.names[target]])
    return hashlib.sha256(json.dumps([sorted(rows), sorted(test.names)]).encode()).hexdigest()


def annotation_files(path: Path) -> tuple[Path, Path]:
    """The split file and the action file of a folder, or those that go with a split file.

    Raises:
        NotFoundError: if they are not there.
    """
    pairs = [(path / SPLIT_FILE, path / ACTION_FILE), (path / SESSION_SPLIT_FILE, path / SESSION_ACTION_FILE)]
    if path.is_file():
        pairs = [(path, path.parent / (SESSION_ACTION_FILE if path.suffix == ".csv" else ACTION_FILE))]
    for split, actions in pairs:
        if split.is_file() and actions.is_file():
            return split, actions
    wanted = " or ".join(f"{split.name} with {actions.name}" for split, actions in pairs)
    raise NotFoundError(f"no {wanted} in {path.parent if path.is_file() else path}")


def _actions(path: Path) -> tuple[dict[int, int], list[str]]:
    """Rows by id, and texts, of lines such as `Take eating_utensil 3`."""
    row_of: dict[int, int] = {}
    names = []
    for line in _lines(path):
        name, _, number = line.text.strip().rpartition(" ")
        _add_action(line, row_of, line.whole("the last field", number), name)
        names.append(name.strip().replace("_", " ").lower())
    return row_of, names


def _session_actions(path: Path) -> tuple[dict[int, int], list[str]]:
    """The same of lines such as `2, 2_2, Take_eating:utensil`."""
    row_of: dict[int, int] = {}
    names = []
    for line in _lines(path):
        fields = line.text.split(",")
        if len(fields) != 3:
            raise line.error(f"{len(fields)} fields", "3: action, verb_noun, name")
        _add_action(line, row_of, line.whole("action", fields[0]), fields[2])
        names.append(fields[2].strip().replace("_", " ").replace(":", " ").lower())
    return row_of, names


def _add_action(line: _Line, row_of: dict[int, int], action: int, name: str) -> None:
    if not name.strip():
        raise line.error(f"{line.text!r} has no name", "a name and a number")
    if row_of.setdefault(action, len(row_of)) != len(row_of) - 1:
        raise line.error(f"action {action} is repeated", "different in every line")


def _clip(line: _Line) -> tuple[Span, int]:
    """A whole file and its action, of a line such as `OP01-R01-PastaSalad-66680-68130-F001597-F001639 3 2 2`."""
    fields = line.text.split()
    if len(fields) < 2:
        raise line.error(f"{len(fields)} fields", "at least 2: clip, action")
    return Span(fields[0], 0.0, math.inf), line.whole("action", fields[1])


def _session_clip(line: _Line) -> tuple[Span, int]:
    fields = [field.strip() for field in line.text.split(",")]
    if len(fields) != 7 or not fields[1]:
        raise line.error(f"{line.text!r}", f"7 fields: {_SESSION_FIELDS}")
    first, last = line.whole("first frame", fields[2]), line.whole("last frame", fields[3])
    if last <= first:
        raise line.error(f"last frame is {last}", f"after first frame {first}")
    return Span(fields[1], first / SESSION_FPS, last / SESSION_FPS), line.whole("action", fields[6])


def _lines(path: Path) -> list[_Line]:
    try:
        texts = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: not a readable text: {error}") from error
    lines = [_Line(path=path, number=number, text=text) for number, text in enumerate(texts, 1) if text.strip()]
    if not lines:
        raise AnnotationError(f"{path}: has no line")
    return lines
