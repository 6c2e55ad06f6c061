"""The story of a long video: actions of half a second to a minute, rests between, and a worktop that is laid anew.

Lengths are log-uniform as far as verbs allow: only what repeats (shaking, stirring, wiping) can fill a minute. Without
new tables ten minutes would show the same few actions over and over, and hardly a question about them one answer.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from henasy.scenes.actions import VERB_OF, Rest
from henasy.scenes.script import (
    Event,
    Script,
    Table,
    Thing,
    act_once,
    choose_side,
    choose_thing,
    choose_verb,
    possible_verbs,
    set_table,
)
from henasy.scenes.split import Split

SHORTEST_S = 0.5
_TABLE_S = (50.0, 90.0)
_REST_S = (0.4, 6.0)
_TAIL_S = 0.2


class _Part(NamedTuple):
    """One table's share of a video; events count its things from 0."""

    start_s: float
    things: tuple[Thing, ...]
    start: tuple[Rest, ...]
    events: tuple[Event, ...]


def write_long_script(rng: np.random.Generator, duration_s: float, split: Split, longest_s: float) -> Script:
    """A story for one video; equal generators give equal stories.

    Args:
        rng: of this video.
        duration_s: of the video.
        split: test stories also show the combinations that training never does.
        longest_s: of one action.
    """
    parts: list[_Part] = []
    counts = dict.fromkeys(VERB_OF, 0)
    laid_s, time_s = 0.0, _draw_log(rng, *_REST_S)
    while time_s < duration_s - _TAIL_S - SHORTEST_S:
        things, start = set_table(rng, split)
        ends_s = (time_s + float(rng.uniform(*_TABLE_S)), duration_s - _TAIL_S)
        events = _act(rng, things, start, time_s, ends_s, split, longest_s, counts)
        parts.append(_Part(laid_s, things, start, tuple(events)))
        rest_s = _draw_log(rng, *_REST_S)
        laid_s, time_s = (events[-1].end_s + share * rest_s for share in (0.5, 1.0))
    return _joined(parts, duration_s)


def _act(
    rng: np.random.Generator,
    things: tuple[Thing, ...],
    start: tuple[Rest, ...],
    time_s: float,
    ends_s: tuple[float, float],
    split: Split,
    longest_s: float,
    counts: dict[str, int],
) -> list[Event]:
    """Actions at one table, at least one, from `time_s` until the first end with nothing held, or the last end."""
    events: list[Event] = []
    rests = start
    while time_s < ends_s[1] - SHORTEST_S and (time_s < ends_s[0] or any(rest.is_held for rest in rests)):
        length_s = _draw_log(rng, SHORTEST_S, min(longest_s, ends_s[1] - time_s))
        row = choose_thing(rng, things, rests, events)
        again = events[-1].verb if events and events[-1].thing == row else None
        labels = [
            label
            for label in possible_verbs(things[row].kind, rests[row], split)
            # Twice the same in a row would be one action to whoever looks.
            if label != again and VERB_OF[label].longest_s >= length_s
        ]
        verb = choose_verb(rng, things[row].kind, labels, counts, split)
        if verb is None:
            continue
        counts[verb] += 1
        side = events[-1].side if rests[row].is_held else choose_side(rng, rests[row].x)
        events.append(act_once(verb, row, side, rests, (time_s, time_s + length_s)))
        rests, time_s = events[-1].after, events[-1].end_s + _draw_log(rng, *_REST_S)
    return events


def _joined(parts: list[_Part], duration_s: float) -> Script:
    things = tuple(thing for part in parts for thing in part.things)
    start = tuple(rest for part in parts for rest in part.start)
    tables: list[Table] = []
    events: list[Event] = []
    for part in parts:
        first = tables[-1].things.stop if tables else 0
        rows = range(first, first + len(part.things))
        tables.append(Table(part.start_s, rows))
        for event in part.events:
            before, after = (
                (*start[: rows.start], *rests, *start[rows.stop :]) for rests in (event.before, event.after)
            )
            events.append(dataclasses.replace(event, thing=first + event.thing, before=before, after=after))
    return Script(duration_s=duration_s, things=things, start=start, events=tuple(events), tables=tuple(tables))


def _draw_log(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))
