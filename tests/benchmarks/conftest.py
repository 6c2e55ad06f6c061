"""Runs a benchmark script the way a user does, in this process."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"
RunScript = Callable[..., Result]


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> RunScript:
    """`run_script("egomcq.py", "--json", path)` and what it printed and how it ended."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("COLUMNS", "160")

    def run(name: str, *arguments: object) -> Result:
        command = runpy.run_path(str(SCRIPTS / name))["main"]
        assert isinstance(command, click.Command)
        return CliRunner().invoke(command, [str(argument) for argument in arguments])

    yield run
    sys.modules.pop("source_options", None)
