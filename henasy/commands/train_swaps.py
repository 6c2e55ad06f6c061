"""`henasy-train swaps`: captions with a swapped word for every clip of EgoClip, kept in a file."""

from pathlib import Path

import click

from henasy.commands.option_groups import share_option
from henasy.errors import HenasyError
from henasy.text.chat_model import ChatModel
from henasy.training.egoclip.annotations import open_clips
from henasy.training.egoclip.taxonomy import check_tags, read_taxonomy
from henasy.training.egoclip_swaps import write_swaps
from henasy.training.share import Share

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.option("--annotations", type=_FILE, required=True, help="egoclip.csv.")
@click.option("--taxonomy", type=_FOLDER, required=True, help="Folder of narration_{noun,verb}_taxonomy.csv.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Parquet file to write.")
@click.option("--model", help="Chat model, folder or hub id; without one, other words of the taxonomy.")
@click.option("--count", default=10, show_default=True, help="Captions with another verb, and with another noun.")
@click.option("--seed", default=0, show_default=True, help="Fixes the taxonomy's swaps.")
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), help="Copy of the columns; OUT.cache.")
@click.option("--device", default="cpu", show_default=True, help="Where the model computes: cpu, cuda, cuda:N.")
@click.option("--batch-size", default=32, show_default=True, help="Narrations that the model answers at a time.")
@click.option("--max-tokens", default=256, show_default=True, help="An answer is cut after so many.")
@share_option
def swaps(
    annotations: Path,
    taxonomy: Path,
    out: Path,
    model: str | None,
    count: int,
    seed: int,
    cache: Path | None,
    device: str,
    batch_size: int,
    max_tokens: int,
    share: Share,
) -> None:
    """Writes captions that a clip must not be called, for `egoncepp --swaps`. Killed, the same command goes on."""
    try:
        table = open_clips(annotations, cache or out.with_name(f"{out.name}.cache"))
        kinds = read_taxonomy(taxonomy)
        check_tags(kinds, table)
        chat = None
        if model is not None:
            chat = ChatModel(model, device=device, batch_size=batch_size, max_new_tokens=max_tokens)
        counts = write_swaps(table, kinds, out, count=count, seed=seed, chat=chat, share=share, report=click.echo)
    except (HenasyError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if counts is None:
        return
    click.echo(f"wrote {out}: {counts.num_rows:,} clips, {counts.num_answered:,} by the model")
    click.echo(
        f"  {counts.num_without:,} clips have no swapped caption: none of their tags' words is in their narration"
    )
