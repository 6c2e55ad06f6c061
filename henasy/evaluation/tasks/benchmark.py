"""One benchmark from the options of its command line to a result: the same steps for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.evaluation.encoding.frame_rules import FrameSelector, Span
from henasy.evaluation.encoding.source import AnnotatedVideos, FeatureSource, SourceOptions, VideoSource, choose_source
from henasy.evaluation.pages.details import Details, ItemPicture, Wanted
from henasy.evaluation.pages.run_report import draw_clips
from henasy.evaluation.tasks.published import PublishedRow
from henasy.evaluation.tasks.report import RENDERED_HEADING
from henasy.evaluation.tasks.result import BenchmarkResult, Illustrated


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one way of scoring yields."""

    scores: dict[str, float]
    """Fractions, in the order of the benchmark's columns, under the keys of the JSON file."""
    facts: dict[str, object]
    """What fixes the scores, and on how many of how many items they rest."""
    remark: str | None = None
    """What keeps the numbers from being those of the published test set."""
    details: Callable[[], Details] | None = None
    """Collects what a report shows beside the scores."""


def kept_rows(kept: NDArray[np.bool_] | None, count: int, fault: str) -> NDArray[np.bool_]:
    """(N,) which of `count` items are scored: all for None.

    Raises:
        InputError: none is; `fault` says so.
    """
    kept = np.ones(count, bool) if kept is None else kept
    if not kept.any():
        raise InputError("videos", fault)
    return kept


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What tells one benchmark from another."""

    title: str
    columns: tuple[str, ...]
    """Heads of the table, one per score."""
    scores: tuple[str, ...]
    """Keys of the scores."""
    published: tuple[PublishedRow, ...]
    """Rows of the papers, shown beside real data only."""
    spans: Callable[[Path], Sequence[Span]]
    """What its annotations cut from their videos."""
    score_videos: Callable[[VideoSource], Scored]
    score_features: Callable[[FeatureSource], Scored] | None
    """None where embeddings made elsewhere cannot be scored."""
    selector: FrameSelector | None = None
    """Which frames stand for a clip in the pictures of a report; None for no pictures."""
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
        videos = None
    else:
        videos = source if isinstance(source, VideoSource) else source.as_videos(*benchmark.rendered(source.archive))
        scored = benchmark.score_videos(videos)
    assert tuple(scored.scores) == benchmark.scores
    title = benchmark.title if scored.remark is None else f"{benchmark.title}; {scored.remark}"
    return BenchmarkResult(
        title=benchmark.title,
        heading=RENDERED_HEADING if is_rendered else title,
        columns=benchmark.columns,
        scores=scored.scores,
        facts=scored.facts,
        published=() if is_rendered else benchmark.published,
        illustrated=None if scored.details is None else Illustrated(scored.details, _drawing(benchmark, videos)),
    )


def _drawing(
    benchmark: Benchmark, source: VideoSource | None
) -> Callable[[Sequence[Wanted]], Sequence[ItemPicture]] | None:
    return None if source is None or benchmark.selector is None else partial(draw_clips, source, benchmark.selector)
