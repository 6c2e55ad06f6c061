"""Memory and time that EgoClip's annotations cost at a start: on generated files as large as the published ones.

    python benchmarks/speed/egoclip.py [--rows 3847723] [--folder DIR]

Generated are `egoclip.csv`, boxes and verb phrases of every clip, a taxonomy, and the names of 8,400 videos in chunks
of 300 s (empty files). Each line is measured in a process of its own, which does all that a training does before its
first batch is decoded, then makes the words and boxes of 100 batches of 128 anchors and as many hard negatives.
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
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from henasy.training.egoclip_phrases import SCHEMA as PHRASE_SCHEMA

NUM_ROWS = 3_847_723
NUM_VIDEOS = 8_400
CLIPS, BOXES, PHRASES = "egoclip.csv", "boxes.parquet", "phrases.parquet"
_NUM_BOX_VALUES = 64
_BOX_SCHEMA = pa.schema(
    {"video_uid": pa.string(), "start_ms": pa.int64(), "boxes": pa.list_(pa.float32(), _NUM_BOX_VALUES)}
)
_WORDS = "picks drops holds washes cuts opens moves turns the a knife cup plate dough bowl table cloth with left right"


def main() -> None:
    """Runs the benchmark, or one measurement when started by it."""
    if os.environ.get("HENASY_EGOCLIP_PART"):
        print(json.dumps(measure(Path(sys.argv[1]))))
        return
    benchmark()


@click.command()
@click.option(
    "--rows", default=NUM_ROWS, show_default=True, help="Rows to generate; EgoClip has as many as the default."
)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to work; a temporary folder.")
def benchmark(rows: int, folder: Path | None) -> None:
    """Generates files like EgoClip's and measures the first and later starts on them."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        generate(work, rows)
        generate_taxonomy(work / "taxonomy")
        num_files = generate_videos(work / "videos")
        sizes = ", ".join(f"{name} {(work / name).stat().st_size / 1e6:,.0f} MB" for name in (CLIPS, BOXES, PHRASES))
        click.echo(f"{rows:,} rows: {sizes}; {NUM_VIDEOS:,} videos in {num_files:,} chunks\n")
        click.echo(
            "| start | wall, s | CPU, s | a batch's words, CPU ms | peak memory, MB | of it not mapped files, MB |"
        )
        click.echo("|---|---|---|---|---|---|")
        for start in ("first", "second", "third"):
            click.echo(_row(start, _in_process(work)))
        cached_mb = sum(path.stat().st_size for path in (work / "cache").rglob("*.*")) / 1e6
        click.echo(f"\nthe cache holds {cached_mb:,.0f} MB")


def generate(work: Path, num_rows: int, *, seed: int = 0) -> None:
    """Writes a file with EgoClip's columns, seven words a caption, none to three tags; and boxes and phrases of it."""
    rng = np.random.default_rng(seed)
    words = np.array(_WORDS.split())
    video = np.sort(rng.integers(NUM_VIDEOS, size=num_rows))
    uids = _uids()
    with (
        (work / CLIPS).open("w") as stream,
        pq.ParquetWriter(work / BOXES, _BOX_SCHEMA) as boxes,
        pq.ParquetWriter(work / PHRASES, PHRASE_SCHEMA) as phrases,
    ):
        stream.write(
            "clip_idx\tvideo_uid\tvideo_dur\tnarration_source\tnarration_ind\tnarration_time\tclip_start\tclip_end\t"
            "clip_text\ttag_verb\ttag_noun\n"
        )
        for first in range(0, num_rows, 100_000):
            rows = np.arange(first, min(first + 100_000, num_rows))
            times_s = rng.uniform(2, 1400, len(rows))
            captions = words[rng.integers(len(words), size=(len(rows), 6))]
            verbs, nouns = rng.integers(118, size=(len(rows), 2)), rng.integers(582, size=(len(rows), 3))
            counts = rng.integers(0, 4, size=(len(rows), 2))
            stream.writelines(
                f"{row}\t{uids[video[row]]}\t1440.266667\tnarration_pass_1\t{row % 900}\t{times_s[at]:.6f}\t"
                f"{times_s[at] - 0.53:.6f}\t{times_s[at] + 0.53:.6f}\t#C C picks {' '.join(captions[at])} knife\t"
                f"{verbs[at, : counts[at, 0] % 3].tolist()}\t{nouns[at, : counts[at, 1]].tolist()}\n"
                for at, row in enumerate(rows)
            )
            said = [f"picking the {' '.join(caption[:2])}" for caption in captions]
            phrases.write_table(pa.table([rows, said, ["taxonomy"] * len(rows)], schema=PHRASE_SCHEMA))
            boxes.write_table(_boxes([uids[number] for number in video[rows]], times_s - 0.53, rng))


