"""The story of one video: who stands where, and which hand does what when.

A script is pure data drawn from a random generator; `stage.py` turns it into poses.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from henasy.scenes.actions import VERB_OF, VERBS, Rest, is_possible, rest_after
from henasy.scenes.combinations import COLOURS, is_held_out_action, is_held_out_colour
from henasy.scenes.hands import Side
from henasy.scenes.shapes import KINDS, Kind
from henasy.scenes.split import Split

REACH_SHARE = 0.16
LONGEST_REACH_S = 0.55
_COLUMNS = (-2.45, 0.0, 2.45)
_DEPTHS = (-0.5, 1.1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thing:
    """One object of a scene."""

    kind: Kind
    colour: str
    is_handled: bool
    """False for what stands at the back and is never touched"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """One action."""

    start_s: float
    end_s: float
    verb: str
    thing: int
    """Row in `Script.things`"""
    side: Side
    before: tuple[Rest, ...]
    """Every thing before the action"""
    after: tuple[Rest, ...]

    @property
    def outwards(self) -> float:
        """+1 for the right hand, -1 for the left."""
        return 1.0 if self.side == "right" else -1.0

    @property
    def tool(self) -> str | None:
        """Noun of what the hand holds."""
        return VERB_OF[self.verb].tool


class Table(NamedTuple):
    """What stands on the worktop from a time on."""

    start_s: float
    things: range
    """Rows in `Script.things`"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Script:
    """One video."""

    duration_s: float
    things: tuple[Thing, ...]
    """Of every table"""
    start: tuple[Rest, ...]
    events: tuple[Event, ...]
    tables: tuple[Table, ...]
    """In order of time, the first from 0 s; an action belongs to one of them"""

    def table_at(self, time_s: float) -> Table:
        """What stands on the worktop at a time."""
        return [table for table in self.tables if table.start_s <= time_s][-1]


def write_script(rng: np.random.Generator, duration_s: float, split: Split) -> Script:
    """A story for one video; equal generators give equal stories."""
    things, start = set_table(rng, split)
    return Script(
        duration_s=duration_s,
        things=things,
        start=start,
        events=_act(rng, things, start, duration_s, split),
        tables=(Table(0.0, range(len(things))),),
    )


def set_table(rng: np.random.Generator, split: Split) -> tuple[tuple[Thing, ...], tuple[Rest, ...]]:
    """Things for one table, and how they stand."""
    num_back = int(rng.integers(0, 3))
    kinds = [KINDS[row] for row in rng.permutation(len(KINDS))[: len(_COLUMNS) + num_back]]
    things, rests = [], []
    for row, kind in enumerate(kinds):
        is_handled = row < len(_COLUMNS)
        things.append(Thing(kind=kind, colour=_colour(rng, kind, split), is_handled=is_handled))
        jitter_x, jitter_y = rng.uniform(-0.2, 0.2, size=2)
        if is_handled:
            x, y = _COLUMNS[row], _DEPTHS[int(rng.integers(2))]
        else:
            x, y = (-1.6, 1.6)[row - len(_COLUMNS)], 4.4
        rests.append(Rest(x + jitter_x, y + jitter_y, 0.0, float(rng.uniform(-60, 60)), False, False))
    return tuple(things), tuple(rests)


def _colour(rng: np.random.Generator, kind: Kind, split: Split) -> str:
    names = [name for name in COLOURS if split == "test" or not is_held_out_colour(kind.noun, name)]
    return names[int(rng.integers(len(names)))]


def _act(
    rng: np.random.Generator, things: tuple[Thing, ...], start: tuple[Rest, ...], duration_s: float, split: Split
) -> tuple[Event, ...]:
    events: list[Event] = []
    rests, time_s = start, float(rng.uniform(0.3, 0.8))
    counts = dict.fromkeys(VERB_OF, 0)
    while True:
        row = choose_thing(rng, things, rests, events)
        kind = things[row].kind
        verb = choose_verb(rng, kind, possible_verbs(kind, rests[row], split), counts, split)
        end_s = time_s + float(rng.triangular(1.5, 1.9, 3.4))
        if end_s > duration_s - 0.2:
            return tuple(events)
        if verb is None:
            continue
        counts[verb] += 1
        side = events[-1].side if rests[row].is_held else choose_side(rng, rests[row].x)
        events.append(act_once(verb, row, side, rests, (time_s, end_s)))
        rests, time_s = events[-1].after, end_s + float(rng.uniform(0.3, 0.9))


def act_once(verb: str, thing: int, side: Side, rests: tuple[Rest, ...], span: tuple[float, float]) -> Event:
    """One action from its start to its end in seconds, and how it leaves things."""
    after = list(rests)
    after[thing] = rest_after(verb, rests[thing], 1.0 if side == "right" else -1.0)
    return Event(
        start_s=round(span[0], 3),
        end_s=round(span[1], 3),
        verb=verb,
        thing=thing,
        side=side,
        before=rests,
        after=tuple(after),
    )


def choose_thing(
    rng: np.random.Generator, things: tuple[Thing, ...], rests: tuple[Rest, ...], events: list[Event]
) -> int:
    """Row of what is handled next: what is held, else often the same again."""
    held = [row for row, rest in enumerate(rests) if rest.is_held]
    if held:
        return held[0]
    if events and rng.random() < 0.25:
        return events[-1].thing
    return int(rng.integers(sum(thing.is_handled for thing in things)))


def possible_verbs(kind: Kind, rest: Rest, split: Split) -> list[str]:
    """Labels of what can be done to an object as it stands, in this split."""
    return [
        verb.label
        for verb in VERBS
        if is_possible(verb.label, kind, rest) and (split == "test" or not is_held_out_action(kind.noun, verb.label))
    ]


def choose_verb(
    rng: np.random.Generator, kind: Kind, labels: list[str], counts: dict[str, int], split: Split
) -> str | None:
    """One of the labels, rare ones first; None when there is none."""
    if not labels:
        return None
    # In test archives what training never showed comes up three times as often, so that it can be measured.
    weights = np.array(
        [
            (3.0 if split == "test" and is_held_out_action(kind.noun, label) else 1.0) / (1 + counts[label]) ** 2
            for label in labels
        ]
    )
    return labels[int(rng.choice(len(labels), p=weights / weights.sum()))]


def choose_side(rng: np.random.Generator, x: float) -> Side:
    """The hand that acts on something at `x`, mostly the nearer one."""
    share_right = 0.5 if abs(x) < 1 else (0.88 if x > 0 else 0.12)
    return "right" if rng.random() < share_right else "left"
