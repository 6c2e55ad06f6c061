"""The report of an ablation as a page of tables."""

from collections.abc import Sequence
from typing import NamedTuple

from henasy.evaluation.ablation.plan import ENTRY_OF, MEASURES, PAPER_MEASURES, ROW_OF
from henasy.evaluation.ablation.report import HOLDS, OPPOSITE, UNDECIDED, AblationReport, Contrast
from henasy.evaluation.ablation.results import FinishedRun
from henasy.evaluation.tasks.report import RENDERED_HEADING

RULES = (
    "Differences are in points, with 95 % intervals: test videos and seeds drawn anew, paired, 10,000 resamples, seed "
    "0; the spread of S seeds is widened by sqrt(S / (S - 1)) and by Student's quantile over the normal one (3 seeds: "
    "2.7 times in all; 2 seeds: 9.2 times). All stands on one first stage and one training archive.",
    "A claim holds if the interval of the mean over its measures lies above zero and every seed says so; opposite, if "
    "both say the reverse; otherwise, and from one seed, it cannot be told here. No correction for many claims. "
    '"Measures" counts those of the claim that hold, are opposite, cannot be told; by themselves these only describe.',
    "The first stage is one model: that it stands there once a seed shows no spread. The paper's row of it has 16 "
    "frames. Where no loss has words the map of entities into the joint space is never trained, and no text can choose "
    "an entity.",
    "With L_proj is with all that boxes tell: their places, what they are called, and the matching that they guide. "
    "Without it a clip has the nouns of its narration, by training rules 1 only that of what is handled.",
)

_NONE = "–"


class _Table(NamedTuple):
    """A table whose cells are text."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def facts(runs: Sequence[FinishedRun]) -> dict[str, object]:
    """What fixes the numbers."""
    num_trained = sum(run.row in ROW_OF for run in runs)
    return {"experiment": runs[0].experiment, "runs": num_trained, "steps": runs[0].steps, **runs[0].shared}


def markdown(report: AblationReport, runs: Sequence[FinishedRun]) -> str:
    """The report as a page."""
    parts = ["# Ablations", "", f"**{RENDERED_HEADING}**", ""]
    for table in (_row_table(report), _paper_table(), _claim_table(report), _measure_table(report)):
        parts += [f"## {table.title}", "", _line(table.heads), _line(["---"] * len(table.heads))]
        parts += [*(_line(row) for row in table.rows), ""]
    parts += [*RULES, "", *(f"- {name}: {value}" for name, value in facts(runs).items()), ""]
    return "\n".join(parts)


def _points(contrast: Contrast) -> str:
    return f"{100 * contrast.mean:+.1f} [{100 * contrast.low:+.1f}, {100 * contrast.high:+.1f}]"


def _row_table(report: AblationReport) -> _Table:
    rows = []
    for row in report.rows:
        cells = [_with_spread(row.mean[name], row.spread[name]) if name in row.mean else _NONE for name in MEASURES]
        rows.append((row.label, str(row.num_seeds), *cells))
    return _Table("Rows, percent: mean and standard deviation over seeds", ("row", "seeds", *MEASURES), rows)


def _with_spread(mean: float, spread: float) -> str:
    return f"{100 * mean:.1f}" if spread != spread else f"{100 * mean:.1f} ± {100 * spread:.1f}"


def _paper_table() -> _Table:
    rows = [
        (entry.label, *(f"{entry.paper[measure]:.1f}" for measure in PAPER_MEASURES))
        for entry in ENTRY_OF.values()
        if entry.paper
    ]
    return _Table("The paper's rows, on its own data", ("row", *PAPER_MEASURES), rows)


def _claim_table(report: AblationReport) -> _Table:
    rows: list[tuple[str, ...]] = []
    for one in report.judged:
        paper = "" if one.overall.paper is None else f"{100 * one.overall.paper:+.1f}"
        seeds = ", ".join(f"{100 * gain:+.1f}" for gain in one.overall.by_seed)
        found = [one.by_measure[name].verdict for name in one.claim.measures]
        counts = "/".join(str(found.count(verdict)) for verdict in (HOLDS, OPPOSITE, UNDECIDED))
        rows.append((one.claim.text, paper, _points(one.overall), seeds, counts, one.overall.verdict))
    rows += [(claim.text, "", "", missing, "", "not run") for claim, missing in report.unjudged]
    return _Table("Claims", ("the paper says", "paper", "here", "by seed", "measures", "verdict"), rows)


def _measure_table(report: AblationReport) -> _Table:
    rows = []
    for one in report.judged:
        found = [one.by_measure.get(name) for name in MEASURES]
        cells = [_NONE if gain is None else f"{_points(gain)} {gain.verdict}" for gain in found]
        rows.append((one.claim.key, *cells))
    return _Table("Claims by measure", ("claim", *MEASURES), rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
