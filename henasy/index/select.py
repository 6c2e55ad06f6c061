"""Which clips a search may return."""

import fnmatch
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.index.videos import MetadataValue, VideoRecord, VideoTable


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Conditions that a clip must all meet; an empty one asks nothing."""

    video_ids: tuple[str, ...] = ()
    """The clip's video is one of these."""
    path_globs: tuple[str, ...] = ()
    """A path of the clip's video, relative or absolute, matches one of these (`*` also crosses folders)."""
    start_s: float | None = None
    """The clip ends after this time of its video."""
    end_s: float | None = None
    """The clip starts before this time of its video."""
    equals: Mapping[str, tuple[MetadataValue, ...]] = field(default_factory=dict)
    """Metadata column -> values of which the video has one. A number also equals its text, and a
    boolean "true" or "false" in any case."""
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    """Metadata column -> smallest and largest number allowed, both included; None leaves a side open."""

    def __post_init__(self) -> None:
        for name in ("video_ids", "path_globs"):
            _check_texts(name, getattr(self, name))
        for name in ("start_s", "end_s"):
            _check_number(name, getattr(self, name), " of seconds")
        if self.start_s is not None and self.end_s is not None and self.start_s >= self.end_s:
            raise InputError("end_s", f"{self.end_s} is not after start_s {self.start_s}")
        for column, values in self.equals.items():
            _check_collection(f"equals.{column}", values)
        for column, (low, high) in self.ranges.items():
            for bound in (low, high):
                _check_number(f"ranges.{column}", bound)
            if low is not None and high is not None and low > high:
                raise InputError(f"ranges.{column}", f"{low} to {high} is empty")


def _check_collection(field: str, values: object) -> None:
    # A text is a collection of texts too: each of its characters would be taken for one.
    if isinstance(values, str) or not isinstance(values, Collection):
        raise InputError(field, f"{values!r} is not a tuple")


def _check_texts(field: str, values: Collection[object]) -> None:
    _check_collection(field, values)
    for value in values:
        if not isinstance(value, str):
            raise InputError(field, f"{value!r} is not a text")


def _check_number(field: str, value: float | None, unit: str = "") -> None:
    if value is None:
        return
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value)):
        raise InputError(field, f"{value!r} is not a finite number{unit}")


@dataclass(frozen=True)
class Selection:
    """The clips that a search may return."""

    rows: NDArray[np.int64] | None
    """Ascending clip rows; None selects everything."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self.rows is None


EVERYTHING = Selection(None)


def select_videos(filters: Filters, videos: VideoTable) -> NDArray[np.bool_] | None:
    """(V,) which videos may be searched; None when the filters leave none out.

    Raises:
        NotFoundError: a video id is unknown.
        InputError: a metadata column is unknown.
    """
    for video_id in filters.video_ids:
        videos.row_of(video_id)
    known = {column for record in videos for column in record.metadata}
    for column in (*filters.equals, *filters.ranges):
        if column not in known:
            allowed = ", ".join(sorted(known)) or "none: the index was built without metadata"
            raise InputError(f"metadata.{column}", f"no such column; there are: {allowed}")
    if not (filters.video_ids or filters.path_globs or filters.equals or filters.ranges):
        return None
    return np.array([_matches(filters, record) for record in videos], np.bool_)


def _matches(filters: Filters, record: VideoRecord) -> bool:
    if filters.video_ids and record.video_id not in filters.video_ids:
        return False
    if filters.path_globs and not _matches_path(filters.path_globs, record):
        return False
    has_equal = all(_equals(record.metadata.get(column), values) for column, values in filters.equals.items())
    return has_equal and all(_within(record.metadata.get(column), *bounds) for column, bounds in filters.ranges.items())


def _matches_path(globs: tuple[str, ...], record: VideoRecord) -> bool:
    paths = (record.path, *(str(file) for file in record.files))
    return any(fnmatch.fnmatchcase(path, glob) for glob in globs for path in paths)


def _equals(value: MetadataValue, allowed: tuple[MetadataValue, ...]) -> bool:
    return value is not None and any(value == one or _text(value) == _text(one) for one in allowed)


def _text(value: MetadataValue) -> str:
    text = str(value)
    # "TRUE" from a table and True from JSON mean the same; other texts differ by case.
    return text.lower() if text.lower() in ("true", "false") else text


def _within(value: MetadataValue, low: float | None, high: float | None) -> bool:
    if isinstance(value, str | bool) or value is None:
        return False
    return (low is None or value >= low) and (high is None or value <= high)
