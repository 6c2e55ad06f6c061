"""Annotation tables whose rows know their file and line, so that an error can name them."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from henasy.errors import AnnotationError, NotFoundError


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row of an annotation table."""

    path: Path
    line: int
    """Line of the file at which the row ends; the header is line 1."""
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]

    def error(self, column: str, allowed: str) -> AnnotationError:
        """An error that names file, line, column, value and what is allowed."""
        return AnnotationError(f"{self.path}, line {self.line}: {column} is {self[column]!r}, must be {allowed}")

    def integer(self, column: str) -> int:
        """The column as a whole number of at least 0."""
        text = self[column].strip()
        if not text.isascii() or not text.isdigit():
            raise self.error(column, "a whole number of at least 0")
        return int(text)

    def number(self, column: str) -> float:
        """The column as a finite number of at least 0."""
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise self.error(column, "a finite number of at least 0")
        return value

    def class_numbers(self, column: str) -> tuple[int, ...]:
        """The column as a list of at least one whole number, written `[2, 7]`."""
        try:
            values = json.loads(self[column])
        except json.JSONDecodeError:
            values = None
        is_right = isinstance(values, list) and values and all(type(value) is int and value >= 0 for value in values)
        if not is_right:
            raise self.error(column, "a list of at least one class number, e.g. [2]")
        return tuple(values)

    def text(self, column: str) -> str:
        """The column, which must not be blank."""
        if not self[column].strip():
            raise self.error(column, "a non-blank text")
        return self[column]


def read_table(path: Path, columns: Sequence[str], *, delimiter: str = ",") -> list[TableRow]:
    """The rows of a delimited file that has at least these columns.

    Raises:
        NotFoundError: if the file is missing.
        AnnotationError: if it is not UTF-8, lacks a column, has no row, or a row has another number of fields.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such annotation file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, [])
            _check_header(path, header, columns)
            rows = [_row(path, reader.line_num, header, fields) for fields in reader if fields]
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path}: not a readable table: {error}") from error
    if not rows:
        raise AnnotationError(f"{path}: has a header and no row")
    return rows


def _check_header(path: Path, header: list[str], columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        raise AnnotationError(f"{path}: lacks the columns {missing}; its columns are {header}")
    repeated = sorted({column for column in columns if header.count(column) > 1})
    if repeated:
        raise AnnotationError(f"{path}: the columns {repeated} occur more than once")


def _row(path: Path, line: int, header: list[str], fields: list[str]) -> TableRow:
    if len(fields) != len(header):
        raise AnnotationError(f"{path}, line {line}: {len(fields)} fields, must be {len(header)} as in the header")
    return TableRow(path=path, line=line, values=dict(zip(header, fields, strict=True)))
