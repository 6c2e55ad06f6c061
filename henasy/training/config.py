"""What a training run is set to; wrong values are refused before a device is touched."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from henasy.errors import ConfigError

PRECISIONS = ("float32", "bfloat16", "float16")
FREE = (
    "is_recomputing",
    "num_prefetched",
    "log_every",
    "evaluate_every",
    "checkpoint_every",
    "num_kept",
    "best_metric",
    "has_tensorboard",
)
"""Settings that leave the weights as they are, so that a run may go on with others."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one stage of training. Stored in every training checkpoint."""

    num_steps: int
    """Optimiser steps of the whole run; the cosine ends here."""
    batch_size: int = 64
    """Anchors per step, of all processes together. Each brings a hard negative from its own video, so the contrast is
    over twice as many."""
    num_micro_batches: int = 1
    """Parts a step's batch is cut into to save memory; every process makes its share of each."""
    is_joint_contrast: bool = False
    """Whether the contrast is over all parts of a step, for which each goes through the model twice, or within each."""
    is_recomputing: bool = False
    """Whether blocks are computed again in the backward pass instead of keeping what it needs (activation
    checkpointing)."""
    is_compiled: bool = False
    """Whether blocks are compiled (torch.compile); steps are then not the same to the last bit."""
    num_prefetched: int = 1
    """Steps whose batches are made ahead, each in a thread of its own."""
    learning_rate: float = 3e-5
    """Peak learning rate, reached after the warm-up. The paper trains at a fixed 3e-5."""
    min_learning_rate_ratio: float = 0.0
    """Learning rate at the end of the cosine, as a share of the peak; 1.0 keeps it fixed."""
    num_warmup_steps: int = 0
    """Steps over which the learning rate rises linearly."""
    weight_decay: float = 0.01
    """AdamW decay of matrices; vectors, norms and tokens are not decayed."""
    beta2: float = 0.98
    """Second AdamW coefficient."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this L2 norm."""
    precision: str = "float32"
    """Autocast type: float32 (none), bfloat16, or float16 (CUDA only, with loss scaling)."""
    seed: int = 0
    """With the step number it fixes batches, crops, dropped patches and Gumbel noise."""
    keep_patches: float = 1.0
    """Share of patch positions the encoder sees in a step (stage one); the rest are left out in all frames."""
    recolour: float = 0.0
    """Share of clips whose colour channels are swapped, the same way in all frames, so that shape must count; a clip
    whose narration names a colour is left alone."""
    backwards: float = 0.0
    """Share of the clips whose action another verb undoes that are played backwards and narrated by that verb."""
    undone_negatives: float = 0.0
    """Share of the same clips whose hard negative is the clip itself the other way round."""
    log_every: int = 10
    """Steps between two lines of the log."""
    evaluate_every: int = 200
    """Steps between two evaluations; 0 evaluates only at the end."""
    checkpoint_every: int = 100
    """Steps between two checkpoints."""
    num_kept: int = 2
    """Newest checkpoints that are kept."""
    best_metric: str = ""
    """Score of the evaluations, higher is better, by which the best checkpoint is kept too; none if empty."""
    has_tensorboard: bool = False
    """Whether the log is also written for TensorBoard."""

    def __post_init__(self) -> None:
        counts = ("num_steps", "batch_size", "num_micro_batches", "num_prefetched", "log_every", "checkpoint_every")
        for name in (*counts, "num_kept"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("evaluate_every", "num_warmup_steps", "weight_decay", "seed"):
            _require(name, getattr(self, name), getattr(self, name) >= 0, "at least 0")
        for name in ("learning_rate", "max_grad_norm"):
            _require(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        ratio = self.min_learning_rate_ratio
        _require("min_learning_rate_ratio", ratio, 0 <= ratio <= 1, "in [0, 1]")
        _require("keep_patches", self.keep_patches, 0 < self.keep_patches <= 1, "in (0, 1]")
        for name in ("recolour", "backwards", "undone_negatives"):
            _require(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "in [0, 1]")
        _require("beta2", self.beta2, 0 < self.beta2 < 1, "in (0, 1)")
        _require("precision", self.precision, self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        _require(
            "batch_size",
            self.batch_size,
            self.batch_size % self.num_micro_batches == 0,
            f"a multiple of num_micro_batches={self.num_micro_batches}",
        )

    def require_forwards(self, why: str) -> None:
        """Refuses to play clips backwards where nothing says what undoes an action.

        Raises:
            ConfigError: `backwards` or `undone_negatives` is set.
        """
        for name in ("backwards", "undone_negatives"):
            _require(name, getattr(self, name), getattr(self, name) == 0, f"0: {why}")

    def changes(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """Settings that another run of the same steps would not share, with the other's value and this one's."""
        ours, theirs = self.to_dict(), other.to_dict()
        return {name: (theirs[name], ours[name]) for name in ours if name not in FREE and ours[name] != theirs[name]}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored in a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config that `to_dict` described.

        Raises:
            ConfigError: a key is unknown, or a value is not allowed.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"training config: unknown keys {unknown}; known are {sorted(known)}")
        return cls(**values)


def _require(name: str, value: object, is_allowed: bool, allowed: str) -> None:
    if not is_allowed:
        raise ConfigError(f"{name} is {value!r}; it must be {allowed}")
