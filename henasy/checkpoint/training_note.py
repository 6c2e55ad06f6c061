"""What a checkpoint says about where its weights come from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from henasy.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class TrainingNote:
    """Origin of the weights; what decides whether a use of them deserves a warning."""

    summary: str
    """One sentence: what the weights were trained on, by whom."""
    is_rendered_only: bool = False
    """Whether the weights have seen nothing but rendered scenes."""
    is_random: bool = False
    """Whether the weights were never trained."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Anything else worth keeping, as JSON values: data sets, steps, scores."""

    def __post_init__(self) -> None:
        types = {"summary": str, "is_rendered_only": bool, "is_random": bool, "details": Mapping}
        for name, expected in types.items():
            if not isinstance(getattr(self, name), expected):
                raise CheckpointError(f"training note: {name} is {getattr(self, name)!r}; allowed: {expected.__name__}")

    def warning(self) -> str | None:
        """What a user with footage of the real world should be told; None when there is nothing to say."""
        if self.is_random:
            return "the weights are random: results carry no meaning, only shapes and speed do"
        if self.is_rendered_only:
            return "the weights were trained on rendered scenes only: do not expect them to understand other footage"
        return None

    def to_dict(self) -> dict[str, Any]:
        """The note as plain JSON values."""
        return {**asdict(self), "details": dict(self.details)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The note that `to_dict` wrote.

        Raises:
            CheckpointError: a name is unknown or missing, or a value has the wrong type.
        """
        known = {item.name for item in fields(cls)}
        if not isinstance(values, Mapping) or set(values) - known or "summary" not in values:
            raise CheckpointError(f"training note: keys are {sorted(values)}; allowed: {sorted(known)}, summary needed")
        return cls(**values)
