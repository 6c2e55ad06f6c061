"""`henasy-archive`: renders archives and draws their contact sheets."""

from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from henasy.errors import HenasyError
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.scenes.script import Split
from henasy.scenes.sheet import contact_sheet


class _Size(click.ParamType[tuple[int, int]]):
    name = "WIDTHxHEIGHT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        width, cross, height = str(value).partition("x")
        if not (cross and width.isdigit() and height.isdigit()):
            self.fail(f"{value!r} is not a size such as 456x256", param, ctx)
        return int(width), int(height)


@click.group()
def main() -> None:
    """The rendered kitchen archive: videos with narrations, boxes and masks."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seed", type=int, required=True, help="Archives of other seeds share no scene.")
@click.option("--videos", "num_videos", type=int, required=True)
@click.option("--minutes", type=float, default=1.0, show_default=True, help="Length of each video.")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", show_default=True)
@click.option("--size", type=_Size(), default="456x256", show_default=True)
@click.option("--fps", type=int, default=10, show_default=True)
@click.option("--truth-fps", type=int, default=4, show_default=True, help="Times per second with masks.")
@click.option("--workers", type=int, default=2, show_default=True)
def render(
    folder: Path,
    seed: int,
    num_videos: int,
    minutes: float,
    split: Split,
    size: tuple[int, int],
    fps: int,
    truth_fps: int,
    workers: int,
) -> None:
    """Renders what is missing of the archive in FOLDER."""
    try:
        config = ArchiveConfig(
            seed=seed,
            num_videos=num_videos,
            video_s=60 * minutes,
            width_px=size[0],
            height_px=size[1],
            fps=fps,
            split=split,
            truth_fps=truth_fps,
        )
        _render(config, folder, workers)
    except HenasyError as error:
        raise click.ClickException(str(error)) from error


def _render(config: ArchiveConfig, folder: Path, workers: int) -> None:
    columns = (TextColumn("videos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("videos", total=config.num_videos)
        there = len(list((folder / "videos").glob("*.mp4")))
        progress.update(task, completed=there)
        write_archive(config, folder, workers, on_video=lambda _: progress.advance(task))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("picture", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--rows", type=int, default=12, show_default=True, help="Narrations shown.")
def sheet(folder: Path, picture: Path, rows: int) -> None:
    """Draws narrations of the archive in FOLDER with their frames and masks into PICTURE."""
    try:
        contact_sheet(folder, rows).save(picture)
    except HenasyError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
