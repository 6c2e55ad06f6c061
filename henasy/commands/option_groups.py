"""Options that several commands have, or that reach a command as one argument."""

import functools
from collections.abc import Callable
from typing import Any

import click

from henasy.errors import HenasyError
from henasy.training.share import Share

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _share(ctx: click.Context, param: click.Parameter, text: str) -> Share:
    number, _, size = text.partition("/")
    if not (number.isdecimal() and size.isdecimal() and 1 <= int(number) <= int(size)):
        raise click.BadParameter(f"{text!r} is no share; allowed: 1/N to N/N, e.g. 1/8", ctx, param)
    return Share(int(number) - 1, int(size))


share_option = click.option(
    "--share",
    metavar="I/N",
    callback=_share,
    default="1/1",
    show_default=True,
    help="Do the I-th of N parts of the work beside other processes with the same OUT; the last one writes it.",
)
parts_of_a_step = (
    click.option(
        "--micro-batches", "num_micro_batches", default=1, show_default=True, help="Parts of a step, to save memory."
    ),
    click.option(
        "--joint-contrast",
        "is_joint_contrast",
        is_flag=True,
        help="Contrast over all parts of a step; each then goes through twice.",
    ),
)


def grouped(name: str, build: Callable[..., Any], *options: Decorator) -> Decorator:
    """Adds options to a click command, which gets `build(**values of the options)` as its argument `name`.

    What `build` refuses with a HenasyError ends the command with its message.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def called(**values: Any) -> Any:
            own = {option: values.pop(option) for option in names}
            try:
                built = build(**own)
            except HenasyError as error:
                raise click.ClickException(str(error)) from error
            return command(**values, **{name: built})

        return _with(options, called)

    names = [parameter.name for parameter in _with(options, _nothing()).__click_params__]  # type: ignore[attr-defined]
    return decorate


def _with(options: tuple[Decorator, ...], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def _nothing() -> Callable[..., Any]:
    def nothing() -> None:
        """Only carries options."""

    return nothing
