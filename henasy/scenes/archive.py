"""Writes a rendered archive: videos, narrations and truth in one folder.

Every video depends on (seed, its number, the settings) alone, so the number of workers changes nothing, and a run that
was stopped goes on where it stood. `narrations.csv` is written last and marks an archive as whole.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from henasy.errors import ConfigError, InputError
from henasy.scenes.files import drop_unfinished, sole_writer, whole_file, write_text
from henasy.scenes.household.story import HOUSEHOLD
from henasy.scenes.processes import Report, run_each
from henasy.scenes.renderer import Renderer, open_renderer
from henasy.scenes.split import Split
from henasy.scenes.story import Stage, Story
from henasy.scenes.truth import truth_path, write_truth

FORMAT_VERSION = 1
_EGOCLIP_COLUMNS = (
    *("clip_idx", "video_uid", "video_dur", "narration_source", "narration_ind", "narration_time"),
    *("clip_start", "clip_end", "clip_text", "tag_verb", "tag_noun"),
)
COLUMNS = (
    *_EGOCLIP_COLUMNS,
    *("noun", "verb", "hand", "verb_phrase", "colour", "object_id", "verb_label", "partner", "partner_id"),
)
"""The partner's are empty where an action relates its object to no other"""
_REPERTOIRE, _UNNAMED = "household", "worktop"
_REPORT_FRAMES = 10
_MAX_SIDE_PX = 4096
_LONG_VIDEO_S = (60.0, 1800.0)
"""A table lasts 50 s and holds 5 things at most: no more than 255 instances"""
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
    longest_action_s: float | None = None
    """Actions of 0.5 s to this, log-uniform as far as verbs allow, with rests between and a new table now and then;
    None for actions of 1.5 to 3.4 s at one table"""
    repertoire: str = _REPERTOIRE
    """What there is to see; stored, since archives of a smaller one are about"""

    def __post_init__(self) -> None:
        if self.split not in _SPLIT_CODE:
            raise ConfigError(f"split is {self.split!r}, must be one of {sorted(_SPLIT_CODE)}")
        if self.repertoire != _REPERTOIRE:
            raise ConfigError(f"repertoire is {self.repertoire!r}, must be {_REPERTOIRE!r}: render the archive again")
        if self.seed < 0 or self.num_videos < 1:
            raise ConfigError(f"seed is {self.seed} and num_videos {self.num_videos}, must be >= 0 and >= 1")
        if not 5.0 <= self.video_s <= 7200.0:
            raise ConfigError(f"video_s is {self.video_s}, must be from 5 to 7200")
        if not 1 <= self.truth_fps <= self.fps <= 60:
            raise ConfigError(f"truth_fps {self.truth_fps} and fps {self.fps} must satisfy 1 <= truth_fps <= fps <= 60")
        if self.width_px % 2 or self.height_px % 2 or min(self.width_px, self.height_px) < 32:
            raise ConfigError(f"size is {self.width_px}x{self.height_px}, must be even and at least 32x32")
        if max(self.width_px, self.height_px) > _MAX_SIDE_PX:
            raise ConfigError(f"size is {self.width_px}x{self.height_px}, must be at most {_MAX_SIDE_PX} each way")
        if self.gop < 1 or not 0 <= self.crf <= 51:
            raise ConfigError(f"gop is {self.gop} and crf {self.crf}, must be >= 1 and 0..51")
        if self.longest_action_s is not None:
            self._check_long(self.longest_action_s)

    def _check_long(self, longest_s: float) -> None:
        if not 4.0 <= longest_s <= 600.0:
            raise ConfigError(f"longest_action_s is {longest_s}, must be from 4 to 600")
        if not _LONG_VIDEO_S[0] <= self.video_s <= _LONG_VIDEO_S[1]:
            raise ConfigError(f"video_s is {self.video_s}, with longest_action_s it must be from 60 to 1800")

    @property
    def num_frames(self) -> int:
        """Frames of each video."""
        return round(self.video_s * self.fps)

    def video_uid(self, number: int) -> str:
        """Name of one video."""
        kind = "kitchen" if self.split == "train" else "kitchen-test"
        return f"{kind}-{self.seed:06d}-{number:04d}"

    def story(self, number: int) -> Story:
        """What happens in one video."""
        rng, video_s = self._generator(number, "script"), self.num_frames / self.fps
        return HOUSEHOLD.write(rng, video_s, self.split, self.longest_action_s)

    def stage(self, number: int) -> Stage:
        """The scene of one video."""
        return self.story(number).stage(self._generator(number, "look"))

    def _generator(self, number: int, purpose: str) -> np.random.Generator:
        code = ("script", "look", "words").index(purpose)
        return np.random.default_rng([self.seed, number, _SPLIT_CODE[self.split], code])


