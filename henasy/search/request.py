"""What may be asked of an index, with every limit."""

import math
import operator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import numpy as np

from henasy.errors import InputError
from henasy.index.select import Filters
from henasy.text.wording import Wording

MAX_QUERY_CHARS = 1_000
MAX_QUERIES = 64
MAX_TOP_K = 1_000
MAX_HITS = 10_000
"""Queries times top_k."""
MAX_EXPLAINED_HITS = 100
"""Queries times top_k when every hit is explained."""
DEFAULT_TOP_K = 10
DEFAULT_HITS_PER_VIDEO = 3
_Choice = TypeVar("_Choice", bound=StrEnum)
DEFAULT_WORDING = Wording.NARRATION
"""Of every target but entities, whose texts are phrases and stay as they are."""


class Target(StrEnum):
    """What a hit is."""

    CLIPS = "clips"
    VIDEOS = "videos"
    MOMENTS = "moments"
    ENTITIES = "entities"


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """Texts and how to answer them.

    Whole numbers may be numpy's, a list may stand for the tuple of texts, and a target or wording may be its text;
    nothing else is taken for something that it is not: no text or bool for a number, no bytes for a text.

    Raises:
        InputError: a value is not allowed; names the field, the value and what is allowed.
    """

    queries: tuple[str, ...]
    """1 to 64 texts of 1 to 1,000 characters."""
    target: Target = Target.CLIPS
    top_k: int = DEFAULT_TOP_K
    """Hits per query, 1 to 1,000."""
    min_score: float | None = None
    """Hits below are left out; -1 to 1."""
    filters: Filters = field(default_factory=Filters)
    """Which clips may be hits."""
    max_hits_per_video: int | None = None
    """Groups the hits by video with at most this many of each; None ranks by score alone."""
    is_explained: bool = False
    """Adds an explanation to each hit."""
    has_overlapping: bool = False
    """Keeps entities of clips that overlap a better hit of the same video."""
    wording: Wording | None = None
    """How the texts are put to the model; None for what suits the target."""

    @property
    def wording_used(self) -> Wording:
        """The wording asked for, or the one that suits the target."""
        if self.wording is not None:
            return self.wording
        return Wording.BARE if self.target is Target.ENTITIES else DEFAULT_WORDING

    def __post_init__(self) -> None:
        self._settle()
        if not 1 <= len(self.queries) <= MAX_QUERIES:
            raise InputError("queries", f"{len(self.queries)} given, 1 to {MAX_QUERIES} are allowed")
        for row, query in enumerate(self.queries):
            check_query(query_field(row, len(self.queries)), query)
        _check_count("top_k", self.top_k, MAX_TOP_K)
        if self.min_score is not None and not (_is_number(self.min_score) and -1 <= self.min_score <= 1):
            raise InputError("min_score", f"{self.min_score!r} is not a number from -1 to 1")
        if self.has_overlapping and self.target is not Target.ENTITIES:
            kept = "moments never overlap" if self.target is Target.MOMENTS else "overlapping clips are hits anyway"
            raise InputError("has_overlapping", f"is for target entities, not for {self.target}: {kept}")
        if self.max_hits_per_video is not None:
            _check_count("max_hits_per_video", self.max_hits_per_video, MAX_TOP_K)
            if self.target is Target.VIDEOS:
                raise InputError("group_by_video", "target videos is not grouped: each hit is a video already")
        limit = MAX_EXPLAINED_HITS if self.is_explained else MAX_HITS
        if len(self.queries) * self.top_k > limit:
            kind = "explained hits" if self.is_explained else "hits"
            raise InputError("top_k", f"{len(self.queries)} queries x {self.top_k} is above {limit} {kind} per call")

    def _settle(self) -> None:
        """Replaces what may stand for a field's value by that value."""
        if not isinstance(self.queries, list | tuple):
            raise InputError("queries", f"{type(self.queries).__name__} given, must be a tuple of texts")
        if not isinstance(self.filters, Filters):
            raise InputError("filters", f"{type(self.filters).__name__} given, must be Filters")
        for name in ("is_explained", "has_overlapping"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(name, f"{getattr(self, name)!r} is neither True nor False")
        settled: dict[str, object] = {
            "queries": tuple(self.queries),
            "target": member_of(Target, "target", self.target),
            "top_k": whole_number("top_k", self.top_k),
        }
        if self.max_hits_per_video is not None:
            settled["max_hits_per_video"] = whole_number("max_hits_per_video", self.max_hits_per_video)
        if self.wording is not None:
            settled["wording"] = member_of(Wording, "wording", self.wording)
        for name, value in settled.items():
            object.__setattr__(self, name, value)


def query_field(row: int, num_queries: int) -> str:
    """What a message calls one of the texts of a request."""
    return "query" if num_queries == 1 else f"queries[{row}]"


def check_query(field: str, query: str) -> None:
    """Passes for a text that can be searched for.

    Raises:
        InputError: it is no text, blank, too long or not valid Unicode; `field` is named.
    """
    if not isinstance(query, str):
        raise InputError(field, f"{type(query).__name__} given, must be a text")
    if not any(char.isprintable() and not char.isspace() for char in query):
        raise InputError(field, f"{query[:20]!r} has no visible character; 1 to {MAX_QUERY_CHARS} characters needed")
    if len(query) > MAX_QUERY_CHARS:
        raise InputError(field, f"has {len(query)} characters, at most {MAX_QUERY_CHARS} are allowed")
    if any("\ud800" <= char <= "\udfff" for char in query):
        raise InputError(field, f"{query[:20]!r} holds half of a surrogate pair, which no text has")


def check_time(field: str, time_s: float) -> None:
    """Passes for a time on a video's clock.

    Raises:
        InputError: it is not finite or before the start; `field` is named.
    """
    if not (_is_number(time_s) and math.isfinite(time_s) and time_s >= 0):
        raise InputError(field, f"{time_s!r} is not a number of seconds from 0 on")


def whole_number(field: str, value: object) -> int:
    """The number, Python's or numpy's.

    Raises:
        InputError: it is none; True and False are none, nor is a text.
    """
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise InputError(field, f"{value!r} is not a whole number")
    return operator.index(value)


def member_of(kind: type[_Choice], field: str, value: str) -> _Choice:
    """The member that a value, a member or its text, is.

    Raises:
        InputError: it is none; `field` is named, and what is allowed.
    """
    try:
        return kind(value)
    except ValueError:
        raise InputError(field, f"{value!r} is none of {', '.join(kind)}") from None


def _check_count(field: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise InputError(field, f"{value} is not in 1..{most}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
