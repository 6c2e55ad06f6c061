"""The whole path on a fresh machine: render a small archive, index it, serve it, ask it, look at what came back.

    python examples/demo.py

Archive and index are kept in out/demo and used again by the next run. Ends with 1 when the queries find no more than
random clips would.
"""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from henasy.checkpoint.folder import WEIGHTS
from henasy.checkpoint.locate import locate_checkpoint
from henasy.errors import HenasyError
from henasy.index.durable import sha256_of
from henasy.index.reader import Index
from henasy.scenes.truth import Truth
from henasy.search.hits import Hit
from henasy.search.regions import decode_mask
from service.client import HenasyClient
from service.picture import draw_hit, find_video, save_picture

TOP_K = 5
MIN_OVERLAP_S = 0.5
"""A hit is right when it shows so much of a narration of what was asked for."""
CHANCE_LEVEL = 0.01
"""Random clips do as well as the queries must with at most this probability."""
CONSOLE = Console(highlight=False)


class Narration(NamedTuple):
    """What is done in one span of one video."""

    video_uid: str
    start_s: float
    end_s: float
    text: str
    verb: str
    noun: str


@dataclass(frozen=True, kw_only=True)
class Query:
    """A text and what answers it."""

    text: str
    verb: str
    noun: str

    def is_answered_by(self, narration: Narration) -> bool:
        """Whether the narration tells of the same action with the same kind of thing."""
        return (narration.verb, narration.noun) == (self.verb, self.noun)


@click.command(context_settings={"show_default": True})
@click.option("--folder", type=click.Path(path_type=Path), default=Path("out/demo"), help="Archive, index, pictures.")
@click.option("--model", default="henasy-tiny", help="Checkpoint folder, hub id or shipped name.")
@click.option("--seed", default=90_210, help="Of the archive; henasy-tiny has seen none of the test split.")
@click.option("--videos", "num_videos", default=6, help="Videos of one minute.")
@click.option("--queries", "num_queries", default=16)
def main(folder: Path, model: str, seed: int, num_videos: int, num_queries: int) -> None:
    """Renders, indexes, serves and asks; exits with 1 when the queries miss."""
    started = time.monotonic()
    archive = folder / f"archive-{seed}-{num_videos}"
    index = folder / f"index-{seed}-{num_videos}-{weights_name(model)}"
    options = ["--seed", str(seed), "--videos", str(num_videos), "--split", "test"]
    run("henasy-archive", "henasy.commands.archive", "render", str(archive), *options)
    run("henasy-index", "indexer.cli", "build", str(archive / "videos"), "--index", str(index), "--model", model)
    narrations = read_narrations(archive)
    queries = choose_queries(narrations, num_queries, np.random.default_rng(seed))
    with serving(index, model) as address, HenasyClient(address) as client:
        is_right = [ask(client, number, query, archive, narrations) for number, query in enumerate(queries, 1)]
    opened = Index.open(index, is_checked=False)
    chances = [chance_of(query, narrations, opened) for query in queries]
    is_passed = judge(is_right, chances)
    CONSOLE.print(f"pictures: {folder / 'pictures'}; {time.monotonic() - started:.0f} s in all")
    sys.exit(0 if is_passed else 1)


def weights_name(model: str) -> str:
    """A short name of a checkpoint's weights: vectors of others do not join an index, so each has its own."""
    return sha256_of(locate_checkpoint(model) / WEIGHTS)[:8]


def run(name: str, module: str, *arguments: str) -> None:
    """Runs one of the project's commands and shows it as its user would type it; ends the demo if it fails."""
    CONSOLE.print(f"[bold]$ {' '.join([name, *arguments])}[/bold]")
    code = subprocess.run(_command(module, *arguments), check=False).returncode
    if code != 0:
        sys.exit(f"demo: {name} ended with {code}")


def _command(module: str, *arguments: str) -> list[str]:
    # The interpreter that runs the demo, so that no other installation's command is found.
    return [sys.executable, "-c", f"from {module} import main; main()", *arguments]


