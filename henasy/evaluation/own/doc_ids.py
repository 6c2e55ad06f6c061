"""How a TREC file names a piece of video: `VIDEO@START-END`, or `VIDEO` for all of it.

VIDEO is the video's id or its path as hits show it; START and END are seconds on its clock, half-open. White space,
`%` and `@` in a path are written as in URLs (`%20`, `%25`, `%40`), so that a name is one word and its `@` is always the
one before the times.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote

from henasy.errors import InputError

_TIMES = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", re.ASCII)
_ESCAPED = re.compile(r"[\s%@]")
_FORM = "VIDEO or VIDEO@START-END with seconds, e.g. kitchen/monday.mp4@12-14.5"


class DocSpan(NamedTuple):
    """A video, or the piece `[start_s, end_s)` of one."""

    video: str
    """Id or path."""
    span: tuple[float, float] | None
    """None for the whole video."""

    def overlap(self, start_s: float, end_s: float) -> float:
        """Intersection over union with another piece of the same video; the whole video overlaps everything by 1."""
        if self.span is None:
            return 1.0
        inside = min(self.span[1], end_s) - max(self.span[0], start_s)
        return max(0.0, inside) / (self.span[1] - self.span[0] + end_s - start_s - max(0.0, inside))


def parse_doc_id(text: str) -> DocSpan:
    """The piece of video that a name in a TREC file means.

    Raises:
        InputError: it is not of that form, or the span is empty.
    """
    name, at, times = text.partition("@")
    if not name or any(char.isspace() for char in text):
        raise InputError("document", f"{text!r} is not of the form {_FORM}")
    if not at:
        return DocSpan(unquote(name), None)
    match = _TIMES.fullmatch(times)
    if match is None:
        raise InputError("document", f"{text!r} is not of the form {_FORM}; an @ in a path is written %40")
    start_s, end_s = float(match[1]), float(match[2])
    if not start_s < end_s < float("inf"):
        raise InputError("document", f"{text!r} ends at {end_s:g} s, must end after its start {start_s:g} s")
    return DocSpan(unquote(name), (start_s, end_s))


def format_doc_id(doc: DocSpan) -> str:
    """The name of a piece of video, times to a millisecond."""
    name = _ESCAPED.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), doc.video)
    return name if doc.span is None else f"{name}@{_seconds(doc.span[0])}-{_seconds(doc.span[1])}"


def _seconds(time_s: float) -> str:
    return f"{time_s:.3f}".rstrip("0").rstrip(".")
