"""The household repertoire as archives take it: stories that can be staged and told, and the taxonomies."""

from typing import NamedTuple

import numpy as np

from henasy.scenes.household.combinations import COLOURS
from henasy.scenes.household.kinds import KINDS
from henasy.scenes.household.narrate import narrate
from henasy.scenes.household.script import Script, write_script
from henasy.scenes.household.stage import Stage
from henasy.scenes.household.verbs import VERBS
from henasy.scenes.split import Split
from henasy.scenes.story import NounRow, Repertoire, Told
from henasy.scenes.wording import VerbRow


class HouseholdStory(NamedTuple):
    """What happens in one video."""

    script: Script

    def stage(self, rng: np.random.Generator) -> Stage:
        """The scene; the generator decides how it looks."""
        return Stage(self.script, rng)

    def tell(self, rng: np.random.Generator) -> list[Told]:
        """Its actions in order of time; the generator decides the wording."""
        told = []
        for event in self.script.events:
            said = narrate(rng, self.script, event)
            told.append(
                Told(
                    start_s=event.start_s,
                    end_s=event.end_s,
                    text=said.text,
                    verb_phrase=said.verb_phrase,
                    verb=said.verb,
                    verb_label=event.verb,
                    nouns=said.nouns,
                    colour=self.script.things[event.thing].colour,
                    side=event.side,
                    object_id=event.thing + 1,
                    partner_id=None if event.partner is None else event.partner + 1,
                )
            )
        return told


def _write(rng: np.random.Generator, duration_s: float, split: Split, longest_s: float | None) -> HouseholdStory:
    return HouseholdStory(write_script(rng, duration_s, split, longest_s))


HOUSEHOLD = Repertoire(
    nouns=tuple(NounRow(kind.noun, kind.words) for kind in KINDS),
    verbs=tuple(
        VerbRow(verb.label, verb.words, verb.wordings, verb.tool, verb.has_partner, verb.also_true) for verb in VERBS
    ),
    colours=COLOURS,
    write=_write,
)
