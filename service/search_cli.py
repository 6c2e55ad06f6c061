"""henasy-search: asks a server, or an index directly, in words."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
from click.core import ParameterSource
from rich.console import Console

from henasy.errors import HenasyError, InputError
from henasy.index.select import Filters
from henasy.search.hits import SearchAnswer
from henasy.search.request import DEFAULT_TOP_K, SearchRequest, Target
from henasy.text.wording import Wording
from service.client import DEFAULT_TIMEOUT_S, HenasyClient
from service.show import print_table, to_json
from service.status import ServiceError

DEFAULT_SERVER = "127.0.0.1:50051"


@dataclass(frozen=True, kw_only=True)
class _Place:
    """What is asked: a server, or an index opened in this process."""

    server: str
    index: Path | None
    model: str | None
    timeout_s: float


@click.command(context_settings={"auto_envvar_prefix": "HENASY", "show_default": True})
@click.argument("queries", nargs=-1, required=True)
@click.option("--server", default=DEFAULT_SERVER, help="HOST:PORT of a henasy-serve.")
@click.option("--index", type=click.Path(path_type=Path), help="Search this index here, without a server.")
@click.option("--model", help="With --index: the checkpoint.  [default: the one that the index was built with]")
@click.option("--target", type=click.Choice([str(target) for target in Target]), default=str(Target.CLIPS))
@click.option("--top-k", default=DEFAULT_TOP_K, help="Hits per query.")
@click.option("--min-score", type=float, help="Leave out hits below this cosine similarity.")
@click.option("--video", "video_ids", multiple=True, help="Only this video id; may be repeated.")
@click.option("--path", "path_globs", multiple=True, help="Only videos whose path matches; may be repeated.")
@click.option("--start-s", type=float, help="Only clips that overlap the time from here on.")
@click.option("--end-s", type=float, help="Only clips that overlap the time up to here.")
@click.option("--where", multiple=True, metavar="COLUMN=VALUE|LOW..HIGH", help="Metadata; may be repeated.")
@click.option("--group", "max_per_video", type=int, help="Group by video, with at most so many hits of each.")
@click.option("--overlapping", is_flag=True, help="For entities: also those of clips that overlap a better hit.")
@click.option(
    "--wording", type=click.Choice([str(wording) for wording in Wording]), help="How QUERIES are put to the model."
)
@click.option("--explain", is_flag=True, help="Say which phrase met which entity.")
@click.option("--json", "is_json", is_flag=True, help="JSON on standard output instead of a table.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write a PNG per hit into this folder.")
@click.option("--videos", type=click.Path(path_type=Path), help="For --picture: where the videos lie here.")
@click.option(
    "--timeout",
    default=DEFAULT_TIMEOUT_S,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds that a server may take.",
)
@click.version_option(package_name="henasy", message="%(version)s")
@click.pass_context
def main(
    context: click.Context,
    queries: tuple[str, ...],
    server: str,
    index: Path | None,
    model: str | None,
    target: str,
    top_k: int,
    min_score: float | None,
    video_ids: tuple[str, ...],
    path_globs: tuple[str, ...],
    start_s: float | None,
    end_s: float | None,
    where: tuple[str, ...],
    max_per_video: int | None,
    overlapping: bool,
    wording: str | None,
    explain: bool,
    is_json: bool,
    picture: Path | None,
    videos: Path | None,
    timeout: float,
) -> None:
    """Finds what QUERIES describe: henasy-search "open the drawer" --target entities"""
    try:
        place = _one_place(context, _Place(server=server, index=index, model=model, timeout_s=timeout))
        request = SearchRequest(
            queries=queries,
            target=Target(target),
            top_k=top_k,
            min_score=min_score,
            filters=_filters(video_ids, path_globs, start_s, end_s, where),
            max_hits_per_video=max_per_video,
            is_explained=explain,
            has_overlapping=overlapping,
            wording=None if wording is None else Wording(wording),
        )
        answer = _ask(request, place)
        _show(answer, is_json=is_json)
        if picture is not None:
            _draw(answer, picture, videos)
    except BrokenPipeError:
        raise  # click ends quietly when whoever read the output is gone
    except (HenasyError, OSError) as error:
        click.echo(f"henasy-search: {error}", err=True)
        sys.exit(1)


def _one_place(context: click.Context, place: _Place) -> _Place:
    """Where to ask when the command line and the environment may both name places; what was typed comes first."""
    typed = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if {"server", "index"} <= typed:
        raise InputError("--server", f"{place.server} and --index {place.index}: give one")
    if "server" in typed:
        place = replace(place, index=None)
    if "model" in typed and place.index is None:
        raise InputError("--model", f"{place.model} needs --index; a server has its own model")
    return place


def _filters(
    video_ids: tuple[str, ...],
    path_globs: tuple[str, ...],
    start_s: float | None,
    end_s: float | None,
    where: tuple[str, ...],
) -> Filters:
    equals: dict[str, tuple[str, ...]] = {}
    ranges: dict[str, tuple[float | None, float | None]] = {}
    for condition in where:
        column, separator, value = condition.partition("=")
        if not (separator and column):
            raise InputError("--where", f"{condition!r} is not COLUMN=VALUE or COLUMN=LOW..HIGH")
        bounds = _bounds(value)
        if bounds is None:
            equals[column] = (*equals.get(column, ()), value)
        else:
            ranges[column] = bounds
    return Filters(
        video_ids=video_ids, path_globs=path_globs, start_s=start_s, end_s=end_s, equals=equals, ranges=ranges
    )


def _bounds(value: str) -> tuple[float | None, float | None] | None:
    """LOW..HIGH with either side open, as numbers; None when the value is no such range."""
    low, separator, high = value.partition("..")
    if not separator or not (low or high):
        return None
    try:
        return (float(low) if low else None, float(high) if high else None)
    except ValueError:
        return None


def _ask(request: SearchRequest, place: _Place) -> SearchAnswer:
    if place.index is not None:
        return _engine(place.index, place.model)(request)
    with HenasyClient(place.server, timeout_s=place.timeout_s) as client:
        try:
            return client.answer(request)
        except ServiceError as error:
            # A call that reached a server has its id.
            if error.code != "UNAVAILABLE" or error.request_id:
                raise
            message = f"no henasy-serve answers at {place.server}; start one with henasy-serve --index DIR"
            raise ServiceError(message, code=error.code) from error


def _engine(folder: Path, model: str | None) -> Callable[[SearchRequest], SearchAnswer]:
    # Asking a server needs no torch, whose import takes seconds.
    from henasy.index.reader import Index
    from henasy.search.engine import Engine

    index = Index.open(folder, is_checked=False)
    from henasy.checkpoint.encoder import load_encoder
    from henasy.heads.moment_ends_file import read_ends_head

    settings = index.settings
    name = model or settings.model
    encoder = load_encoder(name, num_frames=settings.num_frames, micro_batch=1)
    return Engine(index, encoder, ends=read_ends_head(name, encoder, index.plan)).search


def _show(answer: SearchAnswer, *, is_json: bool) -> None:
    if is_json:
        click.echo(to_json(answer))
        return
    console = Console()
    for result in answer.results:
        print_table(console, result)


def _draw(answer: SearchAnswer, folder: Path, videos: Path | None) -> None:
    from henasy.video.pool import ClipPool
    from service.picture import draw_hit, find_video, save_picture

    clips = ClipPool(1)
    for number, result in enumerate(answer.results):
        for hit in result.hits:
            image = draw_hit(hit, result.query, find_video(hit.video, videos), clips.read_clip)
            save_picture(image, folder / f"query-{number + 1}-hit-{hit.rank:03d}.png")
    clips.close()
