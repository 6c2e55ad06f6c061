"""Writes a rendered archive: videos, narrations and truth in one folder.

Every video depends on (seed, its number, the settings) alone, so the number of workers changes nothing, and a run that
was stopped goes on where it stood. `narrations.csv` is written last and marks an archive as whole.
"""

import csv
import dataclasses
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from henasy.errors import ConfigError
from henasy.scenes.actions import VERBS
from henasy.scenes.narrate import narrate
from henasy.scenes.renderer import Renderer, open_renderer
from henasy.scenes.script import Script, Split, write_script
from henasy.scenes.shapes import KINDS
from henasy.scenes.stage import Stage
from henasy.scenes.truth import write_truth

FORMAT_VERSION = 1
_EGOCLIP_COLUMNS = (
    *("clip_idx", "video_uid", "video_dur", "narration_source", "narration_ind", "narration_time"),
    *("clip_start", "clip_end", "clip_text", "tag_verb", "tag_noun"),
)
COLUMNS = (*_EGOCLIP_COLUMNS, "noun", "verb", "hand", "verb_phrase", "colour", "object_id", "verb_label")
_SPLIT_CODE = {"train": 0, "test": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArchiveConfig:
    """All that an archive depends on."""

    seed: int
    """0 or more; archives of other seeds or another split share no scene"""
    num_videos: int
    video_s: float = 60.0
    width_px: int = 456
    height_px: int = 256
    fps: int = 10
    split: Split = "train"
    """test archives also show the combinations that train archives never do"""
    truth_fps: int = 4
    """Times per second with boxes and masks; at most `fps`"""
    gop: int = 30
    """Frames between key frames"""
    crf: int = 20
    """x264 quality, lower is better"""

    def __post_init__(self) -> None:
        if self.split not in _SPLIT_CODE:
            raise ConfigError(f"split is {self.split!r}, must be one of {sorted(_SPLIT_CODE)}")
        if self.seed < 0 or self.num_videos < 1:
            raise ConfigError(f"seed is {self.seed} and num_videos {self.num_videos}, must be >= 0 and >= 1")
        if not 5.0 <= self.video_s <= 7200.0:
            raise ConfigError(f"video_s is {self.video_s}, must be from 5 to 7200")
        if not 1 <= self.truth_fps <= self.fps <= 60:
            raise ConfigError(f"truth_fps {self.truth_fps} and fps {self.fps} must satisfy 1 <= truth_fps <= fps <= 60")
        if self.width_px % 2 or self.height_px % 2 or min(self.width_px, self.height_px) < 32:
            raise ConfigError(f"size is {self.width_px}x{self.height_px}, must be even and at least 32x32")
        if self.gop < 1 or not 0 <= self.crf <= 51:
            raise ConfigError(f"gop is {self.gop} and crf {self.crf}, must be >= 1 and 0..51")

    @property
    def num_frames(self) -> int:
        """Frames of each video."""
        return round(self.video_s * self.fps)

    def video_uid(self, number: int) -> str:
        """Name of one video."""
        kind = "kitchen" if self.split == "train" else "kitchen-test"
        return f"{kind}-{self.seed:06d}-{number:04d}"

    def script(self, number: int) -> Script:
        """The story of one video."""
        return write_script(self._generator(number, "script"), self.num_frames / self.fps, self.split)

    def stage(self, number: int) -> Stage:
        """The scene of one video."""
        return Stage(self.script(number), self._generator(number, "look"))

    def _generator(self, number: int, purpose: str) -> np.random.Generator:
        code = ("script", "look", "words").index(purpose)
        return np.random.default_rng([self.seed, number, _SPLIT_CODE[self.split], code])


def write_archive(
    config: ArchiveConfig, folder: Path, workers: int = 2, on_video: Callable[[str], None] | None = None
) -> None:
    """Writes what is missing of an archive.

    Args:
        config: what to render.
        folder: made if absent; may hold a part of the same archive.
        workers: processes, each with its own renderer.
        on_video: told the uid of each video once it is there.

    Raises:
        ConfigError: the folder holds an archive of other settings.
    """
    _claim(config, folder)
    missing = [n for n in range(config.num_videos) if not video_path(folder, config.video_uid(n)).exists()]
    jobs = [(config, folder, number) for number in missing]
    for uid in _results(jobs, workers):
        if on_video is not None:
            on_video(uid)
    _write_taxonomy(folder)
    _write_text(folder / "narrations.csv", _narrations(config))


def video_path(folder: Path, video_uid: str) -> Path:
    """Where a video of the archive lies."""
    return folder / "videos" / f"{video_uid}.mp4"


def read_config(folder: Path) -> ArchiveConfig:
    """The settings an archive was written with.

    Raises:
        ConfigError: the folder is no archive of this version.
    """
    path = folder / "archive.json"
    if not path.exists():
        raise ConfigError(f"no archive.json in {folder}")
    stored = json.loads(path.read_text())
    if stored.pop("format_version", None) != FORMAT_VERSION:
        raise ConfigError(f"{path} is not of format_version {FORMAT_VERSION}")
    return ArchiveConfig(**stored)


def _claim(config: ArchiveConfig, folder: Path) -> None:
    for name in ("videos", "truth", "taxonomy"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if (folder / "archive.json").exists():
        stored = read_config(folder)
        if stored != config:
            raise ConfigError(f"{folder} holds an archive of other settings: {stored}, asked for {config}")
        return
    settings = {"format_version": FORMAT_VERSION, **dataclasses.asdict(config)}
    _write_text(folder / "archive.json", json.dumps(settings, indent=2) + "\n")


def _results(jobs: list[tuple[ArchiveConfig, Path, int]], workers: int) -> Iterator[str]:
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(jobs))) as pool:
        yield from pool.imap_unordered(_write_video, jobs)


