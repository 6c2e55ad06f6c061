"""Own queries and judgements: how good search is on your archive, and whether it became worse.

python benchmarks/own_archive.py                                                     # rendered scenes, henasy-tiny
python benchmarks/own_archive.py score SYSTEM --queries Q.tsv --qrels QRELS
python benchmarks/own_archive.py compare BASELINE CANDIDATE --queries Q.tsv --qrels QRELS    # exit code 3: it fell
python benchmarks/own_archive.py judge SYSTEM --queries Q.tsv --qrels QRELS                  # asks y/n hit by hit
python benchmarks/own_archive.py marked HITS.json --queries Q.tsv --qrels QRELS              # henasy-search --json

A SYSTEM is the folder of an index, HOST:PORT of a henasy-serve, or a ranking that `score --run` kept.
"""

import functools
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from judging import judge_at_terminal

from henasy.checkpoint.shipped import SHIPPED
from henasy.errors import InputError
from henasy.evaluation.encoding.source import DEFAULT_DEVICE
from henasy.evaluation.metrics.ranking_measures import DEFAULT_MEASURES
from henasy.evaluation.own.archive import (
    ScoreRules,
    compare_scored,
    default_measures,
    load_own_archive,
    score_archive,
    usable_judgements,
)
from henasy.evaluation.own.comparison import Comparison, comparison_json, show_comparison
from henasy.evaluation.own.feedback import append_judgements, merge_feedback, read_marked_hits
from henasy.evaluation.own.kept_ranking import KeptRanking, keep_ranking, note_path
from henasy.evaluation.own.qrels import format_queries, load_queries, read_judgements
from henasy.evaluation.own.searched_archive import IndexArchive, SearchedArchive
from henasy.evaluation.pages.own_details import own_details
from henasy.evaluation.pages.run_report import report_run
from henasy.evaluation.tasks.report import RENDERED_HEADING, reported_errors, show_result, write_text
from henasy.evaluation.tasks.result import BenchmarkResult, Illustrated
from henasy.search.request import MAX_TOP_K, Target

TITLE = "own archive, percent"
EXIT_FELL = 3
_PATH = click.Path(path_type=Path)
_ADDRESS = re.compile(r"[^/\\]+:\d{1,5}")
_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class ReportingGroup(click.Group):
    """Commands of which a deliberate error ends with one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs what was asked for."""
        with reported_errors():
            return super().invoke(ctx)


def together(*options: _Decorator) -> _Decorator:
    """All of these options, listed in this order."""
    return lambda command: functools.reduce(lambda made, option: option(made), reversed(options), command)


files_options = together(
    click.option("--queries", type=_PATH, required=True, help="A query_id<TAB>text per line."),
    click.option("--qrels", type=_PATH, required=True, help="A `query_id 0 VIDEO@START-END relevance` per line."),
)
search_options = together(
    click.option("--target", type=click.Choice([str(one) for one in Target]), default="clips", show_default=True),
    click.option("--device", default="cpu", show_default=True, help="Where the texts for an index are encoded."),
    click.option("--top-k", type=click.IntRange(1, MAX_TOP_K), default=100, show_default=True, help="Hits per query."),
)
score_options = together(
    click.option("--measure", "measures", multiple=True, help=f"Repeatable.  [default: {' '.join(DEFAULT_MEASURES)}]"),
    click.option("--min-iou", type=float, default=0.0, show_default=True, help="Overlap that finds; 0 for any."),
    click.option(
        "--allow-missing", "is_allowing_missing", is_flag=True, help="Leave judgements of missing videos out."
    ),
    click.option("--json", "json_path", type=_PATH, help="Write the numbers here, as fractions."),
)
report_option = click.option(
    "--report", "report_path", type=_PATH, help="Write an HTML page with curves and clips here."
)
model_option = click.option("--model", help="Checkpoint for an index.  [default: the one that it was built with]")


