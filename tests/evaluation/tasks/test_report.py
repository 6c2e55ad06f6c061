"""The table that a benchmark prints beside the papers' rows."""

import math
import re

from rich.console import Console

from henasy.evaluation.tasks.published import EGOHOI_ROWS, EGOMCQ_ROWS, PublishedRow
from henasy.evaluation.tasks.report import run_percents, score_table


def test_published_digits_are_printed_as_their_source_prints_them() -> None:
    rows = (PublishedRow("one", ("12.95", "23.80")), PublishedRow("two", ("69.05", None)))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(score_table(("a", "b"), (0.5, math.nan), rows))
    found = [re.findall(r"(\d+\.\d+|-)(?= )", line) for line in captured.get().splitlines() if "│" in line]
    assert found == [["12.95", "23.80"], ["69.05", "-"], ["50.00", "-"]]


def test_a_run_has_the_decimals_of_the_papers_beside_it() -> None:
    assert run_percents([0.123456], EGOHOI_ROWS) == ["12.35"]
    assert run_percents([0.123456], EGOMCQ_ROWS) == ["12.3"]
    assert run_percents([0.123456], ()) == ["12.3"]
    assert run_percents([0.5], (PublishedRow("whole", ("38",)),)) == ["50.0"]
