"""`henasy-train merge`: puts saved adapters into the checkpoint that they were trained on."""

from dataclasses import replace
from pathlib import Path

import click

from henasy.checkpoint.adapter_folder import apply_adapters
from henasy.checkpoint.folder import read_checkpoint, save_checkpoint
from henasy.checkpoint.locate import locate_checkpoint
from henasy.errors import HenasyError

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("checkpoint")
@click.argument("adapters", type=_FOLDER)
@click.option("--out", type=_FOLDER, required=True, help="Folder of the merged checkpoint.")
def merge(checkpoint: str, adapters: Path, out: Path) -> None:
    """Merges ADAPTERS (RUN/adapters of egoncepp) into CHECKPOINT; another checkpoint than theirs is refused."""
    try:
        base = read_checkpoint(locate_checkpoint(checkpoint))
        merged = apply_adapters(adapters, base).merge()
        note = replace(base.training, summary=f"{base.training.summary.rstrip('.')}. Adapters of {adapters} merged.")
        save_checkpoint(out, replace(base, model=merged, training=note))
    except (HenasyError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {out}")
