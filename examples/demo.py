"""The whole path on a fresh machine: render a small archive, index it, serve it, ask it, look at what came back.

    python examples/demo.py

Archive and index are kept in out/demo and used again by the next run. Ends with 1 when the queries find no more than
random clips would, or less than the shipped weights do with ease.
"""

import csv
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from henasy.checkpoint.folder import WEIGHTS
from henasy.checkpoint.locate import locate_checkpoint
from henasy.checkpoint.shipped import SHIPPED
from henasy.errors import HenasyError
from henasy.index.durable import sha256_of
from henasy.index.reader import Index
from henasy.scenes.truth import Truth
from henasy.search.hits import Entity, Explanation, Hit, PhraseKind, Region
from henasy.search.regions import decode_mask
from henasy.search.request import SearchRequest
from service.client import HenasyClient
from service.picture import draw_hit, find_video, save_picture

TOP_K = 5
MIN_OVERLAP_S = 0.5
"""A hit is right when it shows so much of a narration of what was asked for."""
CHANCE_LEVEL = 0.01
"""Random clips do as well as the queries must with at most this probability."""
MIN_SHARE_RIGHT = 0.5
"""So many queries have a right hit: with the shipped weights 15 of 16, with random ones 1 of 16."""
MIN_MEAN_IOU = 0.25
"""The masks fit so well on average: those of the shipped weights with 0.36, those of random ones with 0.20."""
CONSOLE = Console(highlight=False)


class Narration(NamedTuple):
    """What is done in one span of one video."""

    video_uid: str
    start_s: float
    end_s: float
    text: str
    verb: str
    noun: str
    instance: int
    """What is handled, in the video's truth."""


class Answer(NamedTuple):
    """How well one query was answered."""

    is_right: bool
    """Whether one of the first hits shows what was asked for."""
    iou: float | None
    """Of the entity that the thing's name met in the best hit; None when the thing is not in that clip."""


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
@click.option("--model", default=SHIPPED, help="Checkpoint folder, hub id or shipped name.")
@click.option("--seed", default=90_210, help="Of the archive; henasy-tiny has seen none of the test split.")
@click.option("--videos", "num_videos", default=6, help="Videos of one minute.")
@click.option("--queries", "num_queries", default=16)
def main(folder: Path, model: str, seed: int, num_videos: int, num_queries: int) -> None:
    """Renders, indexes, serves and asks; exits with 1 when the queries miss."""
    started = time.monotonic()
    archive = folder / f"kitchens-{seed}-{num_videos}"
    index = folder / f"{archive.name}-index-{weights_name(model)}"
    options = ["--seed", str(seed), "--videos", str(num_videos), "--split", "test"]
    run("henasy-archive", "henasy.commands.archive", "render", str(archive), *options)
    run("henasy-index", "indexer.cli", "build", str(archive / "videos"), "--index", str(index), "--model", model)
    narrations = read_narrations(archive)
    queries = choose_queries(narrations, num_queries, np.random.default_rng(seed))
    clear_pictures(folder / "pictures")
    with serving(index, model) as address, HenasyClient(address) as client:
        answers = [ask(client, number, query, archive, narrations) for number, query in enumerate(queries, 1)]
    opened = Index.open(index, is_checked=False)
    chances = [chance_of(query, narrations, opened) for query in queries]
    is_passed = judge(answers, chances)
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
                instance=int(row["object_id"]),
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


def choose_queries(narrations: list[Narration], count: int, rng: np.random.Generator) -> list[Query]:
    """Different actions that the archive shows, spread over things and then over verbs; in a narration's words."""
    texts: dict[tuple[str, str], list[str]] = {}
    for narration in narrations:
        texts.setdefault((narration.verb, narration.noun), []).append(narration.text)
    pairs = sorted(texts)
    left = [pairs[at] for at in rng.permutation(len(pairs))]
    verbs: Counter[str] = Counter()
    nouns: Counter[str] = Counter()
    chosen = []
    for _ in range(min(count, len(left))):
        verb, noun = min(left, key=lambda pair: (nouns[pair[1]], verbs[pair[0]]))
        left.remove((verb, noun))
        verbs[verb] += 1
        nouns[noun] += 1
        # The shortest telling says neither the hand nor the colour.
        text = min(texts[verb, noun], key=lambda text: (len(text), text))
        chosen.append(Query(text=text, verb=verb, noun=noun))
    return sorted(chosen, key=lambda query: (query.verb, query.noun))


def clear_pictures(folder: Path) -> None:
    """Removes the pictures of an earlier demo, which may have had other queries."""
    for picture in folder.glob("[0-9][0-9]-*.png"):
        picture.unlink()


def ask(client: HenasyClient, number: int, query: Query, archive: Path, narrations: list[Narration]) -> Answer:
    """Prints the hits of a query beside what is there, and draws the thing in the best one."""
    request = SearchRequest(queries=(query.text,), top_k=TOP_K, is_explained=True)
    hits = client.answer(request).results[0].hits
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
    iou = draw_thing(hits[0], number, query, archive, shown[0])
    return Answer(is_right=any(is_right), iou=iou)


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


