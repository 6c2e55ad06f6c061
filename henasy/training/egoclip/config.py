"""What training on EgoClip is set to; the defaults are the paper's, or say where they come from."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from henasy.errors import ConfigError
from henasy.losses.total import LossWeights
from henasy.video.views import CROPS

MOMENTS = ("random", "middle")
TOLERANCES = ("max_missing_share", "max_refused_share")
"""Settings that only say when a run stops, so that it may go on with others."""


class EgoClipFiles(NamedTuple):
    """Where the data lie."""

    annotations: Path
    """`egoclip.csv`."""
    videos: Path
    """Folder of videos, whole or in chunks."""
    taxonomy: Path
    """Folder with the two CSV files of the taxonomy."""
    boxes: Path | None = None
    """Parquet of `henasy-train boxes`."""
    phrases: Path | None = None
    """Parquet of `henasy-train phrases`."""


@dataclass(frozen=True, kw_only=True)
class EgoClipRecipe:
    """What is learnt from the data and how they are read.

    Stored with the run, which goes on with the same alone, but for `TOLERANCES`.
    """

    num_epochs: float = 5.0
    """Times that every clip is an anchor. Paper, section 5.1."""
    temperature: float = 0.07
    """Of every contrast; LaViLa's frozen one."""
    loss_weights: LossWeights = field(default_factory=LossWeights)
    """0.5, 0.5 and 1.0. Paper."""
    synonym_cosine: float | None = 0.6
    """Nouns nearer than this to the true one, by LaViLa's text features, are no negatives. HelpingHands."""
    segment_s: float = 60.0
    """A hard negative is narrated in the same stretch of this length. EgoVLP."""
    crop: Literal["random", "whole", "center"] = "random"
    """LaViLa's random resized crop; or `whole`, HelpingHands' distorted frame; or `center`."""
    min_area: float = 0.5
    """Least share of the frame's area in a random crop. LaViLa."""
    moments: Literal["random", "middle"] = "random"
    """A random moment of each of T equal parts, LaViLa's and EgoVLP's, or their middles. Clips with boxes are always
    seen at the middles: their boxes were found there."""
    hand_word: str | None = None
    """Word of the taxonomy that names boxes of hands, so that they are matched together with nouns; the paper's boxes
    have no names."""
    box_weight: float = 0.0
    """Weight of named boxes against the cosine when nouns meet entities; the paper's matching has none."""
    numbered_chunk_s: int = 600
    """Length of the chunks of `<uid>/<number>.mp4`. EgoVLP."""
    max_missing_share: float = 0.01
    """Largest share of the clips that may be left out because their times or files are wrong."""
    max_refused_share: float = 0.01
    """Largest share of the clips asked for that may turn out to be undecodable."""

    def __post_init__(self) -> None:
        _require_above_zero(self, "num_epochs", "temperature", "segment_s", "numbered_chunk_s")
        _require_share(self, "min_area", "max_missing_share", "max_refused_share")
        for name, allowed in (("crop", CROPS), ("moments", MOMENTS)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}")

    def num_steps(self, num_clips: int, batch_size: int) -> int:
        """Whole batches in all epochs together, at least one."""
        return max(1, int(self.num_epochs * num_clips / batch_size))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored in the run's folder."""
        return asdict(self)


def _require_above_zero(recipe: EgoClipRecipe, *names: str) -> None:
    for name in names:
        if not 0 < getattr(recipe, name) < float("inf"):
            raise ConfigError(f"{name} is {getattr(recipe, name)!r}; it must be above 0")


def _require_share(recipe: EgoClipRecipe, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(recipe, name) <= 1:
            raise ConfigError(f"{name} is {getattr(recipe, name)!r}; it must be in [0, 1]")