def _write_video(job: tuple[ArchiveConfig, Path, int]) -> str:
    config, folder, number = job
    uid = config.video_uid(number)
    stage = config.stage(number)
    path = video_path(folder, uid)
    unfinished = path.with_suffix(".unfinished")
    with open_renderer(config.width_px, config.height_px) as renderer:
        stage.load(renderer)
        times_s, ids = _encode(config, stage, renderer, unfinished)
    write_truth(folder, uid, times_s, ids, stage.instances)
    _publish(unfinished, path)
    return uid


def _encode(
    config: ArchiveConfig, stage: Stage, renderer: Renderer, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Writes the video; returns truth times (T,) and the instance map (T, H, W) of the frame shown at each."""
    num_truths = int(config.num_frames * config.truth_fps / config.fps)
    times_s = np.arange(num_truths) / config.truth_fps
    shown = {frame: row for row, frame in enumerate(np.floor(times_s * config.fps + 1e-9).astype(int).tolist())}
    ids = np.zeros((num_truths, config.height_px, config.width_px), np.uint8)
    # Without these, equal frames were found to be encoded differently from run to run.
    repeatable = {"threads": "1", "x264-params": "mbtree=0"}
    options = {"preset": "veryfast", "crf": str(config.crf), "g": str(config.gop), **repeatable}
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(config.fps), options=options)
        stream.width, stream.height, stream.pix_fmt = config.width_px, config.height_px, "yuv420p"
        for number in range(config.num_frames):
            time_s = number / config.fps
            picture = renderer.render(stage.poses(time_s), stage.eye(time_s), has_ids=number in shown)
            if picture.ids is not None:
                ids[shown[number]] = picture.ids
            frame = av.VideoFrame.from_ndarray(planar_yuv(picture.rgb), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return times_s, ids


def planar_yuv(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(3H/2, W) planes of yuv420p from RGB (H, W, 3), limited range.

    FFmpeg's own conversion of equal pictures was found to differ in the last bit from run to run.

    Source: ITU-R BT.601, coefficients in 256ths.
    """
    height, width, _ = rgb.shape
    red, green, blue = np.moveaxis(rgb.astype(np.uint16), 2, 0)
    luma = ((66 * red + 129 * green + 25 * blue + 128) >> 8) + 16
    quads = rgb.reshape(height // 2, 2, width // 2, 2, 3).sum(axis=(1, 3), dtype=np.int16) >> 2
    red, green, blue = np.moveaxis(quads.astype(np.int32), 2, 0)
    chroma_blue = ((-38 * red - 74 * green + 112 * blue + 128) >> 8) + 128
    chroma_red = ((112 * red - 94 * green - 18 * blue + 128) >> 8) + 128
    planes = np.concatenate([luma.ravel(), chroma_blue.ravel(), chroma_red.ravel()])
    return planes.astype(np.uint8).reshape(height * 3 // 2, width)


def _narrations(config: ArchiveConfig) -> str:
    noun_rows = {kind.noun: row for row, kind in enumerate(KINDS)}
    verb_rows = {verb.label: row for row, verb in enumerate(VERBS)}
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    clip = 0
    for number in range(config.num_videos):
        script, rng = config.script(number), config._generator(number, "words")
        for row, event in enumerate(script.events):
            thing = script.things[event.thing]
            said = narrate(rng, event, thing)
            tags = [noun_rows[noun] for noun in said.nouns]
            middle = round((event.start_s + event.end_s) / 2, 3)
            egoclip = [clip, config.video_uid(number), script.duration_s, "narration_pass_1", row, middle]
            egoclip += [event.start_s, event.end_s, said.text, [verb_rows[event.verb]], tags]
            own = [thing.kind.noun, said.verb, event.side, said.verb_phrase, thing.colour, event.thing + 1, event.verb]
            writer.writerow(egoclip + own)
            clip += 1
    return text.getvalue()


def _write_taxonomy(folder: Path) -> None:
    nouns = [(kind.noun, kind.words) for kind in KINDS] + [
        (f"{side} hand", (f"{side} hand",)) for side in ("left", "right")
    ]
    verbs = [(verb.label, verb.words) for verb in VERBS]
    for name, rows in (("noun", nouns), ("verb", verbs)):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("label", "group"))
        writer.writerows((label, list(words)) for label, words in rows)
        _write_text(folder / "taxonomy" / f"{name}_taxonomy.csv", text.getvalue())


def _write_text(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text)
    _publish(unfinished, path)


def _publish(unfinished: Path, path: Path) -> None:
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)
