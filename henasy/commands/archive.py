"""`henasy-archive`: renders archives, says what they hold, draws contact sheets and films."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click
from PIL import Image
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from henasy.errors import HenasyError
from henasy.scenes.archive import ArchiveConfig, missing_videos, write_archive
from henasy.scenes.film import draw_film
from henasy.scenes.inventory import take_inventory, told
from henasy.scenes.sheet import contact_sheet
from henasy.scenes.split import Split

_STOPPED = 130


def _size(ctx: click.Context, param: click.Parameter, text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{text!r} is not a size such as 456x256", ctx, param)
    return int(width), int(height)


class _Rate(ProgressColumn):
    """Frames per second of this run."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("- frames/s" if speed is None else f"{speed:.0f} frames/s")


@click.group()
@click.version_option(package_name="henasy", message="%(version)s")
def main() -> None:
    """The rendered kitchen archive: videos with narrations, boxes and masks."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seed", type=int, required=True, help="Archives of other seeds share no scene.")
@click.option("--videos", "num_videos", type=int, required=True)
@click.option("--minutes", type=float, default=1.0, show_default=True, help="Length of each video.")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", show_default=True)
@click.option("--size", metavar="WIDTHxHEIGHT", callback=_size, default="456x256", show_default=True)
@click.option("--fps", type=int, default=10, show_default=True)
@click.option("--truth-fps", type=int, default=4, show_default=True, help="Times per second with masks.")
@click.option(
    "--longest-action",
    "longest_action_s",
    type=float,
    metavar="SECONDS",
    help="Actions of half a second to this, at a table that is laid anew now and then; else of 1.5 to 3.4 s at one.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes at a time.")
def render(
    folder: Path,
    seed: int,
    num_videos: int,
    minutes: float,
    split: Split,
    size: tuple[int, int],
    fps: int,
    truth_fps: int,
    longest_action_s: float | None,
    workers: int,
) -> None:
    """Renders what is missing of the archive in FOLDER; the same command goes on after a stop."""
    with _clear_errors(f"cannot render into {folder}"):
        config = ArchiveConfig(
            seed=seed,
            num_videos=num_videos,
            video_s=round(60 * minutes, 3),  # 0.6667 minutes are 40.002 s, as the training archive has
            width_px=size[0],
            height_px=size[1],
            fps=fps,
            split=split,
            truth_fps=truth_fps,
            longest_action_s=longest_action_s,
        )
        _render(config, folder, workers)


def _render(config: ArchiveConfig, folder: Path, workers: int) -> None:
    there = config.num_videos - len(missing_videos(config, folder))
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"))
    with Progress(*columns, _Rate(), TimeRemainingColumn()) as progress:
        total = config.num_videos * config.num_frames
        task = progress.add_task("", total=total, completed=there * config.num_frames)

        def count() -> None:
            progress.update(task, description=f"{there} of {config.num_videos} videos")

        def on_video(_: str) -> None:
            nonlocal there
            there += 1
            count()

        count()
        write_archive(config, folder, workers, on_video, lambda num_frames: progress.advance(task, num_frames))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("picture", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--rows", type=click.IntRange(1, 100), default=12, show_default=True, help="Narrations shown.")
@click.option("--frames", type=click.IntRange(1, 20), default=5, show_default=True, help="Frames of each narration.")
@click.option("--width", type=click.IntRange(32, 4096), help="Of each frame, in pixels; as rendered if not given.")
def sheet(folder: Path, picture: Path, rows: int, frames: int, width: int | None) -> None:
    """Draws narrations of the archive in FOLDER with their frames and masks into PICTURE (.png or .jpg)."""
    if picture.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise click.BadParameter(f"{str(picture)!r} must end in .png or .jpg", param_hint="PICTURE")
    with _clear_errors(f"cannot draw {folder} into {picture}"):
        drawn = contact_sheet(folder, rows, frames, width)
        if picture.suffix.lower() == ".png":
            # A palette takes a third of the bytes and hardly shows.
            drawn = drawn.quantize(256, dither=Image.Dither.NONE)
        drawn.save(picture, optimize=True)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--videos", "num_videos", type=click.IntRange(min=1), help="How many are looked at; all if not given.")
def about(folder: Path, num_videos: int | None) -> None:
    """Says what the archive in FOLDER holds: counts, lengths, sizes, and how much of what is handled is covered."""
    with _clear_errors(f"cannot read {folder}"):
        click.echo(told(take_inventory(folder, num_videos)))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("video_uid")
@click.argument("picture", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--start", "start_s", type=click.FloatRange(min=0), default=0.0, show_default=True, help="In seconds.")
@click.option("--seconds", "length_s", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True)
@click.option(
    "--width", type=click.IntRange(32, 4096), default=320, show_default=True, help="Of each frame, in pixels."
)
@click.option("--quality", type=click.IntRange(1, 100), default=60, show_default=True)
def film(
    folder: Path, video_uid: str, picture: Path, start_s: float, length_s: float, width: int, quality: int
) -> None:
    """Draws a part of VIDEO_UID of the archive in FOLDER, beside it its truth, into the moving PICTURE (.webp)."""
    if picture.suffix.lower() != ".webp":
        raise click.BadParameter(f"{str(picture)!r} must end in .webp", param_hint="PICTURE")
    with _clear_errors(f"cannot draw {folder} into {picture}"):
        drawn = draw_film(folder, video_uid, start_s, length_s, width)
        drawn.pictures[0].save(
            picture,
            save_all=True,
            append_images=drawn.pictures[1:],
            duration=round(1000 / drawn.per_s),
            loop=0,
            quality=quality,
            method=6,
        )


@contextlib.contextmanager
def _clear_errors(task: str) -> Iterator[None]:
    try:
        yield
    except HenasyError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{task}: {error.strerror or error}") from error
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on from here", err=True)
        raise click.exceptions.Exit(_STOPPED) from None


if __name__ == "__main__":
    main()
