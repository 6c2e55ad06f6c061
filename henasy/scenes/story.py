"""What an archive needs of a repertoire: its taxonomies, and stories that can be staged and told."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from henasy.scenes.hands import Side
from henasy.scenes.mesh import Colour
from henasy.scenes.renderer import Renderer
from henasy.scenes.split import Split
from henasy.scenes.wording import VerbRow


class NounRow(NamedTuple):
    """One class of objects."""

    label: str
    words: tuple[str, ...]


class Told(NamedTuple):
    """One narrated action."""

    start_s: float
    end_s: float
    text: str
    verb_phrase: str
    verb: str
    """The verb's word, which may differ from its label"""
    verb_label: str
    nouns: tuple[str, ...]
    """The object's noun, then what else is named"""
    colour: str
    side: Side
    object_id: int
    partner_id: int | None = None
    """Instance of what the object is related to"""


class Stage(Protocol):
    """One video's bodies and their poses as a function of time."""

    @property
    def fov_deg(self) -> float:
        """Horizontal field of view."""

    @property
    def instances(self) -> Sequence[tuple[int, str, str]]:
        """Rows of (instance, noun, colour); the colours of hands and tools are empty."""

    def load(self, renderer: Renderer) -> None:
        """Gives every body of the video to the renderer."""

    def poses(self, time_s: float) -> dict[str, NDArray[np.float64]]:
        """(4, 4) body to world of every visible body."""

    def eye(self, time_s: float) -> NDArray[np.float64]:
        """(4, 4) camera to world."""


class Story(Protocol):
    """What happens in one video."""

    def stage(self, rng: np.random.Generator) -> Stage:
        """The scene; the generator decides how it looks."""

    def tell(self, rng: np.random.Generator) -> list[Told]:
        """Its actions in order of time; the generator decides the wording."""


class Repertoire(NamedTuple):
    """All that archives of one kind are made of."""

    nouns: tuple[NounRow, ...]
    """Without the hands"""
    verbs: tuple[VerbRow, ...]
    colours: Mapping[str, Colour]
    write: Callable[[np.random.Generator, float, Split, float | None], Story]
    """The story of a video from (generator, length in seconds, split, longest action)"""
