"""What a benchmark run yields, whatever its embeddings came from."""

from dataclasses import dataclass

from henasy.evaluation.published import PublishedRow


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """Scores with what is needed to judge them."""

    heading: str
    columns: tuple[str, ...]
    """Heads of the table, one per score."""
    scores: dict[str, float]
    """Fractions under the keys of the JSON file."""
    facts: dict[str, object]
    """What fixes the scores: model, frames, crop, hashes of the annotations."""
    published: tuple[PublishedRow, ...]
    """Rows of the papers to show beside this run; none where they do not compare."""