@click.group(cls=ReportingGroup, invoke_without_command=True)
@click.option("--archive", type=_PATH, help="Rendered archive to use instead of the cached one.")
@click.option("--model", default=SHIPPED, show_default=True, help="Checkpoint to index the archive with.")
@search_options
@score_options
@report_option
@click.pass_context
def main(
    context: click.Context,
    archive: Path | None,
    model: str,
    target: str,
    device: str,
    top_k: int,
    measures: tuple[str, ...],
    min_iou: float,
    is_allowing_missing: bool,
    json_path: Path | None,
    report_path: Path | None,
) -> None:
    """Score search on own queries; without a command, on rendered scenes whose narrations are the judgements."""
    if context.invoked_subcommand is not None:
        return
    # Loads the rendering library and torch, which a kept ranking needs not.
    from henasy.checkpoint.encoder import require_device
    from henasy.checkpoint.locate import locate_checkpoint
    from henasy.evaluation.own.rendered import rendered_own_archive

    rules = _rules(measures, top_k, min_iou, is_allowing_missing)
    # Whatever is wrong with the model shows before minutes of rendering.
    require_device(device)
    locate_checkpoint(model)
    files = rendered_own_archive(archive, model, device)
    system = IndexArchive(files.index_folder, model=model, device=device, target=Target(target))
    result = scored_result(system, files.queries, files.qrels, rules, heading=RENDERED_HEADING)
    _show(result, json_path, report_path)


@main.command()
@click.argument("system")
@files_options
@search_options
@model_option
@score_options
@report_option
@click.option("--run", "run_path", type=_PATH, help="Keep the ranking here as TREC does, its facts beside it.")
def score(
    system: str,
    queries: Path,
    qrels: Path,
    target: str,
    device: str,
    top_k: int,
    model: str | None,
    measures: tuple[str, ...],
    min_iou: float,
    is_allowing_missing: bool,
    json_path: Path | None,
    report_path: Path | None,
    run_path: Path | None,
) -> None:
    """Measure how well SYSTEM answers the queries."""
    rules = _rules(measures, top_k, min_iou, is_allowing_missing)
    if run_path is not None and json_path is not None and json_path.absolute() == note_path(run_path).absolute():
        raise InputError("--json", f"{json_path} is where the facts of --run {run_path} are kept; give another name")
    archive = system_of(system, load_queries(queries), target=target, device=device, model=model)
    _refuse_idle([archive], target, device)
    _show(scored_result(archive, queries, qrels, rules, run_path=run_path), json_path, report_path)


@main.command()
@click.argument("baseline")
@click.argument("candidate")
@files_options
@search_options
@score_options
@click.option("--by", default="nDCG@10", show_default=True, help="The measure that decides.")
@click.option("--tolerance", type=float, help="Also fail when its mean falls by more, sure or not.")
def compare(
    baseline: str,
    candidate: str,
    queries: Path,
    qrels: Path,
    target: str,
    device: str,
    top_k: int,
    measures: tuple[str, ...],
    min_iou: float,
    is_allowing_missing: bool,
    json_path: Path | None,
    by: str,
    tolerance: float | None,
) -> None:
    """Hold CANDIDATE against BASELINE on the same queries; exit with 3 when quality fell.

    It fell when the 95 % bootstrap interval of the paired difference lies below 0 and the randomisation test's p is
    below 0.05; with --tolerance, also when the mean fell by more than that.
    """
    rules = _rules(measures, top_k, min_iou, is_allowing_missing)
    # click's range lets NaN through, with which nothing ever falls.
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise InputError("--tolerance", f"{tolerance} is not from 0 to 1")
    if by not in rules.measures:
        raise InputError("--by", f"{by!r} is none of the measures {', '.join(rules.measures)}")
    own = load_own_archive(queries, qrels)
    systems = [system_of(name, own.queries, target=target, device=device) for name in (baseline, candidate)]
    _refuse_idle(systems, target, device)
    usable = usable_judgements(own, systems, is_allowing_missing=is_allowing_missing)
    before, after = (score_archive(system, own, usable, rules) for system in systems)
    comparison = Comparison(
        tests=compare_scored(after, before),
        baseline=before.means,
        candidate=after.means,
        by=by,
        tolerance=tolerance,
        facts={"baseline": before.facts, "candidate": after.facts, **usable.facts},
    )
    show_comparison(comparison)
    if json_path is not None:
        write_text(json_path, comparison_json(comparison))
    if comparison.has_fallen:
        sys.exit(EXIT_FELL)


