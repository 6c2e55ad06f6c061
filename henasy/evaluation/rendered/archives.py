"""The rendered archives that benchmarks use when they are given none: made once, kept in the cache folder."""

import os
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.scenes.split import Split

TEST_ARCHIVE = ArchiveConfig(seed=7001, num_videos=20, video_s=120.0, width_px=228, height_px=128, fps=8, split="test")
TRAIN_ARCHIVE = replace(TEST_ARCHIVE, seed=7002, split="train")
"""Only for the baselines that learn; models are trained on archives of other seeds."""
VALIDATION_ARCHIVE = replace(TEST_ARCHIVE, seed=3000, num_videos=15)
"""To choose settings by; henasy-tiny's training was judged on it too."""
LONG_TEST_ARCHIVE = replace(TEST_ARCHIVE, seed=7003, num_videos=6, video_s=600.0, truth_fps=1, longest_action_s=60.0)
MOMENTS_TEST_ARCHIVE = replace(LONG_TEST_ARCHIVE, seed=7006, num_videos=16)
"""For what is compared by intervals over whole videos: six do not decide."""
LONG_TRAIN_ARCHIVE = replace(LONG_TEST_ARCHIVE, seed=7004, split="train")
"""For the thresholds and heads that are fitted before the test archive is looked at."""


def long_archive(split: Split) -> Path:
    """An archive of videos of ten minutes with actions of half a second to a minute, rendered now if need be."""
    return cached_archive(LONG_TEST_ARCHIVE if split == "test" else LONG_TRAIN_ARCHIVE)


def cached_archive(config: ArchiveConfig) -> Path:
    """The archive of these settings, rendered now if it is not there yet or was left unfinished."""
    name = f"{config.split}-{config.seed}-{config.num_videos}x{config.video_s:g}s-{config.width_px}x{config.height_px}"
    if config.longest_action_s is not None:
        name += f"-actions-to-{config.longest_action_s:g}s"
    folder = cache_folder() / "archives" / f"{name}-{config.repertoire}"
    if (folder / "narrations.csv").is_file():
        return folder
    console = Console(stderr=True)
    console.print(f"rendering {config.num_videos} videos of {config.video_s:g} s into {folder}, once", highlight=False)
    done: list[str] = []

    def report(video_uid: str) -> None:
        done.append(video_uid)
        console.print(f"  {len(done)}: {video_uid}", highlight=False)

    write_archive(config, folder, workers=os.cpu_count() or 1, on_video=report)
    return folder
