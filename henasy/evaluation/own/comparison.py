"""Two systems beside each other on own queries, as a table and as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from henasy.evaluation.metrics.paired_test import ALPHA, PairedTest


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A candidate held against a baseline."""

    tests: Mapping[str, PairedTest]
    """By measure."""
    baseline: Mapping[str, float]
    """Mean of each measure."""
    candidate: Mapping[str, float]
    by: str
    """The measure that decides."""
    tolerance: float | None
    """How far its mean may fall; None leaves it to significance alone."""
    facts: Mapping[str, object]

    @property
    def has_fallen(self) -> bool:
        """Whether the candidate is worse."""
        return self.tests[self.by].has_fallen(self.tolerance)

    @property
    def verdict(self) -> str:
        """What is decided, and by which rule."""
        test = self.tests[self.by]
        if test.is_significantly_worse:
            return f"{self.by} fell: its interval is below 0 and p is below {ALPHA:g}"
        if self.has_fallen:
            return f"{self.by} fell by more than {self.tolerance:g}, which may be chance"
        rule = "" if self.tolerance is None else f", nor lower by more than {self.tolerance:g}"
        return f"{self.by} is not significantly lower{rule}"


def show_comparison(comparison: Comparison) -> None:
    """Prints the table in percent, the facts and the verdict."""
    table = Table()
    for head in ("measure", "base", "new", "change", "95 % interval", "p", "better", "worse"):
        table.add_column(head, justify="left" if head == "measure" else "right", no_wrap=True)
    for name, test in comparison.tests.items():
        difference = test.difference
        table.add_row(
            name,
            f"{100 * comparison.baseline[name]:.1f}",
            f"{100 * comparison.candidate[name]:.1f}",
            f"{100 * difference.mean:+.1f}",
            f"{100 * difference.low:+.1f} .. {100 * difference.high:+.1f}",
            "<0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}",
            str(test.num_better),
            str(test.num_worse),
            style="bold" if name == comparison.by else None,
        )
    console = Console()
    console.print(table)
    for name, value in comparison.facts.items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, text in parts:
            console.print(
                f"{name} {part}".strip() + f": {text}", style="dim", highlight=False, markup=False, soft_wrap=True
            )
    console.print(comparison.verdict, style="bold", highlight=False, soft_wrap=True)


def comparison_json(comparison: Comparison) -> str:
    """The same with fractions, as a JSON object."""
    measures = {
        name: {
            "baseline": comparison.baseline[name],
            "candidate": comparison.candidate[name],
            "difference": test.difference.mean,
            "low": test.difference.low,
            "high": test.difference.high,
            "p": test.p_value,
            "better": test.num_better,
            "worse": test.num_worse,
        }
        for name, test in comparison.tests.items()
    }
    content = {
        "measures": measures,
        "by": comparison.by,
        "tolerance": comparison.tolerance,
        "has_fallen": comparison.has_fallen,
        "verdict": comparison.verdict,
        "facts": dict(comparison.facts),
    }
    return json.dumps(content, indent=2, default=str) + "\n"
