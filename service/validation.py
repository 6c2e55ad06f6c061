"""Rules of the wire contract that the search itself does not have, with fields named as the contract names them."""

import math
from collections.abc import Sequence

from henasy.errors import InputError
from henasy.search.request import Target, check_time
from henasy.text.wording import Wording

MAX_VIDEO_IDS = 10_000
MAX_PATH_GLOBS = 1_000
MAX_CONDITIONS = 100
TARGETS = (Target.CLIPS, Target.CLIPS, Target.VIDEOS, Target.MOMENTS, Target.ENTITIES)
"""By number in the contract; unset means clips."""
WORDINGS = (None, Wording.BARE, Wording.NARRATION, Wording.BOTH)
"""By number in the contract; unset means what suits the target."""


def queries_of(query: str, queries: Sequence[str]) -> tuple[str, ...]:
    """The texts of a request.

    Raises:
        InputError: both fields are given.
    """
    if query and queries:
        raise InputError("queries", f"{len(queries)} given beside query; give one of query and queries")
    return tuple(queries) if queries else (query,)


def target_of(number: int) -> Target:
    """What is searched for.

    Raises:
        InputError: the number is none of the contract's.
    """
    if not 0 <= number < len(TARGETS):
        raise InputError("target", f"{number} is not in 0..{len(TARGETS) - 1}")
    return TARGETS[number]


def wording_of(number: int) -> Wording | None:
    """How the texts are put to the model.

    Raises:
        InputError: the number is none of the contract's.
    """
    if not 0 <= number < len(WORDINGS):
        raise InputError("wording", f"{number} is not in 0..{len(WORDINGS) - 1}")
    return WORDINGS[number]


def check_filter_sizes(num_video_ids: int, num_path_globs: int, columns: Sequence[str]) -> None:
    """Passes for filters of a size that can be answered, with one condition per column.

    Raises:
        InputError: there are too many values, or a column is named twice or not at all.
    """
    limits = (
        ("filter.video_ids", num_video_ids, MAX_VIDEO_IDS),
        ("filter.path_globs", num_path_globs, MAX_PATH_GLOBS),
        ("filter.metadata", len(columns), MAX_CONDITIONS),
    )
    for field, count, most in limits:
        if count > most:
            raise InputError(field, f"{count} given, at most {most} are allowed")
    for row, column in enumerate(columns):
        if not column or column in columns[:row]:
            reason = "given twice; one condition per column" if column else "must name a column"
            raise InputError(f"filter.metadata[{row}].column", f"{column!r} {reason}")


def check_time_range(start_s: float | None, end_s: float | None) -> None:
    """Passes for a half-open time with either end open.

    Raises:
        InputError: an end is no time, or the range is empty.
    """
    for field, time_s in (("filter.time.start_s", start_s), ("filter.time.end_s", end_s)):
        if time_s is not None:
            check_time(field, time_s)
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise InputError("filter.time.end_s", f"{end_s} is not above start_s {start_s}")


def check_condition(row: int, num_values: int, bounds: tuple[float | None, float | None] | None) -> None:
    """Passes for a metadata condition with either values or bounds.

    Raises:
        InputError: it has both or neither, or the bounds are open on both sides, not finite, or empty.
    """
    field = f"filter.metadata[{row}]"
    if (num_values > 0) == (bounds is not None):
        raise InputError(field, "needs exactly one of equals_any and range")
    if bounds is None:
        return
    given = [bound for bound in bounds if bound is not None]
    if not given or not all(math.isfinite(bound) for bound in given) or given != sorted(given):
        raise InputError(f"{field}.range", f"{bounds[0]} to {bounds[1]}: needs finite min or max, and min <= max")
