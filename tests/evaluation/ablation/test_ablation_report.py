"""Rows and claims against the paper's text; verdicts and intervals against hand-worked tables and naive draws."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import AnnotationError
from henasy.evaluation.ablation.plan import (
    CLAIMS,
    COMPLETE_IN_TABLE_4,
    COMPONENTS,
    ENTRY_OF,
    HAND_ORACLE,
    INTER,
    MEASURES,
    NOUN_ORACLE,
    PAPER_MEASURES,
    READINGS,
    ROW_OF,
    ROWS,
)
from henasy.evaluation.ablation.report import HOLDS, OPPOSITE, UNDECIDED, ablation_report
from henasy.evaluation.ablation.results import FinishedRun, add_results, packed, read_results, unpacked
from henasy.evaluation.ablation.tables import markdown
from henasy.model.assemblies import table_4
from henasy.model.config import tiny

NAMES = sorted({name for parts in COMPONENTS.values() for name in parts})
NUM_VIDEOS = 12


def _run(row: str, seed: int, by_video: np.ndarray) -> FinishedRun:
    """A run whose every component has the same values: (V, 2) sums and counts."""
    mean = float(by_video[:, 0].sum() / by_video[:, 1].sum())
    return FinishedRun(
        row=row,
        seed=seed,
        settings=f"{row}-{seed}",
        experiment="e",
        shared={"questions": 4},
        steps=600,
        finished="2026-01-01T00:00:00+00:00",
        step_s=1.0,
        space_id="s",
        scores=dict.fromkeys(MEASURES, mean),
        videos="v",
        by_video={name: by_video.tolist() for name in NAMES},
        right=packed(np.array([True, False, True])),
    )


def _pair(gains: list[float], spread: float = 0.0) -> list[FinishedRun]:
    """Complete settings better than L_ego by `gains` in the seeds 1, 2, ..., a little more or less in single videos."""
    counts = np.arange(5, 5 + NUM_VIDEOS)
    wobble = spread * np.resize([1.0, -1.0], NUM_VIDEOS)
    runs = []
    for seed, gain in enumerate(gains, start=1):
        runs.append(_run("ego", seed, np.stack([0.4 * counts, counts], axis=1)))
        runs.append(_run("complete", seed, np.stack([(0.4 + gain + wobble) * counts, counts], axis=1)))
    return runs


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([0.05, 0.06, 0.04], HOLDS),
        ([-0.05, -0.06, -0.04], OPPOSITE),
        ([0.05, -0.06, 0.04], UNDECIDED),
        ([0.05, 0.002, 0.0], UNDECIDED),
        ([0.02, 0.03], UNDECIDED),
        ([0.025, 0.026], HOLDS),
        ([0.02], UNDECIDED),
    ],
)
def test_verdicts(gains: list[float], verdict: str) -> None:
    report = ablation_report(_pair(gains, spread=0.01), num_resamples=2_000)
    judged = {one.claim.key: one for one in report.judged}
    assert set(judged) == {"losses"}
    overall = judged["losses"].overall
    assert overall.verdict == verdict
    assert len(overall.by_seed) == len(gains)
    assert overall.mean == pytest.approx(np.mean(overall.by_seed))
    assert overall.low <= overall.mean <= overall.high
    assert {claim.key for claim, _ in report.unjudged} == {claim.key for claim in CLAIMS} - {"losses"}


def test_interval_against_draws_one_by_one() -> None:
    runs = _pair([0.05, 0.02, 0.08], spread=0.1)
    found = ablation_report(runs, num_resamples=10_000).judged[0].by_measure[INTER]
    rng, values = np.random.default_rng(1), []
    gain = np.stack([runs[at + 1].sums(INTER)[:, 0] - runs[at].sums(INTER)[:, 0] for at in (0, 2, 4)])
    counts = runs[0].sums(INTER)[:, 1]
    for _ in range(10_000):
        videos = rng.integers(NUM_VIDEOS, size=NUM_VIDEOS)
        of_seed = gain[:, videos].sum(axis=1) / counts[videos].sum()
        drawn = of_seed[rng.integers(3, size=3)]
        values.append(of_seed.mean() + 1.5**0.5 * 4.302653 / 1.959964 * (drawn - of_seed.mean()).mean())
    assert [found.low, found.high] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=5e-3)


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_intervals_of_few_seeds_hold_the_truth(num_seeds: int) -> None:
    """Seeds that differ by chance alone, very often: about 95 % of the intervals hold it, which is none."""
    rng, misses, num_trials = np.random.default_rng(0), 0, 600
    for _ in range(num_trials):
        gains = rng.normal(scale=0.02, size=num_seeds)
        overall = ablation_report(_pair(gains.tolist()), num_resamples=400, seed=int(rng.integers(1 << 30))).judged[0]
        found = overall.by_measure[INTER]
        misses += not found.low <= 0 <= found.high
    assert 0.02 < misses / num_trials < 0.09


def test_a_single_seed_leaves_the_videos_alone_to_chance() -> None:
    overall = ablation_report(_pair([0.05])).judged[0].overall
    assert [overall.mean, overall.low, overall.high] == pytest.approx([0.05] * 3)


def test_what_cannot_be_compared() -> None:
    runs = _pair([0.1])
    with pytest.raises(AnnotationError, match=r"runs of several experiment cannot be compared: \['e', 'f'\]"):
        ablation_report([runs[0], replace(runs[1], experiment="f")])
    more = np.stack([np.ones(NUM_VIDEOS), np.full(NUM_VIDEOS, 99.0)], axis=1)
    with pytest.raises(AnnotationError, match="asked about different numbers of things"):
        ablation_report([runs[0], _run("complete", 1, more)])


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    path, runs = tmp_path / "results.jsonl", _pair([0.1])
    assert read_results(path) == []
    for run in runs:
        add_results(path, [run])
    assert read_results(path) == runs
    assert unpacked(runs[0].right, 3).tolist() == [True, False, True]
    add_results(path, [runs[0]])
    with pytest.raises(AnnotationError, match=r"the settings \['ego-1'\] stand there more than once"):
        read_results(path)
    path.write_text('{"row": "ego"}\n')
    with pytest.raises(AnnotationError, match=r"line 1: has \['row'\]; a finished run has \['by_video', "):
        read_results(path)


def test_the_page_names_every_claim(tmp_path: Path) -> None:
    runs = _pair([0.05, 0.06], spread=0.01)
    page = markdown(ablation_report(runs, num_resamples=100), runs)
    assert "rendered scenes, not comparable with the papers" in page
    assert all(claim.text in page for claim in CLAIMS)
    assert "| L_ego | 2 | 40.0 ± 0.0 |" in page
    assert "+5.5 [" in page


def test_a_row_without_masks_is_judged_by_what_it_has() -> None:
    runs = _pair([0.05, 0.06])
    scores = dict.fromkeys(PAPER_MEASURES, 0.4)
    runs += [
        replace(run, row="first-stage", settings=f"f{run.seed}", scores=scores) for run in runs if run.row == "ego"
    ]
    report = ablation_report(runs, num_resamples=100)
    judged = {one.claim.key: one for one in report.judged}
    assert set(judged) == {"losses", "first-stage"}
    assert set(judged["first-stage"].by_measure) == set(PAPER_MEASURES)
    assert judged["first-stage"].overall.mean == pytest.approx(0.055)
    assert judged["first-stage"].overall.paper == pytest.approx((0.3 + 1.4 + 0.4 + 1.2 + 3.1 + 3.8) / 600)
    row = next(line for line in markdown(report, runs).splitlines() if line.startswith("| the first stage alone | 2"))
    assert row.endswith("| – | – | – | – |")
    # L_ego alone never trains what text would choose entities by: nothing of that is shown or compared
    assert set(judged["losses"].by_measure) == {*PAPER_MEASURES, NOUN_ORACLE, HAND_ORACLE}
    (plain,) = [line for line in markdown(report, runs).splitlines() if line.startswith("| L_ego | 2")]
    assert [cell.strip() == "–" for cell in plain.split("|")[-5:-1]] == [True, False, True, False]


def test_nine_rows_differ_from_the_complete_one_in_one_thing() -> None:
    assert len(ROWS) == len(ROW_OF) == 9
    assert len({(row.design, row.weights) for row in ROWS}) == 9
    complete = ROW_OF["complete"]
    for row in ROWS:
        assert (row.design == complete.design) != (row.weights == complete.weights) or row is complete
        assert row.config(tiny()) in table_4(tiny()).values()
        assert row.weights.entity_choice == 0.0
        assert (row.box_weight == 0.0) == (row.weights.projection == 0.0)
    for claim in CLAIMS:
        assert {claim.better, claim.worse} <= set(ENTRY_OF)
        assert (claim.paper_gain(claim.measures) is None) == claim.text.startswith("(not in the paper")


def test_rows_are_those_of_the_papers_tables(shared_dir: Path) -> None:
    lines = (shared_dir / "paper" / "henasy-neurips2024.md").read_text().splitlines()
    numbers = [
        [float(one) for one in re.findall(r"\d+\.\d", line)] for line in lines if re.search(r"\d\t|[✓✗]\t", line)
    ]
    printed = [tuple(found) for found in numbers if len(found) == len(PAPER_MEASURES)]
    # V-T and T-V stand beside the means of mAP and nDCG there, EGTEA behind
    table_1 = [(*found[:2], found[4], found[7], *found[8:10]) for found in numbers if len(found) == 12]
    for row in ROWS:
        assert tuple(row.paper.values()) in printed, row.label
    assert tuple(READINGS[0].paper.values()) in table_1
    assert READINGS[1].paper == {}
    designs = [line for line in lines if "complete settings" in line and "31.3" in line]
    assert [float(one) for one in re.findall(r"\d+\.\d", designs[0])] == list(COMPLETE_IN_TABLE_4.values())
