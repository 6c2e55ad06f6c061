"""One benchmark from the options of its command line to a result: the same steps for all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from henasy.errors import InputError
from henasy.evaluation.published import PublishedRow
from henasy.evaluation.report import RENDERED_HEADING
from henasy.evaluation.result import BenchmarkResult
from henasy.evaluation.source import AnnotatedVideos, FeatureSource, SourceOptions, VideoSource, choose_source


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one way of scoring yields."""

    scores: dict[str, float]
    """Fractions, in the order of the benchmark's columns, under the keys of the JSON file."""
    facts: dict[str, object]
    """What fixes the scores, and on how many of how many items they rest."""
    remark: str | None = None
    """What keeps the numbers from being those of the published test set."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What tells one benchmark from another."""

    title: str
    columns: tuple[str, ...]
    """Heads of the table, one per score."""
    published: tuple[PublishedRow, ...]
    """Rows of the papers, shown beside real data only."""
    score_videos: Callable[[VideoSource], Scored]
    score_features: Callable[[FeatureSource], Scored] | None
    """None where embeddings made elsewhere cannot be scored."""
    rendered: Callable[[Path | None], AnnotatedVideos]
    """The benchmark's files of a rendered archive; None for the cached one."""


def run_benchmark(benchmark: Benchmark, options: SourceOptions) -> BenchmarkResult:
    """The result for whatever the command line asks to be scored.

    Raises:
        InputError: if options are missing or exclude each other.
    """
    source = choose_source(options)
    is_rendered = not isinstance(source, FeatureSource | VideoSource)
    if isinstance(source, FeatureSource):
        if benchmark.score_features is None:
            raise InputError("--features", "this benchmark needs a model and videos")
        scored = benchmark.score_features(source)
    elif isinstance(source, VideoSource):
        scored = benchmark.score_videos(source)
    else:
        scored = benchmark.score_videos(source.as_videos(*benchmark.rendered(source.archive)))
    title = benchmark.title if scored.remark is None else f"{benchmark.title}; {scored.remark}"
    return BenchmarkResult(
        heading=RENDERED_HEADING if is_rendered else title,
        columns=benchmark.columns,
        scores=scored.scores,
        facts=scored.facts,
        published=() if is_rendered else benchmark.published,
    )
