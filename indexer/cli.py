"""`henasy-index`: build an index of folders of video, and look after it.

Exit codes: 0 all done; 2 wrong usage or no video; 3 done, but something was refused; 130 interrupted; 1 any other
failure.
"""

import contextlib
import errno
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from henasy.checkpoint.shipped import SHIPPED
from henasy.errors import ConfigError, HenasyError, InputError
from indexer.build import BuildOutcome, BuildRequest, build
from indexer.maintain import prune_videos, remove_videos
from indexer.metadata import read_metadata
from indexer.progress import JsonProgress, Progress, Silent, TerminalProgress
from indexer.status import lines_of, read_status, refused_lines, summary_of

DEFAULT_FOLDER = ".henasy-index"
"""Name of the index inside the first folder of videos, when --index does not say."""
EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 3, 130

_EXPECTED = (HenasyError, OSError, KeyboardInterrupt, click.Abort)
"""Errors that get a message instead of a traceback."""

_VIDEOS = click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
_INDEX = click.option("--index", type=click.Path(path_type=Path), required=True, help="Folder of the index.")
_JSON = click.option("--json", "is_json", is_flag=True, help="Write JSON instead of text.")


@click.group()
@click.version_option(package_name="henasy", message="%(version)s")
def cli() -> None:
    """Index folders of first-person video for search."""


@cli.command("build")
@_VIDEOS
@click.option(
    "--index", type=click.Path(path_type=Path), help=f"Folder of the index [first of VIDEOS/{DEFAULT_FOLDER}]."
)
@click.option("--model", default=SHIPPED, show_default=True, help="Checkpoint folder, hub id or shipped name.")
@click.option("--clip-s", default=2.0, show_default=True, help="Length of a clip in seconds.")
@click.option("--stride-s", default=1.0, show_default=True, help="From one clip's start to the next one's.")
@click.option("--frames", type=int, help="Frames per clip [the checkpoint's own number].")
@click.option("--metadata", type=click.Path(path_type=Path), help="CSV, TSV or Parquet with columns for videos.")
@click.option("--address", help="Join this Ray cluster instead of starting Ray here.")
@click.option("--workers", type=click.IntRange(1), help="Decoding processes at a time [one per core].")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Where to encode [GPUs if Ray sees any].")
@click.option(
    "--decoder",
    type=click.Choice(["pyav", "decord"]),
    default="pyav",
    show_default=True,
    help="What decodes the videos; one for the whole index.",
)
@click.option(
    "--stall-s",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Kill a decoder that stands still for so long.",
)
@click.option(
    "--full-hash", "is_full_hash", is_flag=True, help="Know videos by all their bytes, not by size and sampled blocks."
)
@click.option("--retry", "is_retrying", is_flag=True, help="Try again what was refused before.")
@_JSON
def build_command(
    videos: tuple[Path, ...],
    index: Path | None,
    model: str,
    clip_s: float,
    stride_s: float,
    frames: int | None,
    metadata: Path | None,
    address: str | None,
    workers: int | None,
    device: str | None,
    decoder: str,
    stall_s: float,
    is_full_hash: bool,
    is_retrying: bool,
    is_json: bool,
) -> None:
    """Make the index hold what VIDEOS hold: folders, list files or videos. Run it again to resume or to update."""
    # Importing torch and Ray takes seconds that `status` and `--help` need not wait for.
    from indexer.model import describe_model
    from indexer.ray_workers import RayConfig, RayWorkers

    with _last_event(is_json=is_json):
        target = index or default_index(videos)
        rows = None if metadata is None else read_metadata(metadata)
        if Path(model).is_dir():
            # Later commands find the checkpoint wherever they are called from.
            model = str(Path(model).resolve())
        described = describe_model(
            model, clip_s=clip_s, stride_s=stride_s, num_frames=frames, decoder=decoder, is_full_hash=is_full_hash
        )
        request = BuildRequest(
            videos=videos,
            index=target,
            settings=described.settings,
            metadata=rows,
            is_retrying=is_retrying,
        )
        if described.training.is_random or (described.training.is_rendered_only and not are_rendered(videos)):
            _warn(f"{model}: {described.training.warning()}", is_json=is_json)
        config = RayConfig(address, workers, device, stall_s)
        with _progress(is_json) as progress, RayWorkers(config, described.settings, described.load) as pool:
            outcome = build(request, pool, progress)
        _tell(request, outcome, is_json=is_json)
    sys.exit(EXIT_REFUSED if outcome.refused else 0)


@cli.command()
@_INDEX
@_JSON
def status(index: Path, is_json: bool) -> None:
    """Say what an index holds, and what could not be read."""
    found = read_status(index)
    click.echo(json.dumps(found.to_json(), ensure_ascii=False) if is_json else "\n".join(lines_of(found)))


