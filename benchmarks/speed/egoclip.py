"""Memory and time that `egoclip.csv` costs at a start: on a generated file with as many rows as the published one.

    python benchmarks/speed/egoclip.py [--rows 3847723] [--folder DIR]

Each line is measured in a process of its own, which does what a training does before its first batch is decoded.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

NUM_ROWS = 3_847_723
NUM_VIDEOS = 8_400
_WORDS = (
    "picks drops holds washes cuts opens moves turns the a knife cup plate dough bowl hand table cloth with left right"
)


def main() -> None:
    """Runs the benchmark, or one measurement when started by it."""
    if os.environ.get("HENASY_EGOCLIP_PART"):
        print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]))))
        return
    benchmark()


@click.command()
@click.option(
    "--rows", default=NUM_ROWS, show_default=True, help="Rows to generate; EgoClip has as many as the default."
)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to work; a temporary folder.")
def benchmark(rows: int, folder: Path | None) -> None:
    """Generates a file like `egoclip.csv` and measures the first and the second start on it."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "egoclip.csv"
        started_s = time.perf_counter()
        generate(path, rows)
        took_s = time.perf_counter() - started_s
        click.echo(f"{rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB, generated in {took_s:.0f} s\n")
        click.echo("| start | table, s | filters, segments, s | batch of 256 rows, ms | peak RSS, MB | own RSS, MB |")
        click.echo("|---|---|---|---|---|---|")
        for start in ("first", "second", "third"):
            click.echo(_row(start, _in_process(path, Path(name) / "cache")))


def generate(path: Path, num_rows: int, *, seed: int = 0) -> None:
    """Writes a tab-separated file with EgoClip's columns: about eight words a caption, one to three tags."""
    rng = np.random.default_rng(seed)
    words = np.array(_WORDS.split())
    video = np.sort(rng.integers(NUM_VIDEOS, size=num_rows))
    names = [
        f"{n:08x}-{n * 7919 % 65536:04x}-4{n % 4096:03x}-a{n % 4096:03x}-{n * 104729:012x}" for n in range(NUM_VIDEOS)
    ]
    with path.open("w") as stream:
        stream.write(
            "clip_idx\tvideo_uid\tvideo_dur\tnarration_source\tnarration_ind\tnarration_time\tclip_start\tclip_end\t"
            "clip_text\ttag_verb\ttag_noun\n"
        )
        for first in range(0, num_rows, 100_000):
            rows = np.arange(first, min(first + 100_000, num_rows))
            times_s = rng.uniform(2, 1400, len(rows))
            video_uids = [names[number] for number in video[rows]]
            captions = words[rng.integers(len(words), size=(len(rows), 7))]
            verbs, nouns = rng.integers(118, size=(len(rows), 2)), rng.integers(582, size=(len(rows), 3))
            counts = rng.integers(0, 4, size=(len(rows), 2))
            stream.writelines(
                f"{row}\t{video_uids[at]}\t1440.2666666\tnarration_pass_{1 + row % 2}\t{row % 900}\t{times_s[at]:.6f}\t"
                f"{times_s[at] - 0.53:.6f}\t{times_s[at] + 0.53:.6f}\t#C C {' '.join(captions[at])}\t"
                f"{verbs[at, : counts[at, 0] % 3].tolist()}\t{nouns[at, : counts[at, 1]].tolist()}\n"
                for at, row in enumerate(rows)
            )


def measure(path: Path, cache: Path) -> dict[str, float]:
    """What one start costs; see the table's heading."""
    from henasy.training.egoclip.annotations import open_clips
    from henasy.training.egoclip.order import segments, shuffled

    before = _rss_mb()
    started_s = time.perf_counter()
    table = open_clips(path, cache)
    opened_s = time.perf_counter()
    usable = np.flatnonzero((table.end_s > table.start_s) & (table.start_s < table.video_s))
    neighbours = segments(table.video[usable], table.narration_s[usable], 60.0)
    ready_s = time.perf_counter()
    for step in range(100):
        rows = shuffled(step * 128 + np.arange(128), len(usable), (0, 0))
        rows = np.concatenate([rows, neighbours.other(rows, np.full(128, 0.5))])
        table.texts(usable[rows])
        table.nouns.multi_hot(usable[rows], 582)
    done_s = time.perf_counter()
    return {
        "open_s": opened_s - started_s,
        "ready_s": ready_s - opened_s,
        "batch_ms": (done_s - ready_s) * 10,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "own_mb": _rss_mb() - before,
    }


def _rss_mb() -> float:
    """Memory of this process that is not a mapped file's."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(fields["RssAnon"].split()[0]) / 1024


def _in_process(path: Path, cache: Path) -> dict[str, float]:
    environment = os.environ | {"HENASY_EGOCLIP_PART": "1"}
    command = [sys.executable, __file__, str(path), str(cache)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _row(start: str, found: dict[str, float]) -> str:
    return (
        f"| {start} | {found['open_s']:.1f} | {found['ready_s']:.2f} | {found['batch_ms']:.1f} | "
        f"{found['peak_mb']:,.0f} | {found['own_mb']:,.0f} |"
    )


if __name__ == "__main__":
    main()