def _boxes(uids: list[str], starts_s: NDArray[np.float64], rng: np.random.Generator) -> pa.Table:
    values = pa.array(rng.random(len(uids) * _NUM_BOX_VALUES, np.float32))
    boxes = pa.FixedSizeListArray.from_arrays(values, _NUM_BOX_VALUES)
    return pa.table([uids, np.rint(starts_s * 1000).astype(np.int64), boxes], schema=_BOX_SCHEMA)


def generate_taxonomy(folder: Path) -> None:
    """As many nouns and verbs as Ego4D's; each group has a word of every caption, so that tags and texts agree."""
    folder.mkdir()
    for kind, count in (("noun", 582), ("verb", 118)):
        rows = [f"{kind}{row},\"['picks', 'knife', '{kind} {row}', '{kind}{row}']\"" for row in range(count)]
        (folder / f"narration_{kind}_taxonomy.csv").write_text("label,group\n" + "\n".join(rows) + "\n")


def generate_videos(folder: Path) -> int:
    """Empty files in the places of chunks; returns how many."""
    for uid in _uids():
        (folder / f"{uid}.mp4").mkdir(parents=True)
        for start_s in range(0, 1500, 300):
            (folder / f"{uid}.mp4" / f"{start_s}.mp4").touch()
    return 5 * NUM_VIDEOS


def measure(work: Path) -> dict[str, float]:
    """What one start costs; see the table's heading."""
    from henasy.training.egoclip.captions import caption_nouns, phrase_number, plain_phrase
    from henasy.training.egoclip.clips import open_egoclip
    from henasy.training.egoclip.config import EgoClipFiles, EgoClipRecipe
    from henasy.training.egoclip.order import shuffled

    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    files = EgoClipFiles(work / CLIPS, work / "videos", work / "taxonomy", work / BOXES, work / PHRASES)
    clips = open_egoclip(files, EgoClipRecipe(), work, cache=work / "cache", report=lambda line: None)
    found = {"wall_s": time.perf_counter() - started_s, "cpu_s": time.process_time() - started_cpu_s}
    table, ready_cpu_s = clips.table, time.process_time()
    for step in range(100):
        anchors = shuffled(step * 128 + np.arange(128), len(clips), (0, 0))
        rows = clips.usable[np.concatenate([anchors, clips.segments.other(anchors, np.full(128, 0.5))])]
        table.nouns.multi_hot(rows, 582)
        table.verbs.multi_hot(rows, 118)
        for row, text in zip(rows, table.texts(rows), strict=True):
            nouns, verbs = table.nouns.of(int(row)).tolist(), table.verbs.of(int(row)).tolist()
            caption_nouns(text, nouns, clips.taxonomy)
            phrase_number(plain_phrase(text, verbs, nouns, clips.taxonomy))
        assert clips.phrases is not None
        assert clips.boxes is not None
        clips.phrases.of(rows)
        clips.boxes.of(rows)
    return found | {
        "batch_ms": (time.process_time() - ready_cpu_s) * 10,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "own_mb": _own_mb(),
    }


def _own_mb() -> float:
    """Memory of this process that is not a mapped file's."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(fields["RssAnon"].split()[0]) / 1024


def _uids() -> list[str]:
    numbers = range(NUM_VIDEOS)
    return [f"{n:08x}-{n * 7919 % 65536:04x}-4{n % 4096:03x}-a{n % 4096:03x}-{n * 104729:012x}" for n in numbers]


def _in_process(work: Path) -> dict[str, float]:
    environment = os.environ | {"HENASY_EGOCLIP_PART": "1"}
    command = [sys.executable, __file__, str(work)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _row(start: str, found: dict[str, float]) -> str:
    return (
        f"| {start} | {found['wall_s']:.1f} | {found['cpu_s']:.1f} | {found['batch_ms']:.1f} | "
        f"{found['peak_mb']:,.0f} | {found['own_mb']:,.0f} |"
    )


if __name__ == "__main__":
    main()
