"""JSON annotation files whose objects know where they stand, so that an error can name the place."""

import json
import math
from pathlib import Path
from typing import Any

from henasy.errors import AnnotationError, NotFoundError


class JsonRecord:
    """One object of a JSON file."""

    def __init__(self, place: str, values: Any) -> None:
        """Takes what must be an object; `place` says where it stands, file first.

        Raises:
            AnnotationError: it is none.
        """
        if not isinstance(values, dict):
            raise AnnotationError(f"{place}: is {_shown(values)}, must be an object")
        self.place = place
        self.values: dict[str, Any] = values

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def error(self, name: str, allowed: str) -> AnnotationError:
        """An error that names the place, the value of a key and what is allowed."""
        return AnnotationError(f"{self.place}: {name} is {_shown(self.values[name])}, must be {allowed}")

    def text(self, name: str) -> str:
        """A text that is not blank."""
        value = self._value(name)
        if not isinstance(value, str) or not value.strip():
            raise self.error(name, "a non-blank text")
        return value

    def number(self, name: str) -> float:
        """A finite number; a number written as text, or true and false, is none."""
        value = self._value(name)
        if not is_number(value):
            raise self.error(name, "a finite number")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or false; Ego4D's files also write 1 and 0."""
        value = self._value(name)
        if value not in (True, False):
            raise self.error(name, "true or false")
        return bool(value)

    def items(self, name: str) -> list[Any]:
        """A list, perhaps empty."""
        value = self._value(name)
        if not isinstance(value, list):
            raise self.error(name, "a list")
        return value

    def records(self, name: str) -> "list[JsonRecord]":
        """A list of objects, perhaps empty."""
        return [JsonRecord(f"{self.place}, {name}[{row}]", value) for row, value in enumerate(self.items(name))]

    def record(self, name: str) -> "JsonRecord":
        """An object."""
        return JsonRecord(f"{self.place}, {name}", self._value(name))

    def _value(self, name: str) -> Any:
        if name not in self.values:
            raise AnnotationError(f"{self.place}: lacks {name!r}; its keys are {sorted(self.values)[:20]}")
        return self.values[name]


def read_json_record(path: Path) -> JsonRecord:
    """The object that a JSON file holds.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: it is not JSON, or not an object; NaN and Infinity are not JSON.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such annotation file")
    try:
        return JsonRecord(str(path), json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant))
    except (UnicodeDecodeError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(f"{path}: not JSON: {error}") from error


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
