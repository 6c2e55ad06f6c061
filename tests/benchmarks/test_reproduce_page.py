"""Every command of benchmarks/reproduce.md parses: options exist and take such values."""

import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from henasy.commands.model import main as model_command

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "benchmarks" / "reproduce.md"


def commands() -> list[str]:
    """The page's commands of this project, one line each."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.split("\n") if line.startswith("    ")]
    return [line for line in lines if line.startswith(("python benchmarks/", "henasy-"))]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield ROOT
    for name in ("source_options", "span_options", "judging"):
        sys.modules.pop(name, None)


def parse(command: click.Command, arguments: list[str]) -> None:
    """Passes if the command line is right, without running it."""
    if isinstance(command, click.Group) and arguments[0] in command.commands:
        parse(command.commands[arguments[0]], arguments[1:])
    else:
        command.make_context("x", arguments).close()


@pytest.mark.parametrize("line", commands())
def test_command_parses(scripts: Path, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "python":
        parse(runpy.run_path(str(scripts / words[1]))["main"], words[2:])
    else:
        assert words[0] == "henasy-model"
        parse(model_command, words[1:])


def test_every_data_set_has_its_commands() -> None:
    scripts = {line.split()[1].removeprefix("benchmarks/") for line in commands() if line.startswith("python")}
    assert scripts >= {
        "ek100_mir.py", "egomcq.py", "ek100_cls.py", "egtea.py", "egohoibench.py", "egonlq.py", "egomq.py",
    }  # fmt: skip


def test_a_wrong_option_would_be_seen(scripts: Path) -> None:
    command = runpy.run_path(str(scripts / "benchmarks" / "egomcq.py"))["main"]
    with pytest.raises(click.UsageError):
        parse(command, ["--annotation-file", "x"])
