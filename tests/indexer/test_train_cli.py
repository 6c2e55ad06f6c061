"""What `henasy-train` says of itself."""

from click.testing import CliRunner

from indexer.train_cli import scaled


def test_help_names_the_commands_and_what_stands_before_them() -> None:
    shown = CliRunner().invoke(scaled, ["--help"]).output

    assert "egoclip" in shown
    for option in ("--workers", "--gpus-per-worker", "--cpus-per-worker", "--address", "--restarts"):
        assert option in shown


def test_help_of_a_command_is_its_own() -> None:
    shown = CliRunner().invoke(scaled, ["--workers", "2", "plot", "--help"]).output

    assert "RUN PICTURE" in shown
    assert "--address" not in shown