@main.command()
@click.argument("system")
@files_options
@search_options
@model_option
def judge(system: str, queries: Path, qrels: Path, target: str, device: str, top_k: int, model: str | None) -> None:
    """Ask at the terminal which hits of SYSTEM are right, and add the answers to the qrels file one by one."""
    texts = load_queries(queries)
    known = read_judgements(qrels, texts) if qrels.exists() else []
    found = system_of(system, texts, target=target, device=device, model=model).search(texts, top_k)
    num_added = judge_at_terminal(texts, found, known, qrels)
    click.echo(f"{num_added} judgements added to {qrels}")


@main.command()
@click.argument("hits", type=_PATH)
@files_options
def marked(hits: Path, queries: Path, qrels: Path) -> None:
    """Add judgements from HITS, what `henasy-search --json` printed with a key `relevance` given to hits."""
    texts = load_queries(queries) if queries.exists() else {}
    known = read_judgements(qrels, texts) if qrels.exists() else []
    found = read_marked_hits(hits, texts, {one.doc.video for one in known})
    merged = merge_feedback(known, found.judgements)
    # Queries first: one without judgements harms nothing, a judgement without its query stops every later run.
    if found.new_queries:
        write_text(queries, format_queries({**texts, **found.new_queries}))
    append_judgements(qrels, merged.added)
    click.echo(
        f"{len(merged.added)} judgements added to {qrels}, {len(found.new_queries)} queries to {queries}; "
        f"{merged.num_known} were known, {found.num_unmarked} hits have no mark"
    )


def system_of(
    name: str, queries: dict[str, str], *, target: str, device: str, model: str | None = None
) -> SearchedArchive:
    """What a SYSTEM argument means: a folder, a server or a kept ranking."""
    if Path(name).is_dir():
        return IndexArchive(Path(name), model=model, device=device, target=Target(target))
    if model is not None:
        raise InputError("--model", f"{name} is no index folder, which alone needs a model")
    if not Path(name).exists() and _ADDRESS.fullmatch(name):
        # Loads gRPC, which an index needs not.
        from served_archive import ServedArchive

        return ServedArchive(name, target=Target(target))
    return KeptRanking(Path(name), queries)


def _refuse_idle(systems: Sequence[SearchedArchive], target: str, device: str) -> None:
    """Refuses options of a search where nothing is searched."""
    if target != Target.CLIPS and all(isinstance(system, KeptRanking) for system in systems):
        raise InputError("--target", f"{target}: a kept ranking was made already, nothing is searched")
    if device != DEFAULT_DEVICE and not any(isinstance(system, IndexArchive) for system in systems):
        raise InputError("--device", f"{device}: only an index encodes its texts here")


def scored_result(
    system: SearchedArchive,
    queries: Path,
    qrels: Path,
    rules: ScoreRules,
    *,
    heading: str = TITLE,
    run_path: Path | None = None,
) -> BenchmarkResult:
    """The means over queries, with what fixes them; the ranking goes to `run_path` if one is wanted."""
    own = load_own_archive(queries, qrels)
    usable = usable_judgements(own, [system], is_allowing_missing=rules.is_allowing_missing)
    scored = score_archive(system, own, usable, rules)
    if run_path is not None:
        keep_ranking(run_path, scored.found, system, own.queries, names=own.judged_videos, top_k=rules.top_k)
    return BenchmarkResult(
        title=TITLE,
        heading=heading,
        columns=rules.measures,
        scores=scored.means,
        facts={**scored.facts, **usable.facts},
        published=(),
        illustrated=Illustrated(
            functools.partial(own_details, own, usable, scored, rules),
            system.draw if isinstance(system, IndexArchive) else None,
        ),
    )


def _show(result: BenchmarkResult, json_path: Path | None, report_path: Path | None) -> None:
    show_result(result, json_path)
    if report_path is not None:
        report_run(report_path, result)


def _rules(measures: tuple[str, ...], top_k: int, min_iou: float, is_allowing_missing: bool) -> ScoreRules:
    return ScoreRules(
        measures=measures or default_measures(top_k),
        top_k=top_k,
        min_iou=min_iou,
        is_allowing_missing=is_allowing_missing,
    )


if __name__ == "__main__":
    main()
