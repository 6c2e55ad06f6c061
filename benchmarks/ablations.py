"""The paper's Tables 3 and 4 on rendered scenes: nine ways to train the second stage, three seeds, and what of the
paper's claims holds.

    python benchmarks/ablations.py --first-stage RUN/checkpoint-plain --train-archive DIR --test-archive DIR --run RUN2
    python benchmarks/ablations.py ... --list       # what is done, what is missing, how long it will take
    python benchmarks/ablations.py --report         # tables and verdicts of the newest experiment in the results file

All rows stand on one first stage (RUN/checkpoint-plain of `henasy-train tiny RUN --plain-clips`) and get the same
steps, batches and questions. The first stage by itself, and its mean with the complete row, stand beside the nine in
the table. The same command goes on where it was stopped, within a run too; a run whose result stands in the file is
never repeated. Several processes or machines share the work by `--seed K`, each with a `--run` and a folder of
`--results` of its own; their results files joined, line after line, are one.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from henasy.errors import InputError
from henasy.evaluation.ablation.plan import ROW_OF
from henasy.evaluation.ablation.report import AblationReport, Contrast, ablation_report
from henasy.evaluation.ablation.results import FinishedRun, read_results
from henasy.evaluation.ablation.runs import (
    NUM_QUESTIONS,
    NUM_STEPS,
    SEEDS,
    Experiment,
    Progress,
    Runner,
    default_training,
    open_stage,
    progress_of,
    seconds_left,
)
from henasy.evaluation.ablation.tables import facts, markdown
from henasy.evaluation.tasks.report import reported_errors, write_json, write_text

RESULTS = Path(__file__).resolve().parent / "results" / "ablations.jsonl"
_ALL_SEEDS = ", ".join(map(str, SEEDS))
_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--first-stage", type=_FOLDER, help="Checkpoint of kind dual that all rows stand on.")
@click.option("--train-archive", type=_FOLDER, help="Rendered archive to train on.")
@click.option("--test-archive", type=_FOLDER, help="Rendered archive to ask about.")
@click.option("--run", "folder", type=_FOLDER, help="Where runs are kept while they last, and their checkpoints.")
@click.option("--clips", type=_FOLDER, help="Clip cache of the training archive; RUN/cache-train.")
@click.option("--results", type=_FILE, default=RESULTS, help="The file of finished runs.")
@click.option("--rows", multiple=True, type=click.Choice(list(ROW_OF)), help="Only these; may be given often.")
@click.option("--seed", "seeds", multiple=True, type=int, help=f"Only these; {_ALL_SEEDS} by default.")
@click.option("--steps", type=click.IntRange(min=1), default=NUM_STEPS, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), help="Anchors per step; the recipe's by default.")
@click.option("--questions", type=click.IntRange(min=2), default=NUM_QUESTIONS, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default=0, show_default=True, help="CPU threads; 0 takes all.")
@click.option("--list", "is_listing", is_flag=True, help="Say what is done and missing; train nothing.")
@click.option("--report", "is_reporting", is_flag=True, help="Tables and verdicts of the results file; train nothing.")
@click.option("--experiment", help="Which experiment of the results file to report; the newest by default.")
@click.option("--json", "json_path", type=_FILE, help="Write the report here, as fractions.")
@click.option("--markdown", "markdown_path", type=_FILE, help="Write the report here as a page.")
def main(
    first_stage: Path | None,
    train_archive: Path | None,
    test_archive: Path | None,
    folder: Path | None,
    clips: Path | None,
    results: Path,
    rows: tuple[str, ...],
    seeds: tuple[int, ...],
    steps: int,
    batch: int | None,
    questions: int,
    device: str,
    threads: int,
    is_listing: bool,
    is_reporting: bool,
    experiment: str | None,
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Train and ask what is missing of the paper's ablations, then report."""
    console = Console()
    if threads:
        torch.set_num_threads(threads)
    with reported_errors():
        if not is_reporting:
            wanted = Experiment(
                first_stage=_given("--first-stage", first_stage),
                train_archive=_given("--train-archive", train_archive),
                test_archive=_given("--test-archive", test_archive),
                folder=_given("--run", folder),
                clips=_given("--run", folder) / "cache-train" if clips is None else clips,
                results=results,
                rows=rows or tuple(ROW_OF),
                seeds=tuple(dict.fromkeys(seeds)) or SEEDS,
                num_questions=questions,
                training=default_training(steps, batch),
            )
            stage = open_stage(wanted)
            experiment = stage.experiment
            if not is_listing:
                runner = Runner(wanted, stage, device=torch.device(device), report=lambda line: click.echo(line))
                runner.run_missing()
            _show_progress(console, experiment, progress_of(wanted, stage))
            if is_listing:
                return
        runs = _runs(results, experiment)
        report = ablation_report(runs)
        page = markdown(report, runs)
        click.echo(page)
        if json_path is not None:
            write_json(json_path, _numbers(report), facts(runs) | {"verdicts": _verdicts(report)})
        if markdown_path is not None:
            write_text(markdown_path, page)


def _given(option: str, path: Path | None) -> Path:
    if path is None:
        raise InputError(option, "is missing; see --help")
    return path


def _runs(results: Path, experiment: str | None) -> list[FinishedRun]:
    """The runs of an experiment, the newest line's by default."""
    runs = read_results(results)
    known = list(dict.fromkeys(run.experiment for run in runs))
    if not runs or experiment not in (None, *known):
        asked = "" if experiment is None else f" of the experiment {experiment}"
        raise InputError("--results", f"{results} has no finished run{asked}; there are the experiments {known}")
    return [run for run in runs if run.experiment == (experiment or runs[-1].experiment)]


def _show_progress(console: Console, experiment: str, progress: Sequence[Progress]) -> None:
    table = Table("run", "seed", "steps", "s per step", "state", title=f"experiment {experiment}")
    for one in progress:
        state = "done" if one.is_finished else "under way" if one.steps else "missing"
        pace = "" if one.step_s is None else f"{one.step_s:.2f}"
        table.add_row(one.row.label, str(one.seed), f"{one.steps}/{one.num_steps}", pace, state)
    console.print(table)
    num_left = sum(not one.is_finished for one in progress)
    left_s = seconds_left(progress)
    time = "unknown before the first steps" if left_s is None else f"about {left_s / 3600:.1f} h at the pace so far"
    console.print(f"{len(progress) - num_left} of {len(progress)} runs done; time left: {time if num_left else 'none'}")


def _numbers(report: AblationReport) -> dict[str, float]:
    numbers = {f"{row.label}/{measure}": value for row in report.rows for measure, value in row.mean.items()}
    for one in report.judged:
        for name, gain in {"overall": one.overall, **one.by_measure}.items():
            numbers |= {f"{one.claim.key}/{name} {key}": value for key, value in _interval(gain).items()}
    return numbers


def _interval(gain: Contrast) -> dict[str, float]:
    return {"gain": gain.mean, "low": gain.low, "high": gain.high}


def _verdicts(report: AblationReport) -> dict[str, str]:
    return {one.claim.key: one.overall.verdict for one in report.judged} | {
        claim.key: f"not run: {missing}" for claim, missing in report.unjudged
    }


if __name__ == "__main__":
    main()
