"""`henasy-train`: training in this process, or with --workers in many of them on Ray.

henasy-train COMMAND ...                  one process, as henasy.commands.train has it
henasy-train --workers 8 COMMAND ...      eight, on this machine or a cluster
"""

import os
import sys
from collections.abc import Sequence

import click

from henasy.commands.train import main as train
from henasy.errors import ConfigError, HenasyError, TrainingError

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


@click.command(
    "henasy-train",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
)
@click.option("--workers", type=click.IntRange(1), help="Train in so many processes that share each batch, on Ray.")
@click.option("--gpus-per-worker", type=click.IntRange(0, 1), help="GPUs of each.  [default: 1 if Ray sees any]")
@click.option(
    "--cpus-per-worker",
    type=click.IntRange(1),
    help="CPUs of each.  [default: an even share of this machine; 1 in a cluster]",
)
@click.option("--address", help="Join this Ray cluster instead of starting Ray here.")
@click.option(
    "--restarts", type=click.IntRange(0), default=10, show_default=True, help="Deaths of processes to recover from."
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def scaled(
    context: click.Context,
    workers: int | None,
    gpus_per_worker: int | None,
    cpus_per_worker: int | None,
    address: str | None,
    restarts: int,
    command: tuple[str, ...],
) -> int:
    """Runs COMMAND in one process, or in many."""
    if command in ((), ("--help",)):
        code = run_command(command)
        click.echo(_own_options(context), err=not command)
        return code
    if workers is None:
        for name, value in (
            ("gpus-per-worker", gpus_per_worker),
            ("cpus-per-worker", cpus_per_worker),
            ("address", address),
        ):
            if value is not None:
                raise click.UsageError(f"--{name} needs --workers")
        return run_command(command)
    # Ray takes seconds to import, and one process needs none of it.
    from indexer.ray_training import Scale, train_on_ray

    scale = Scale(
        num_workers=workers,
        gpus_per_worker=gpus_per_worker,
        cpus_per_worker=cpus_per_worker,
        address=address,
        max_restarts=restarts,
    )
    if "--help" in command:
        return run_command(command)
    return train_on_ray(run_command, command, scale)


def _own_options(context: click.Context) -> str:
    """Help on what stands before COMMAND, which the commands' own help cannot know."""
    formatter = context.make_formatter()
    with formatter.section("\nBefore COMMAND, to train in many processes"):
        options = [one for one in scaled.params if isinstance(one, click.Option)]
        formatter.write_dl([record for one in options if (record := one.get_help_record(context))])
    return formatter.getvalue().rstrip()


def run_command(arguments: Sequence[str]) -> int:
    """The exit code of a command of `henasy-train` in this process; its errors go to standard error.

    What stops all processes is told by the first alone.
    """
    try:
        code = train.main(list(arguments), prog_name="henasy-train", standalone_mode=False)
    except click.ClickException as error:
        is_told = isinstance(error.__cause__, TrainingError) and os.environ.get("RANK", "0") != "0"
        if not is_told:
            error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("henasy-train: interrupted; the same command goes on from the last checkpoint", err=True)
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0


def main() -> None:
    """Runs the command line and turns deliberate errors into messages."""
    try:
        code = scaled.main(prog_name="henasy-train", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except HenasyError as error:
        click.echo(f"henasy-train: {error}", err=True)
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED)
    except (KeyboardInterrupt, click.Abort):
        click.echo("henasy-train: interrupted; the same command goes on from the last checkpoint", err=True)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(code)


if __name__ == "__main__":
    main()