def draw_thing(hit: Hit, number: int, query: Query, archive: Path, shown: list[Narration]) -> float | None:
    """Saves a picture of the hit with the entity that the thing's name met; prints and gives how well its mask fits."""
    if hit.explanation is None:
        sys.exit(f"demo: the hit of {query.text!r} has no explanation")
    phrase, entity = met_entity(hit.explanation, query.noun)
    text = query.text.replace(" ", "-")
    picture = archive.parent / "pictures" / f"{number:02d}-{text}.png"
    image = draw_hit(replace(hit, entity=entity), f"{query.text}: {phrase}", find_video(hit.video, None))
    save_picture(image, picture)
    truth = Truth.open(archive, Path(hit.video.path).stem)
    iou = mask_fit(entity.regions, truth, query.noun, shown)
    told = f"there is no {query.noun} in this clip" if iou is None else f"its mask covers it with IoU {iou:.2f}"
    CONSOLE.print(f'   entity of hit 1 that "{phrase}" met: {told}; {picture.name}\n', soft_wrap=True)
    return iou


def met_entity(explanation: Explanation, noun: str) -> tuple[str, Entity]:
    """The phrase that names the thing and the entity that it met; the whole query's where no phrase names it."""
    entities = {entity.slot: entity for entity in explanation.entities}
    for match in explanation.phrases:
        if match.kind is PhraseKind.NOUN and f" {noun} " in f" {match.phrase} ":
            return match.phrase, entities[match.slot]
    return "the query", explanation.entities[0]


def mask_fit(regions: Sequence[Region], truth: Truth, noun: str, shown: list[Narration]) -> float | None:
    """The mean IoU of an entity's masks with the thing that is handled in a clip, or else the nearest of that name.

    Frames with neither mask do not count. None when the clip shows nothing of that name.
    """
    handled = {narration.instance for narration in shown if narration.noun == noun}
    named = {row.instance for row in truth.instances if row.noun == noun}
    fits = []
    for instance in sorted(handled or named):
        there = [truth.masks_at(min(region.time_s, float(truth.times_s[-1])), instance) for region in regions]
        if not any(mask.any() for mask in there):
            continue
        overlaps = []
        for region, mask in zip(regions, there, strict=True):
            drawn = np.zeros_like(mask) if region.mask is None else decode_mask(region.mask)
            if (mask | drawn).any():
                overlaps.append((mask & drawn).sum() / (mask | drawn).sum())
        fits.append(float(np.mean(overlaps)))
    return max(fits, default=None)


def chance_of(query: Query, narrations: list[Narration], index: Index) -> float:
    """The probability that one of `TOP_K` random clips is right."""
    columns = index.clips(np.arange(index.num_clips))
    stems = {video.video_id: Path(video.path).stem for video in index.videos}
    spans = zip(columns.video_id, columns.start_s, columns.end_s, strict=True)
    found = (actions_in(stems[str(video)], start_s, end_s, narrations) for video, start_s, end_s in spans)
    num_right = sum(any(query.is_answered_by(narration) for narration in one) for one in found)
    left = np.arange(TOP_K)
    return 1 - float(np.prod(np.clip(index.num_clips - num_right - left, 0, None) / (index.num_clips - left)))


def needed_beyond_chance(chances: list[float]) -> int:
    """The smallest number of right queries that random clips reach at most once in a hundred demos."""
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1 - chance, chance])
    tail = distribution[::-1].cumsum()[::-1]
    return next((count for count, share in enumerate(tail) if share <= CHANCE_LEVEL), len(chances) + 1)


def judge(answers: list[Answer], chances: list[float]) -> bool:
    """Whether so many right queries are beyond chance, and they and the masks reach the fixed bars; prints it all."""
    needed = max(needed_beyond_chance(chances), math.ceil(MIN_SHARE_RIGHT * len(answers)))
    found = sum(answer.is_right for answer in answers)
    CONSOLE.print(
        f"[bold]{found} of {len(answers)} queries have a right hit among the first {TOP_K}[/bold]; random clips: "
        f"{sum(chances):.1f} on average; needed: {needed}: {'passed' if found >= needed else 'MISSED'}"
    )
    fits = [answer.iou for answer in answers if answer.iou is not None]
    mean = float(np.mean(fits)) if fits else 0.0
    CONSOLE.print(
        f"[bold]mean IoU of the entity's mask {mean:.2f}[/bold], over the {len(fits)} best hits that show the thing; "
        f"needed: {MIN_MEAN_IOU}: {'passed' if mean >= MIN_MEAN_IOU else 'MISSED'}"
    )
    return found >= needed and mean >= MIN_MEAN_IOU


if __name__ == "__main__":
    try:
        main()
    except HenasyError as error:
        sys.exit(f"demo: {error}")
