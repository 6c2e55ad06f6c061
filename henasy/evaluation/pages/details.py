"""What a report shows beside a run's numbers: single queries with what was found for them, and curves."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henasy.evaluation.encoding.frame_rules import Span

COLOURS = ((255, 200, 0), (0, 200, 255), (255, 80, 200), (120, 255, 80), (255, 120, 60))
"""Of the masks in a picture, in the order of the phrases that met them."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One thing that a query could have found, or did find."""

    label: str
    """What it is: a narration, a video with times."""
    similarity: float
    is_right: bool | None
    """None where nobody judged."""
    span: Span | None = None
    """The clip to show; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class QueryItem:
    """One query with what was found for it."""

    text: str
    kind: str
    """Queries of one kind are counted together; empty where there is one kind only."""
    score: float
    """Higher is better: what best and worst queries are told by."""
    candidates: tuple[Candidate, ...]
    """Closest first."""


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines over one pair of axes."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    is_log_x: bool = False


@dataclass(frozen=True, kw_only=True)
class Details:
    """The queries and curves of one run."""

    score_name: str
    """What `QueryItem.score` is."""
    items: tuple[QueryItem, ...]
    charts: tuple[Chart, ...]


class Wanted(NamedTuple):
    """A clip to show for a query."""

    span: Span
    text: str


class Met(NamedTuple):
    """A phrase of the query and the entity that it met; its mask has the colour of the same number."""

    phrase: str
    similarity: float


class ItemPicture(NamedTuple):
    """The first and the last of a clip's frames beside each other."""

    data_uri: str
    """A JPEG inside the address; empty if the clip cannot be read."""
    met: tuple[Met, ...]
    """Empty without entities."""
    fault: str = ""
    """Why there is no picture."""


def found_within(name: str, ranks: ArrayLike, num_ranks: int) -> Line:
    """The share of queries whose first right answer is within each rank, in percent.

    Args:
        name: of the line.
        ranks: (Q,) rank of each query's first right answer, from 1; infinite where it was not found.
        num_ranks: the last rank to show.
    """
    first = np.asarray(ranks, np.float64)
    x = np.unique(np.round(np.geomspace(1, num_ranks, 60)))
    return Line(name, x, 100 * np.mean(first[None, :] <= x[:, None], axis=1))


def sorted_values(name: str, values: ArrayLike) -> Line:
    """The values of queries from the best to the worst over the share of queries in percent."""
    ordered = np.sort(np.asarray(values, np.float64))[::-1]
    shown = np.unique(np.linspace(0, len(ordered) - 1, 200).astype(np.int64))
    return Line(name, 100 * (shown + 1) / len(ordered), ordered[shown])


def sorted_scores(name: str, scores: ArrayLike) -> Line:
    """The same of fractions, in percent."""
    return sorted_values(name, 100 * np.asarray(scores, np.float64))
