"""`henasy-model`: says what a checkpoint is, and makes checkpoint folders."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table

from henasy.checkpoint.description import Description, describe
from henasy.checkpoint.egovlp import import_egovlp
from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.lavila import Imported, import_lavila
from henasy.checkpoint.locate import locate_checkpoint
from henasy.checkpoint.random_weights import KINDS, PRESETS, random_checkpoint
from henasy.errors import HenasyError

P = ParamSpec("P")
R = TypeVar("R")

_VOCABULARY = click.option(
    "--vocab",
    "vocabulary",
    type=click.Path(path_type=Path, dir_okay=False),
    help="bpe_simple_vocab_16e6.txt.gz; found by itself when open_clip is installed.",
)
_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
_VISION_HEADS = click.option(
    "--vision-heads", type=click.IntRange(min=1), help="Attention heads of the video encoder; width / 64."
)
_TEXT_HEADS = click.option(
    "--text-heads", type=click.IntRange(min=1), help="Attention heads of the text tower; width / 64."
)


def _telling_errors(command: Callable[P, R]) -> Callable[P, R]:
    @wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> R:
        try:
            return command(*args, **options)
        except (HenasyError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return run


@click.group()
@click.version_option(package_name="henasy", message="%(version)s")
def main() -> None:
    """Checkpoints: what they are, and where they come from."""


@main.command()
@click.argument("model")
@click.option("--json", "is_json", is_flag=True, help="One JSON object instead of a table.")
@_telling_errors
def info(model: str, is_json: bool) -> None:
    """Says what MODEL is: a checkpoint folder, henasy-tiny, or a hub id owner/name."""
    description = describe(read_checkpoint(locate_checkpoint(model)))
    if is_json:
        click.echo(json.dumps(description.to_dict(), indent=2))
        return
    console = Console()
    console.print(_table(model, description))
    console.print(description.training["summary"], soft_wrap=True)
    if description.warning:
        console.print(f"Note: {description.warning}", soft_wrap=True)


@main.command("import-lavila")
@_FILE
@_FOLDER
@_VISION_HEADS
@_TEXT_HEADS
@_VOCABULARY
@_telling_errors
def import_lavila_command(
    file: Path, folder: Path, vision_heads: int | None, text_heads: int | None, vocabulary: Path | None
) -> None:
    """Turns FILE, a LaViLa dual encoder (.pth), into the checkpoint folder FOLDER."""
    found = import_lavila(file, vision_heads=vision_heads, text_heads=text_heads, vocabulary=vocabulary)
    _save_imported(found, file, folder, "--vocab")


@main.command("import-egovlp")
@_FILE
@_FOLDER
@_VISION_HEADS
@_TEXT_HEADS
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with tokenizer.json or vocab.txt of distilbert-base-uncased.",
)
@_telling_errors
def import_egovlp_command(
    file: Path, folder: Path, vision_heads: int | None, text_heads: int | None, tokenizer: Path | None
) -> None:
    """Turns FILE, an EgoVLP dual encoder (.pth) or LaViLa's conversion of one, into the checkpoint folder FOLDER."""
    found = import_egovlp(file, vision_heads=vision_heads, text_heads=text_heads, tokenizer=tokenizer)
    _save_imported(found, file, folder, "--tokenizer")


def _save_imported(found: Imported, file: Path, folder: Path, vocabulary_option: str) -> None:
    save_checkpoint(folder, found.checkpoint)
    click.echo(f"{folder}: {len(found.checkpoint.model.state_dict())} tensors, all of those in {file}")
    if found.ignored:
        click.echo(f"not needed and left behind: {', '.join(found.ignored)}")
    _tell_of_tokenizer(found.checkpoint, vocabulary_option)


@main.command("random")
@_FOLDER
@click.option("--preset", type=click.Choice(PRESETS), default="tiny", show_default=True)
@click.option("--kind", type=click.Choice(KINDS), default="henasy", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@_VOCABULARY
@_telling_errors
def random_command(folder: Path, preset: str, kind: str, seed: int, vocabulary: Path | None) -> None:
    """Writes a checkpoint with random weights to FOLDER, for tests and for measuring speed."""
    checkpoint = random_checkpoint(preset, kind, seed=seed, vocabulary=vocabulary)
    save_checkpoint(folder, checkpoint)
    click.echo(f"{folder}: {checkpoint.training.summary}")
    _tell_of_tokenizer(checkpoint, "--vocab")


def _tell_of_tokenizer(checkpoint: Checkpoint, option: str) -> None:
    if checkpoint.tokenizer is None:
        click.echo(f"no vocabulary, so it encodes clips but reads no text; {option} gives it one", err=True)


def _table(name: str, found: Description) -> Table:
    table = Table(show_header=False, box=None, title=name, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows, columns = found.grid
    text = f"{found.vocab_size:,} tokens, context {found.context_length}"
    entities = f"{found.num_entities} per clip" if found.num_entities else "none (clips only)"
    for label, value in (
        ("kind", found.kind),
        ("space", found.space_id),
        ("clip", f"{found.num_frames} frames of {found.image_px} px, {rows} x {columns} patches"),
        ("embedding", f"{found.joint_dim} wide"),
        ("entities", entities),
        ("text", text if found.has_tokenizer else f"{text}, but no tokenizer: reads no text"),
        ("parameters", f"{found.num_parameters:,}"),
        *((f"  {part}", f"{count:,}") for part, count in found.parameters.items()),
        ("FLOPs", f"{found.flops_per_clip / 1e9:.2f} G per clip, {found.flops_per_text / 1e9:.3f} G per full text"),
    ):
        table.add_row(label, value)
    return table
