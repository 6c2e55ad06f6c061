"""What all sections of a config have in common: a round trip through JSON, and refusals that name the setting."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Self, get_args, get_type_hints

from henasy.errors import ConfigError

# Settings that came later are stored only when they say something, so that a space keeps its name.
UNSTORED_DEFAULT = {"is_stored_at_default": False}


def require(is_allowed: bool, owner: object, name: str, allowed: str) -> None:
    """Refuses a setting of `owner` by its name and value."""
    if not is_allowed:
        value = getattr(owner, name)
        raise ConfigError(f"{type(owner).__name__}.{name} is {value!r}; allowed: {allowed}")


def require_positive(owner: object, *names: str) -> None:
    """Refuses settings that are not finite numbers above 0."""
    for name in names:
        value = getattr(owner, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        require(is_number and math.isfinite(value) and value > 0, owner, name, "a number above 0")


def require_heads(owner: object, width: int, heads: int) -> None:
    """Refuses a number of heads that does not divide the width."""
    require(width % heads == 0, owner, "heads", f"a divisor of the width {width}")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A group of settings that survives a round trip through JSON."""

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values, nested sections as nested mappings."""
        return {
            item.name: value.to_dict() if isinstance(value, Section) else value
            for item in dataclasses.fields(self)
            for value in [getattr(self, item.name)]
            if value != item.default or item.metadata.get("is_stored_at_default", True)
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The section that `to_dict` wrote.

        Raises:
            ConfigError: a name is unknown or missing, or a value has the wrong type or range.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{cls.__name__} is {values!r}; allowed: a mapping")
        types = get_type_hints(cls)
        fields = {item.name: item for item in dataclasses.fields(cls)}
        _refuse_names(cls.__name__, set(values), fields)
        return cls(**{name: _typed(cls.__name__, name, types[name], value) for name, value in values.items()})


def _refuse_names(owner: str, given: set[str], fields: Mapping[str, "dataclasses.Field[Any]"]) -> None:
    if unknown := sorted(given - set(fields)):
        raise ConfigError(f"{owner} has no setting {unknown}; allowed: {sorted(fields)}")
    no_default = {
        name
        for name, item in fields.items()
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    }
    if missing := sorted(no_default - given):
        raise ConfigError(f"{owner} lacks the settings {missing}")


def _typed(owner: str, name: str, expected: Any, value: Any) -> Any:
    if isinstance(expected, UnionType):
        expected = _text_section(expected, value)
    if isinstance(expected, type) and issubclass(expected, Section):
        return expected.from_dict(value)
    is_number = expected is float and isinstance(value, int) and not isinstance(value, bool)
    if is_number:
        return float(value)
    if type(value) is not expected:
        raise ConfigError(f"{owner}.{name} is {value!r}; allowed: a value of type {expected.__name__}")
    return value


def _text_section(options: UnionType, value: Any) -> Any:
    """Of the sections that may stand here the one that knows a `tower` if the value names one, else the one without."""
    has_tower = isinstance(value, Mapping) and "tower" in value
    return next(o for o in get_args(options) if ("tower" in {f.name for f in dataclasses.fields(o)}) == has_tower)
