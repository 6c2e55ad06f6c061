"""What every row of one index has in common."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from henasy.errors import ConfigError, IndexFormatError, SpaceMismatchError
from henasy.video.decode import DECODERS
from henasy.video.plan import ClipPlan

KINDS = ("henasy", "dual")


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """The space, the plan and the sizes that all parts of an index share."""

    kind: str
    """`henasy` (clips and entities) or `dual` (clips only)."""
    space_id: str
    """Names weights and preprocessing; embeddings of two spaces never meet."""
    model: str
    """What the model was called when the index was built; for people, never compared."""
    plan: ClipPlan
    """How videos were cut into clips."""
    width: int
    """Components of an embedding (D)."""
    num_entities: int
    """Entity slots per clip (E); 0 for `dual`."""
    grid: tuple[int, int]
    """Patches per frame, (rows, columns)."""
    decoder: str = "pyav"
    """What decoded the videos: two decoders differ in the last bits of a picture, and on damaged files in more."""

    is_full_hash: bool = False
    """Whether a video is known by all of its bytes instead of its size and sampled blocks."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"kind: {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.width < 1:
            raise ConfigError(f"width: {self.width} is not at least 1")
        if not 0 <= self.num_entities <= 256:
            raise ConfigError(f"num_entities: {self.num_entities} is not in 0..256")
        if (self.kind == "dual") != (self.num_entities == 0):
            raise ConfigError(f"num_entities: {self.num_entities} does not fit kind {self.kind!r}")
        if self.decoder not in DECODERS:
            raise ConfigError(f"decoder: {self.decoder!r} is not one of {', '.join(DECODERS)}")
        if min(self.grid) < 1:
            raise ConfigError(f"grid: {self.grid} is not at least 1x1")

    @property
    def num_frames(self) -> int:
        """Frames per clip (T)."""
        return self.plan.num_frames

    @property
    def num_patches(self) -> int:
        """Patches per frame (K)."""
        return self.grid[0] * self.grid[1]

    @property
    def space_key(self) -> str:
        """A short name of space, plan and decoder together, for staging files."""
        return hashlib.sha256(f"{self.space_id}\n{self.plan.plan_id}\n{self.decoder}".encode()).hexdigest()[:12]

    def require_same(self, other: "IndexSettings") -> None:
        """Passes when rows made under `other` may join rows made under these settings.

        Raises:
            SpaceMismatchError: the spaces, the plans, the decoders or the forms of fingerprint differ; both are named.
        """
        if other.num_frames != self.num_frames:
            raise SpaceMismatchError(
                f"the index holds clips of {self.num_frames} frames, this run asks for {other.num_frames}; "
                f"use --frames {self.num_frames} or another --index"
            )
        if other.space_id != self.space_id and other.model == self.model:
            raise SpaceMismatchError(
                f"the index holds space {self.space_id} of {self.model}, this run makes space {other.space_id}: "
                f"the weights of {self.model} have changed since the index was made; "
                "build again into another --index, or pass --model with the old weights"
            )
        if other.space_id != self.space_id:
            raise SpaceMismatchError(
                f"the index holds space {self.space_id} (model {self.model}), "
                f"this run makes space {other.space_id} (model {other.model}); use another --index"
            )
        if other.plan != self.plan:
            raise SpaceMismatchError(
                f"the index holds plan {self.plan.plan_id} ({self.plan}), "
                f"this run asks for plan {other.plan.plan_id} ({other.plan}); use another --index"
            )
        if other.decoder != self.decoder:
            raise SpaceMismatchError(
                f"the index holds clips decoded by {self.decoder}, this run decodes with {other.decoder}; "
                f"use --decoder {self.decoder} or another --index"
            )
        if other.is_full_hash != self.is_full_hash:
            forms = {False: "sampled blocks (without --full-hash)", True: "all bytes (--full-hash)"}
            raise SpaceMismatchError(
                f"the index knows its videos by {forms[self.is_full_hash]}, this run by {forms[other.is_full_hash]}; "
                "build it the same way or use another --index"
            )

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values, with the plan's id beside its numbers."""
        content = dataclasses.asdict(self)
        content["grid"] = list(self.grid)
        content["plan_id"] = self.plan.plan_id
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "IndexSettings":
        """The settings that `to_json` wrote.

        Raises:
            IndexFormatError: a key is missing, unknown or has a value that is not allowed.
        """
        values = dict(content)
        try:
            plan_id = values.pop("plan_id")
            values["plan"] = ClipPlan(**values["plan"])
            values["grid"] = tuple(values["grid"])
            settings = cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise IndexFormatError(f"settings: cannot be read: {error}") from error
        if settings.plan.plan_id != plan_id:
            raise IndexFormatError(f"settings: plan_id {plan_id} is not that of {settings.plan}")
        return settings
