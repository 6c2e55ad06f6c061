"""What a benchmark run yields, whatever its embeddings came from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from henasy.evaluation.pages.details import Details, ItemPicture, Wanted
from henasy.evaluation.tasks.published import PublishedRow


class Illustrated(NamedTuple):
    """What a report shows beside the scores."""

    details: Callable[[], Details]
    """Collects queries and curves, which a run without a report needs not."""
    draw: Callable[[Sequence[Wanted]], Sequence[ItemPicture]] | None
    """Makes one picture per wanted clip; None where embeddings came without videos."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """Scores with what is needed to judge them."""

    title: str
    """What was measured."""
    heading: str
    """The title, or what must be said before any number; what is printed first."""
    columns: tuple[str, ...]
    """Heads of the table, one per score."""
    scores: dict[str, float]
    """Fractions under the keys of the JSON file."""
    facts: dict[str, object]
    """What fixes the scores: model, frames, crop, hashes of the annotations."""
    published: tuple[PublishedRow, ...]
    """Rows of the papers to show beside this run; none where they do not compare."""
    illustrated: Illustrated | None = None
    """None where a report has nothing but the scores."""
