"""EgoMCQ annotations: a narration and five clips, one of which it describes."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError, NotFoundError
from henasy.evaluation.encoding.frame_rules import Span, from_video_start
from henasy.evaluation.metrics.multiple_choice import INTER, INTRA

NUM_CHOICES = 5


@dataclass(frozen=True, kw_only=True)
class McqQuestion:
    """One question."""

    text: str
    choices: tuple[Span, ...]
    answer: int
    """Position of the right choice, from 0."""
    type: int
    """1: choices from different videos; 2: from one video."""


@dataclass(frozen=True, kw_only=True)
class EgoMcq:
    """The questions in the order of their keys 0, 1, 2, ..."""

    questions: tuple[McqQuestion, ...]
    num_before_start: int = 0
    """Choices whose clip was said to start before the video; they start with it."""

    @property
    def texts(self) -> list[str]:
        """The query of every question."""
        return [question.text for question in self.questions]

    @property
    def answers(self) -> NDArray[np.int64]:
        """(Q,)"""
        return np.array([question.answer for question in self.questions], np.int64)

    @property
    def types(self) -> NDArray[np.int64]:
        """(Q,)"""
        return np.array([question.type for question in self.questions], np.int64)

    def distinct_spans(self) -> tuple[list[Span], NDArray[np.int64]]:
        """The spans that occur as choices, each once, and for every choice (Q, 5) its row among them."""
        row_of: dict[Span, int] = {}
        rows = [[row_of.setdefault(choice, len(row_of)) for choice in question.choices] for question in self.questions]
        return list(row_of), np.array(rows, np.int64)


def load_egomcq(path: Path) -> EgoMcq:
    """The questions of an `egomcq.json`; clips that start before their video start with it, as in the reference.

    Raises:
        NotFoundError: if the file is missing.
        AnnotationError: if the file is not JSON of that layout; it names the question, the value and what is allowed.

    Source: PROTOCOLS section 3.1.
    """
    file = annotation_file(path)
    try:
        content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=partial(_object, file))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{file}: not JSON: {error}") from error
    if not isinstance(content, dict) or not content:
        raise AnnotationError(f"{file}: must be an object with the questions '0', '1', ...")
    missing = [key for key in map(str, range(len(content))) if key not in content]
    if missing:
        raise AnnotationError(f"{file}: {len(content)} questions, but no question {missing[0]!r}; keys count from '0'")
    keys = [str(index) for index in range(len(content))]
    questions = tuple(_question(f"{file}, question {key}", content[key]) for key in keys)
    num_before = sum(float(clip["clip_start"]) < 0 for key in keys for clip in content[key]["choices"].values())
    return EgoMcq(questions=questions, num_before_start=num_before)


def annotation_file(path: Path) -> Path:
    """The file itself, or `egomcq.json` in a folder."""
    file = path / "egomcq.json" if path.is_dir() else path
    if not file.is_file():
        raise NotFoundError(f"{file}: no such annotation file")
    return file


def _object(file: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a repeated key the standard reader would silently keep the last."""
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise AnnotationError(f"{file}: the key {repeated[0]!r} occurs more than once in an object")
    return dict(pairs)


def _question(place: str, item: Any) -> McqQuestion:
    query, choices = _field(place, item, "query", dict), _field(place, item, "choices", dict)
    expected = [str(choice) for choice in range(NUM_CHOICES)]
    if sorted(choices) != expected:
        raise AnnotationError(f"{place}: choices are {sorted(choices)}, must be {expected}")
    return McqQuestion(
        text=_text(place, query, "clip_text"),
        choices=tuple(_clip(f"{place}, choice {key}", choices[key]) for key in expected),
        answer=_one_of(place, item, "answer", range(NUM_CHOICES)),
        type=_one_of(place, item, "types", (INTER, INTRA)),
    )


def _clip(place: str, item: Any) -> Span:
    start_s, end_s = (_seconds(place, item, name) for name in ("clip_start", "clip_end"))
    if not -math.inf < start_s < end_s < math.inf or end_s <= 0:
        raise AnnotationError(
            f"{place}: clip_start {start_s} and clip_end {end_s} must be start < end and 0 < end, in seconds"
        )
    return Span(_text(place, item, "video_uid"), from_video_start(start_s), end_s)


def _seconds(place: str, item: dict[str, Any], name: str) -> float:
    value = _field(place, item, name, (int, float, str))
    try:
        return float(value)
    except ValueError as error:
        raise AnnotationError(f"{place}: {name} is {value!r}, must be a number of seconds") from error


def _text(place: str, item: dict[str, Any], name: str) -> str:
    text: str = _field(place, item, name, str)
    if not text.strip():
        raise AnnotationError(f"{place}: {name} is {text!r}, must be a non-blank text")
    return text


def _one_of(place: str, item: dict[str, Any], name: str, allowed: range | tuple[int, ...]) -> int:
    value: int = _field(place, item, name, int)
    if value not in allowed:
        raise AnnotationError(f"{place}: {name} is {value!r}, must be one of {list(allowed)}")
    return value


def _field(place: str, item: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(item, dict) or name not in item:
        raise AnnotationError(f"{place}: lacks {name!r}")
    value = item[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise AnnotationError(f"{place}: {name} is {value!r}, of the wrong type")
    return value