@cli.command()
@_INDEX
@_JSON
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=64,
    show_default=True,
    help="Clips to encode again and compare; 0 for none.",
)
@click.option("--model", help="Checkpoint [the one that the index names].")
def verify(index: Path, is_json: bool, sample: int, model: str | None) -> None:
    """Check every file of an index, then encode a sample of its clips again and compare."""
    from indexer.verify import verify_index

    report = verify_index(index, sample=sample, model=model)
    values = report._asdict()
    click.echo(json.dumps(values) if is_json else "\n".join(f"{name:18} {value}" for name, value in values.items()))
    sys.exit(0 if report.num_different == 0 else EXIT_FAILED)


@cli.command()
@_INDEX
@click.argument("videos", nargs=-1, required=True)
def remove(index: Path, videos: tuple[str, ...]) -> None:
    """Drop VIDEOS, given by id or path, from an index. The files are not touched."""
    removed = remove_videos(index, videos)
    click.echo(f"removed {len(removed)} videos")


@cli.command()
@_INDEX
def prune(index: Path) -> None:
    """Drop the videos whose files are gone. Without this they stay searchable."""
    removed = prune_videos(index)
    click.echo(f"dropped {len(removed)} videos")


def default_index(videos: tuple[Path, ...]) -> Path:
    """Where the index lies when the user does not say: inside the first folder of videos.

    Raises:
        ConfigError: that folder is read-only.
    """
    first = videos[0]
    folder = first if first.is_dir() else first.parent
    index = folder / DEFAULT_FOLDER
    # Root may write where nobody is meant to, so the mode counts and not what the system would let pass.
    if folder.is_dir() and not index.exists() and not folder.stat().st_mode & 0o222:
        raise ConfigError(f"{folder} is read-only, so the index cannot lie in it; choose a folder with --index DIR")
    return index


def are_rendered(videos: tuple[Path, ...]) -> bool:
    """Whether all paths lie in rendered archives, which say so in archive.json."""
    return all(
        any((folder / "archive.json").is_file() for folder in (path, path.parent, path.parent.parent))
        for path in (video.absolute() for video in videos)
    )


def main() -> None:
    """Runs the command line and turns deliberate errors into messages."""
    sys.exit(run(lambda: cli.main(standalone_mode=False)))


def run(command: Callable[[], Any]) -> int:
    """The exit code of a command; its errors go to standard error without a traceback."""
    try:
        command()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except _EXPECTED as error:
        failure = _failure(error)
        click.echo(f"henasy-index: {failure.message}", err=True)
        return failure.code
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_FAILED
    return 0


class _Failure(NamedTuple):
    """What is said of an error, and the exit code."""

    message: str
    code: int


def _failure(error: BaseException) -> _Failure:
    if isinstance(error, InputError | ConfigError):
        return _Failure(str(error), EXIT_USAGE)
    if isinstance(error, OSError):
        return _Failure(_explain(error), EXIT_FAILED)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _Failure("interrupted; the same command goes on from here", EXIT_INTERRUPTED)
    return _Failure(str(error), EXIT_FAILED)


@contextlib.contextmanager
def _last_event(*, is_json: bool) -> Iterator[None]:
    """Ends the events of a failing command with what went wrong; the error goes on."""
    try:
        yield
    except _EXPECTED as error:
        if is_json:
            JsonProgress().write("error", message=_failure(error).message)
        raise


def _explain(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    message = f"{place}{error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{message}; the index is as it was. Make room and run the same command: finished work is kept"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{message}; cannot write there, choose another folder with --index DIR"
    return message


def _warn(message: str, *, is_json: bool) -> None:
    if is_json:
        JsonProgress().write("warning", message=message)
    else:
        click.echo(f"warning: {message}", err=True)


@contextlib.contextmanager
def _progress(is_json: bool) -> Iterator[Progress]:
    if is_json:
        yield JsonProgress()
    elif sys.stderr.isatty():
        with TerminalProgress() as bar:
            yield bar
    else:
        yield Silent()


def _tell(request: BuildRequest, outcome: BuildOutcome, *, is_json: bool) -> None:
    changes = outcome.changes
    if is_json:
        progress = JsonProgress()
        for one in outcome.refused:
            progress.write("refused", file=one.file, clip_rows=one.clip_rows, reason=one.reason)
        for key in outcome.unmatched_metadata:
            progress.write("unmatched_metadata", key=key)
        progress.write(
            "done",
            index=str(request.index),
            generation=outcome.generation,
            num_videos=outcome.num_videos,
            num_clips=outcome.num_clips,
            num_refused=len({one.file for one in outcome.refused}),
            **changes._asdict(),
        )
        return
    parts = ", ".join(f"{count} {name}" for name, count in changes._asdict().items() if count)
    click.echo(
        f"{request.index}: generation {outcome.generation}, {outcome.num_videos} videos{f' ({parts})' if parts else ''}"
    )
    click.echo(f"{outcome.num_clips} clips encoded, {summary_of(outcome.refused)}")
    for line in refused_lines(outcome.refused):
        click.echo(line)
    for key in outcome.unmatched_metadata:
        click.echo(f"  metadata: no video answers to {key!r}")


if __name__ == "__main__":
    main()
