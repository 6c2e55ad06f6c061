"""henasy-serve: answers questions about one index over gRPC until it is told to end."""

import logging
import sys
from pathlib import Path

import click

from henasy.errors import HenasyError
from henasy.index.reader import Index
from service.live import LiveEngine
from service.server import SearchServer, ServerConfig, wait_for_signal

_DEFAULTS = ServerConfig()


@click.command(context_settings={"auto_envvar_prefix": "HENASY", "show_default": True})
@click.option("--index", "index_folder", type=click.Path(path_type=Path), required=True, help="Folder of the index.")
@click.option("--model", help="Checkpoint folder, hub id or name.  [default: the one that the index was built with]")
@click.option("--host", default=_DEFAULTS.host, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--port", default=_DEFAULTS.port, type=click.IntRange(0, 65_535), help="0 takes a free one.")
@click.option("--device", default="cpu", help="Where texts are encoded, as torch names it.")
@click.option("--threads", default=_DEFAULTS.num_threads, type=click.IntRange(1, 1024), help="Calls at a time.")
@click.option("--grace", default=_DEFAULTS.grace_s, type=click.FloatRange(0.1, 3600), help="Seconds to finish calls.")
@click.option("--no-check", is_flag=True, help="Compare sizes only, not the checksums of all files.")
@click.version_option(package_name="henasy", message="%(version)s")
def main(
    index_folder: Path, model: str | None, host: str, port: int, device: str, threads: int, grace: float, no_check: bool
) -> None:
    """Serves an index over gRPC (henasy.v1.HenasySearch). Prints the address once it is ready.

    A newer generation of the index is taken up without a restart. SIGTERM and Ctrl-C finish the calls that have begun.
    """
    _log_to_stderr()
    config = ServerConfig(host=host, port=port, num_threads=threads, grace_s=grace)
    try:
        live = _open(index_folder, model, device, is_checked=not no_check)
        server = SearchServer(live, config)
    except (HenasyError, OSError) as error:
        click.echo(f"henasy-serve: {error}", err=True)
        sys.exit(1)
    with server:
        click.echo(f"henasy-serve: ready at {server.address}")
        sys.stdout.flush()
        name = wait_for_signal()
        click.echo(f"henasy-serve: {name}, finishing the calls that have begun", err=True)


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Of others only warnings: faiss tells of each faster build that it tries and does not find.
    for package in ("henasy", "service"):
        logging.getLogger(package).setLevel(logging.INFO)


def _open(folder: Path, model: str | None, device: str, *, is_checked: bool) -> LiveEngine:
    index = Index.open(folder, is_checked=is_checked)
    # torch takes seconds to import; a wrong --index should say so at once.
    import torch

    from henasy.checkpoint.encoder import load_encoder
    from henasy.heads.moment_ends_file import read_ends_head

    # Calls run side by side, one core each; several cores per short text mostly wait for one another.
    torch.set_num_threads(1)
    settings = index.settings
    name = model or settings.model
    encoder = load_encoder(name, device=device, num_frames=settings.num_frames, micro_batch=1)
    return LiveEngine(index, encoder, is_checked=is_checked, ends=read_ends_head(name, encoder, index.plan))
