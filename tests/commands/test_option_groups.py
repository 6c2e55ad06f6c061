"""Options that reach a command as one value."""

from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

from henasy.commands.option_groups import grouped
from henasy.errors import ConfigError


class Size(NamedTuple):
    width: int
    height: int | None


def positive(*, steps: int) -> int:
    if steps < 1:
        raise ConfigError(f"steps is {steps}; it must be at least 1")
    return steps


@click.command()
@click.option("--before", default="b")
@grouped("size", Size, click.option("--width", default=3), click.option("--tall", "height", type=int))
@grouped("count", positive, click.option("--steps", default=2))
@click.option("--after", default="a")
def command(before: str, size: Size, count: int, after: str) -> None:
    """Says what it was given."""
    click.echo(f"{before} {size} {count} {after}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "b Size(width=3, height=None) 2 a"),
        (["--tall", "7", "--steps", "5", "--after", "z"], "b Size(width=3, height=7) 5 z"),
    ],
)
def test_groups_reach_the_command_built(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(command, arguments)
    assert (done.exit_code, done.output.strip()) == (0, said)


def test_what_a_group_refuses_is_the_commands_error() -> None:
    done = CliRunner().invoke(command, ["--steps", "0"])
    assert done.exit_code == 1
    assert done.output == "Error: steps is 0; it must be at least 1\n"


def test_help_lists_options_in_the_order_they_are_written() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    places = [text.index(option) for option in ("--before", "--width", "--tall", "--steps", "--after", "--help")]
    assert places == sorted(places)
    assert "Says what it was given." in text