@contextmanager
def serving(index: Path, model: str) -> Iterator[str]:
    """The address of a henasy-serve over the index."""
    arguments = ["--index", str(index), "--model", model, "--port", "0"]
    CONSOLE.print(f"[bold]$ {' '.join(['henasy-serve', *arguments])}[/bold]")
    command = _command("service.serve_cli", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(f"demo: henasy-serve ended with {process.wait()}")
        CONSOLE.print(line.strip())
        try:
            yield line.split()[-1]
        finally:
            process.terminate()


def read_narrations(archive: Path) -> list[Narration]:
    """All narrations of the archive."""
    with (archive / "narrations.csv").open(encoding="utf-8", newline="") as file:
        return [
            Narration(
                video_uid=row["video_uid"],
                start_s=float(row["clip_start"]),
                end_s=float(row["clip_end"]),
                text=row["clip_text"].removeprefix("#C C "),
                verb=row["verb_label"],
                noun=row["noun"],
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


def choose_queries(narrations: list[Narration], count: int, rng: np.random.Generator) -> list[Query]:
    """Different actions with things that the archive shows, at random; in the words of a narration."""
    texts: dict[tuple[str, str], list[str]] = {}
    for narration in narrations:
        texts.setdefault((narration.verb, narration.noun), []).append(narration.text)
    pairs = sorted(texts)
    chosen = rng.permutation(len(pairs))[:count]
    # The shortest telling says neither the hand nor the colour.
    return [
        Query(text=min(texts[pairs[at]], key=lambda text: (len(text), text)), verb=pairs[at][0], noun=pairs[at][1])
        for at in sorted(chosen)
    ]


def ask(client: HenasyClient, number: int, query: Query, archive: Path, narrations: list[Narration]) -> bool:
    """Prints the hits of a query beside what is there, draws its best entity; whether a hit is right."""
    hits = client.search(query.text, top_k=TOP_K)
    shown = [shown_in(hit, narrations) for hit in hits]
    is_right = [any(query.is_answered_by(narration) for narration in found) for found in shown]
    table = Table(title=f'{number}. "{query.text}"', title_justify="left", show_edge=False, box=None)
    for heading in ("", "score", "video", "span", "what is there"):
        table.add_column(heading)
    for hit, found, right in zip(hits, shown, is_right, strict=True):
        span = f"{hit.span.start_s:.0f}-{hit.span.end_s:.0f} s"
        truth = "; ".join(narration.text for narration in found) or "nothing is done"
        table.add_row("+" if right else "-", f"{hit.score:.3f}", Path(hit.video.path).stem, span, truth)
    CONSOLE.print(table)
    draw_entity(client, number, query, archive)
    return any(is_right)


def shown_in(hit: Hit, narrations: list[Narration]) -> list[Narration]:
    """What is done in the hit's clip, longest first."""
    video = Path(hit.video.path).stem
    return actions_in(video, hit.span.start_s, hit.span.end_s, narrations)


def actions_in(video_uid: str, start_s: float, end_s: float, narrations: list[Narration]) -> list[Narration]:
    """Narrations that share half a second or more with a span of a video, longest share first."""
    shares = [
        (min(end_s, narration.end_s) - max(start_s, narration.start_s), narration)
        for narration in narrations
        if narration.video_uid == video_uid
    ]
    return [narration for share_s, narration in sorted(shares, reverse=True) if share_s >= MIN_OVERLAP_S]


def draw_entity(client: HenasyClient, number: int, query: Query, archive: Path) -> None:
    """Saves a picture of the entity that meets the thing's name best, and prints how well its mask fits."""
    for hit in client.search(query.noun, target="entities", top_k=1):
        picture = archive.parent / "pictures" / f"{number:02d}-{query.noun.replace(' ', '-')}.png"
        save_picture(draw_hit(hit, query.noun, find_video(hit.video, None)), picture)
        CONSOLE.print(f'   entity that meets "{query.noun}": {mask_fit(hit, query.noun, archive)}; {picture.name}\n')


def mask_fit(hit: Hit, noun: str, archive: Path) -> str:
    """The mean IoU of the entity's masks with the nearest thing of that name."""
    truth = Truth.open(archive, Path(hit.video.path).stem)
    instances = [row.instance for row in truth.instances if row.noun == noun]
    if not instances or hit.entity is None:
        return f"there is no {noun} in this video"
    best = 0.0
    for instance in instances:
        overlaps = []
        for region in hit.entity.regions:
            there = truth.masks_at(min(region.time_s, float(truth.times_s[-1])), instance)
            drawn = np.zeros_like(there) if region.mask is None else decode_mask(region.mask)
            union = int((there | drawn).sum())
            overlaps.append(int((there & drawn).sum()) / union if union else 0.0)
        best = max(best, float(np.mean(overlaps)))
    return f"its mask covers it with IoU {best:.2f}"


def chance_of(query: Query, narrations: list[Narration], index: Index) -> float:
    """The probability that one of `TOP_K` random clips is right."""
    columns = index.clips(np.arange(index.num_clips))
    stems = {video.video_id: Path(video.path).stem for video in index.videos}
    spans = zip(columns.video_id, columns.start_s, columns.end_s, strict=True)
    found = (actions_in(stems[str(video)], start_s, end_s, narrations) for video, start_s, end_s in spans)
    num_right = sum(any(query.is_answered_by(narration) for narration in one) for one in found)
    left = np.arange(TOP_K)
    return 1 - float(np.prod(np.clip(index.num_clips - num_right - left, 0, None) / (index.num_clips - left)))


def judge(is_right: list[bool], chances: list[float]) -> bool:
    """Whether so many right queries are beyond chance; prints both."""
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1 - chance, chance])
    # The smallest number that random clips reach at most once in a hundred demos.
    tail = distribution[::-1].cumsum()[::-1]
    needed = next((count for count, share in enumerate(tail) if share <= CHANCE_LEVEL), len(is_right) + 1)
    found = sum(is_right)
    CONSOLE.print(
        f"[bold]{found} of {len(is_right)} queries have a right hit among the first {TOP_K}[/bold]; random clips: "
        f"{sum(chances):.1f} on average; needed: {needed}: {'passed' if found >= needed else 'MISSED'}"
    )
    return found >= needed


if __name__ == "__main__":
    try:
        main()
    except HenasyError as error:
        sys.exit(f"demo: {error}")