def write_archive(
    config: ArchiveConfig,
    folder: Path,
    workers: int = 2,
    on_video: Callable[[str], None] | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> None:
    """Writes what is missing of an archive.

    Args:
        config: what to render.
        folder: made if absent; may hold a part of the same archive.
        workers: processes at a time, at least 1.
        on_video: told the uid of each video once it is there.
        on_frames: told how many frames were drawn since the last time.

    Raises:
        ConfigError: the folder holds an archive of other settings.
        InputError: another process writes to the folder, or `workers` is below 1.
        OSError: the folder cannot be written, the disk is full, or a process died (ChildProcessError). What is
            finished stays, and the same call goes on from there.
    """
    if workers < 1:
        raise InputError("workers", f"is {workers}, must be at least 1")
    folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder):
        _claim(config, folder)
        drop_unfinished(folder)
        jobs = [_Job(config, folder, number) for number in missing_videos(config, folder)]
        for step in run_each(_write_video, jobs, workers):
            if on_frames is not None and step.num_frames:
                on_frames(step.num_frames)
            if on_video is not None and step.is_done:
                on_video(step.item.uid)
        _write_taxonomy(folder)
        write_text(folder / "narrations.csv", _narrations(config))


def missing_videos(config: ArchiveConfig, folder: Path) -> list[int]:
    """Numbers of the videos that lack their file or their truth."""
    uids = map(config.video_uid, range(config.num_videos))
    is_there = [video_path(folder, uid).exists() and truth_path(folder, uid).exists() for uid in uids]
    return [number for number, there in enumerate(is_there) if not there]


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
    try:
        stored = json.loads(path.read_text())
        version = stored.pop("format_version", None)
        config = ArchiveConfig(**{"repertoire": _UNNAMED, **stored})
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} does not hold the settings of an archive: {error}") from error
    if version != FORMAT_VERSION:
        raise ConfigError(f"{path} is of format_version {version}, must be {FORMAT_VERSION}")
    return config


def _claim(config: ArchiveConfig, folder: Path) -> None:
    for name in ("videos", "truth", "taxonomy"):
        (folder / name).mkdir(exist_ok=True)
    asked = dataclasses.asdict(config)
    if (folder / "archive.json").exists():
        stored = dataclasses.asdict(read_config(folder))
        other = [
            f"{name} {stored[name]} there, {asked[name]} asked for" for name in asked if stored[name] != asked[name]
        ]
        if other:
            raise ConfigError(f"{folder} holds an archive of other settings: {'; '.join(other)}")
        return
    settings = {name: value for name, value in asked.items() if value is not None}
    write_text(folder / "archive.json", json.dumps({"format_version": FORMAT_VERSION, **settings}, indent=2) + "\n")


class _Job(NamedTuple):
    config: ArchiveConfig
    folder: Path
    number: int

    @property
    def uid(self) -> str:
        return self.config.video_uid(self.number)

    def __str__(self) -> str:
        return f"video {self.uid}"


def _write_video(job: _Job, report: Report) -> None:
    config, folder = job.config, job.folder
    stage = config.stage(job.number)
    with whole_file(video_path(folder, job.uid)) as unfinished:
        with open_renderer(config.width_px, config.height_px, stage.fov_deg) as renderer:
            stage.load(renderer)
            times_s, ids = _encode(config, stage, renderer, unfinished, report)
        write_truth(folder, job.uid, times_s, ids, stage.instances)


def _encode(
    config: ArchiveConfig, stage: Stage, renderer: Renderer, path: Path, report: Report
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
            if (number + 1) % _REPORT_FRAMES == 0:
                report(_REPORT_FRAMES)
        container.mux(stream.encode())
    report(config.num_frames % _REPORT_FRAMES)
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
    noun_rows = {noun.label: row for row, noun in enumerate(HOUSEHOLD.nouns)}
    verb_rows = {verb.label: row for row, verb in enumerate(HOUSEHOLD.verbs)}
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    clip = 0
    for number in range(config.num_videos):
        duration_s = config.num_frames / config.fps
        for row, told in enumerate(config.story(number).tell(config._generator(number, "words"))):
            tags = [noun_rows[noun] for noun in told.nouns]
            middle = round((told.start_s + told.end_s) / 2, 3)
            line: list[object] = [clip, config.video_uid(number), duration_s, "narration_pass_1", row, middle]
            line += [told.start_s, told.end_s, told.text, [verb_rows[told.verb_label]], tags]
            line += [told.nouns[0], told.verb, told.side, told.verb_phrase, told.colour, told.object_id]
            line += [told.verb_label]
            line += ["", ""] if told.partner_id is None else [told.nouns[1], told.partner_id]
            writer.writerow(line)
            clip += 1
    return text.getvalue()


def _write_taxonomy(folder: Path) -> None:
    nouns = [tuple(noun) for noun in HOUSEHOLD.nouns] + [
        (f"{side} hand", (f"{side} hand",)) for side in ("left", "right")
    ]
    verbs = [(verb.label, verb.words) for verb in HOUSEHOLD.verbs]
    for name, rows in (("noun", nouns), ("verb", verbs)):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("label", "group"))
        writer.writerows((label, list(words)) for label, words in rows)
        write_text(folder / "taxonomy" / f"{name}_taxonomy.csv", text.getvalue())
