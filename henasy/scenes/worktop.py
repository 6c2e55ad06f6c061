"""The first repertoire: 14 kinds of object on a bare worktop, 11 verbs, one hand at a time."""

from typing import NamedTuple

import numpy as np

from henasy.scenes.actions import VERBS
from henasy.scenes.combinations import COLOURS, is_held_out_action, is_held_out_colour
from henasy.scenes.long_script import write_long_script
from henasy.scenes.narrate import narrate
from henasy.scenes.script import Script, write_script
from henasy.scenes.shapes import KINDS
from henasy.scenes.split import Split
from henasy.scenes.stage import Stage
from henasy.scenes.story import NounRow, Repertoire, Told
from henasy.scenes.wording import VerbRow, Wording

_ALSO_TRUE = {"shake": frozenset({"lift", "put"}), "tilt": frozenset({"lift", "put", "turn"})}
"""What is tilted or shaken is raised and set down again."""


class WorktopStory(NamedTuple):
    """What happens in one video."""

    script: Script

    def stage(self, rng: np.random.Generator) -> Stage:
        """The scene; the generator decides how it looks."""
        return Stage(self.script, rng)

    def tell(self, rng: np.random.Generator) -> list[Told]:
        """Its actions in order of time; the generator decides the wording."""
        told = []
        for event in self.script.events:
            thing = self.script.things[event.thing]
            said = narrate(rng, event, thing)
            told.append(
                Told(
                    start_s=event.start_s,
                    end_s=event.end_s,
                    text=said.text,
                    verb_phrase=said.verb_phrase,
                    verb=said.verb,
                    verb_label=event.verb,
                    nouns=said.nouns,
                    colour=thing.colour,
                    side=event.side,
                    object_id=event.thing + 1,
                )
            )
        return told


def _write(rng: np.random.Generator, duration_s: float, split: Split, longest_s: float | None) -> WorktopStory:
    if longest_s is None:
        return WorktopStory(write_script(rng, duration_s, split))
    return WorktopStory(write_long_script(rng, duration_s, split, longest_s))


WORKTOP = Repertoire(
    nouns=tuple(NounRow(kind.noun, kind.words) for kind in KINDS),
    verbs=tuple(
        VerbRow(
            verb.label,
            verb.words,
            tuple(Wording(*wording) for wording in verb.wordings),
            tool=verb.tool,
            has_partner=False,
            also_true=_ALSO_TRUE.get(verb.label, frozenset()),
        )
        for verb in VERBS
    ),
    colours=COLOURS,
    has_partners=False,
    write=_write,
    is_held_out_action=is_held_out_action,
    is_held_out_colour=is_held_out_colour,
)
