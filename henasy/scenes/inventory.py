"""What a rendered archive holds, measured on its files: how many, how long, how large, and how much is covered."""

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import NotFoundError
from henasy.scenes.archive import ArchiveConfig, read_config
from henasy.scenes.renderer import Renderer, open_renderer
from henasy.scenes.story import Stage
from henasy.scenes.truth import NarratedSpan, Truth

_SHARES = (0.125, 0.375, 0.625, 0.875)
"""Where in a clip a model looks that takes four frames"""


class Inventory(NamedTuple):
    """N narrations, F frames: four of each."""

    verbs: Counter[str]
    nouns: Counter[str]
    num_texts: int
    lengths_s: NDArray[np.float64]
    """(N,) of actions"""
    is_seen: NDArray[np.bool_]
    """(F,) whether the handled object is in view"""
    covered: NDArray[np.float64]
    """(F,) share of what the object alone would cover that something else hides; NaN where it is out of view"""
    widths: NDArray[np.float64]
    """(F,) of the object's box, as a share of the frame's; NaN where it is not seen"""
    num_in_view: NDArray[np.int64]
    """(F,) objects, tools and hands"""


class _Seen(NamedTuple):
    """The handled object in one frame."""

    is_seen: bool
    covered: float
    width: float
    num_in_view: int


def take_inventory(folder: Path, num_videos: int | None = None) -> Inventory:
    """What an archive holds; every object is drawn once more by itself to see how much of it is covered.

    Args:
        folder: a finished archive.
        num_videos: how many are looked at, the first ones; None for all.

    Raises:
        ConfigError: the folder is no archive.
        NotFoundError: the archive is not finished.
    """
    config, path = read_config(folder), folder / "narrations.csv"
    if not path.exists():
        raise NotFoundError(f"{folder} has no narrations.csv: it is an archive that is not finished")
    uids = [config.video_uid(number) for number in range(config.num_videos)][:num_videos]
    with path.open(newline="") as file:
        lines = [line for line in csv.DictReader(file, delimiter="\t") if line["video_uid"] in uids]
    seen = [found for number, uid in enumerate(uids) for found in _seen_in(config, number, Truth.open(folder, uid))]
    return Inventory(
        verbs=Counter(line["verb_label"] for line in lines),
        nouns=Counter(line["noun"] for line in lines),
        num_texts=len({line["clip_text"] for line in lines}),
        lengths_s=np.array([float(line["clip_end"]) - float(line["clip_start"]) for line in lines]),
        is_seen=np.array([found.is_seen for found in seen], bool),
        covered=np.array([found.covered for found in seen], float),
        widths=np.array([found.width for found in seen], float),
        num_in_view=np.array([found.num_in_view for found in seen], np.int64),
    )


def _seen_in(config: ArchiveConfig, number: int, truth: Truth) -> list[_Seen]:
    stage = config.stage(number)
    with open_renderer(config.width_px, config.height_px, stage.fov_deg) as renderer:
        stage.load(renderer)
        return [
            _seen_at(renderer, stage, truth, narration, row)
            for narration in truth.narrations
            for row in _truth_rows(truth, narration)
        ]


def _truth_rows(truth: Truth, narration: NarratedSpan) -> list[int]:
    """Rows of the truth nearest to the moments."""
    wanted = [narration.start_s + share * (narration.end_s - narration.start_s) for share in _SHARES]
    return [int(np.argmin(np.abs(truth.times_s - time_s))) for time_s in wanted]


def _seen_at(renderer: Renderer, stage: Stage, truth: Truth, narration: NarratedSpan, row: int) -> _Seen:
    mask = truth.ids[row] == narration.instance
    time_s, body = float(truth.times_s[row]), narration.instance - 1
    own = {name: pose for name, pose in stage.poses(time_s).items() if name in (f"thing{body}", f"lid{body}")}
    ids = renderer.render(own, stage.eye(time_s), has_ids=True).ids
    assert ids is not None
    whole = int((ids == narration.instance).sum())
    columns = np.flatnonzero(mask.any(axis=0))
    return _Seen(
        is_seen=bool(mask.any()),
        covered=1 - int(mask.sum()) / whole if whole else float("nan"),
        width=(columns[-1] + 1 - columns[0]) / mask.shape[1] if len(columns) else float("nan"),
        num_in_view=len(np.unique(truth.ids[row][truth.ids[row] > 0])),
    )


def told(inventory: Inventory) -> str:
    """The inventory in lines of text."""
    lengths, widths = inventory.lengths_s, inventory.widths[~np.isnan(inventory.widths)]
    covered = inventory.covered[~np.isnan(inventory.covered)]
    lines = [
        f"narrations        {len(lengths):,}, {inventory.num_texts:,} different texts",
        f"actions           {_percentiles(lengths, 's')}",
        f"object in view    {inventory.is_seen.mean():.1%} of frames",
        f"box's width       {_percentiles(100 * widths, '% of the frame')}; {np.mean(widths >= 0.08):.1%} at least 8 %",
        f"covered by others {np.mean(covered):.0%} of an object; "
        + ", ".join(f"over {share:.0%} in {np.mean(covered > share):.0%}" for share in (0.25, 0.5, 0.75))
        + " of frames",
        f"in view           {_percentiles(inventory.num_in_view.astype(float), 'objects, tools and hands')}",
    ]
    for name, counts in (("verbs", inventory.verbs), ("nouns", inventory.nouns)):
        lines.append(f"{len(counts)} {name}: " + ", ".join(f"{label} {num}" for label, num in counts.most_common()))
    return "\n".join(lines)


def _percentiles(values: NDArray[np.float64], unit: str) -> str:
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f"{low:.3g} to {high:.3g} {unit}, median {middle:.3g} (5th to 95th percentile)"
