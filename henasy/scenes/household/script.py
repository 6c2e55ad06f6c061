"""The story of one video of this repertoire: tables laid one after the other, and which hand does what when."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from henasy.scenes.hands import Side
from henasy.scenes.household.combinations import COLOURS, is_held_out_action, is_held_out_colour
from henasy.scenes.household.kinds import KINDS, Kind
from henasy.scenes.household.states import Deed, Rest, Thing, held_by, other, possible_deeds, rest_after
from henasy.scenes.household.verbs import VERB_OF
from henasy.scenes.split import Split

_NEAR_ROW = ((-2.35, 0.15), (0.0, 0.15), (2.35, 0.15))
_FAR_ROW = ((-1.25, 3.05), (1.25, 3.05))
_CORNERS = ((-4.3, 3.4), (4.3, 3.4))
_TABLE_S = (50.0, 68.0)
_LONG_TABLE_S = (55.0, 90.0)
_MOST_TABLES = 30
"""Of up to seven things each: no more than 255 instances"""
_SHORT_ACTION_S = (1.5, 2.0, 3.4)
_SHORTEST_S = 0.5
_PAUSE_S = (0.25, 0.8)
_LONG_PAUSE_S = (0.4, 6.0)
_TAIL_S = 0.2
_LEAST_TABLE_S = 20.0
_HELD_SHARE, _SAME_SHARE, _ANY_SHARE = 0.65, 0.22, 0.65
"""How often what is held is next; else what was last; else whatever has the rarest action to offer"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """One action."""

    start_s: float
    end_s: float
    verb: str
    thing: int
    """Row in `Script.things`"""
    side: Side
    """The hand that acts; of a hand-over, the one that gives"""
    partner: int | None
    """Row of what the thing is related to"""
    before: tuple[Rest, ...]
    """Every thing before the action"""
    after: tuple[Rest, ...]

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


class _Terms(NamedTuple):
    """What a story keeps to."""

    split: Split
    table_s: tuple[float, float]
    """How long a table stands"""
    longest_s: float | None
    """Of one action; None for short ones"""


def write_script(rng: np.random.Generator, duration_s: float, split: Split, longest_s: float | None) -> Script:
    """A story for one video; equal generators give equal stories.

    Args:
        rng: of this video.
        duration_s: of the video.
        split: test stories also show the combinations that training never does.
        longest_s: of one action, log-uniform from half a second as far as verbs allow; None for 1.5 to 3.4 s.
    """
    shortest_s, longest_table_s = _TABLE_S if longest_s is None else _LONG_TABLE_S
    stretch = max(1.0, duration_s / (_MOST_TABLES * shortest_s))
    terms = _Terms(split, (stretch * shortest_s, stretch * longest_table_s), longest_s)
    tables, things, start, events = list[Table](), list[Thing](), list[Rest](), list[Event]()
    laid_s, time_s = 0.0, float(rng.uniform(0.3, 0.8))
    counts = dict.fromkeys(VERB_OF, 0)
    while time_s < duration_s - _TAIL_S - _SHORTEST_S:
        new = lay_table(rng, split)
        table = Table(laid_s, range(len(things), len(things) + len(new)))
        things += new
        start += [Rest(*thing.home, 0.0, float(rng.uniform(-70, 70))) for thing in new]
        last_s = duration_s - _TAIL_S
        ends_s = (time_s + float(rng.uniform(*terms.table_s)), last_s)
        if last_s - ends_s[0] < _LEAST_TABLE_S:
            ends_s = (last_s, last_s)
        acted = _act(rng, things, tuple(start), table.things, time_s, ends_s, terms, counts)
        tables.append(table)
        if not acted:
            break
        events += acted
        pause_s = _pause(rng, terms)
        laid_s, time_s = events[-1].end_s + 0.5 * pause_s, events[-1].end_s + pause_s
    return Script(
        duration_s=duration_s,
        things=tuple(things),
        start=tuple(start),
        events=tuple(_padded(event, tuple(start)) for event in events),
        tables=tuple(tables),
    )


def _padded(event: Event, start: tuple[Rest, ...]) -> Event:
    """The event with how things of later tables stand."""
    return dataclasses.replace(
        event,
        before=event.before + start[len(event.before) :],
        after=event.after + start[len(event.after) :],
    )


def lay_table(rng: np.random.Generator, split: Split) -> list[Thing]:
    """Things for one table: three near, one or two behind them, up to two in the corners that nobody touches."""
    num_far, num_corner = int(rng.integers(1, 3)), int(rng.integers(0, 3))
    places = [*_NEAR_ROW, *(_FAR_ROW[k] for k in rng.permutation(2)[:num_far])]
    places += [_CORNERS[k] for k in rng.permutation(2)[:num_corner]]
    kinds = _draw_kinds(rng, len(places))
    things = []
    for row, (kind, (x, y)) in enumerate(zip(kinds, places, strict=True)):
        shift_x, shift_y = rng.uniform(-0.2, 0.2, size=2)
        main = _colour(rng, kind, split)
        second = [name for name in COLOURS if name != main][int(rng.integers(len(COLOURS) - 1))]
        home = (x + float(shift_x), y + float(shift_y))
        is_handled = row < len(_NEAR_ROW) + num_far
        things.append(Thing(kind=kind, colour=main, second=second, home=home, is_handled=is_handled))
    return things


def _draw_kinds(rng: np.random.Generator, num_kinds: int) -> list[Kind]:
    """Kinds that differ; among the first three are mostly two of which one goes into the other."""
    order = [KINDS[row] for row in rng.permutation(len(KINDS))]
    pair: list[Kind] = []
    match int(rng.integers(5)):
        case 0 | 1:
            pair = [_first(order, lambda kind: kind.lip is not None), _first(order[::-1], lambda kind: kind.is_vessel)]
        case 2 | 3:
            pair = [_first(order, lambda kind: kind.is_small), _first(order, lambda kind: kind.floor is not None)]
    kinds = list(dict.fromkeys([*pair, *order]))[:num_kinds]
    near = [kinds[row] for row in rng.permutation(len(_NEAR_ROW))]
    return near + kinds[len(_NEAR_ROW) :]


def _first(kinds: list[Kind], is_wanted: Callable[[Kind], bool]) -> Kind:
    return next(kind for kind in kinds if is_wanted(kind))


def _colour(rng: np.random.Generator, kind: Kind, split: Split) -> str:
    names = [name for name in COLOURS if split == "test" or not is_held_out_colour(kind.noun, name)]
    return names[int(rng.integers(len(names)))]


def _act(
    rng: np.random.Generator,
    things: list[Thing],
    start: tuple[Rest, ...],
    table: range,
    time_s: float,
    ends_s: tuple[float, float],
    terms: _Terms,
    counts: dict[str, int],
) -> list[Event]:
    """Actions at one table, until the first end with nothing held, or the last end."""
    events: list[Event] = []
    rests = start
    while time_s < ends_s[0] or any(rests[row].holder for row in table):
        left_s = ends_s[1] - time_s
        if left_s < _SHORTEST_S:
            break
        length_s = _length(rng, terms, left_s)
        if length_s > left_s:
            break
        is_closing = time_s >= ends_s[0]
        rows = _choose_things(rng, things, rests, table, events, is_closing)
        deeds = [deed for row in rows for deed in _allowed(row, things, rests, table, terms.split, length_s, events)]
        if is_closing:
            deeds = [deed for deed in deeds if deed.verb == "put"]
        deed = _choose_deed(rng, deeds, things, counts, terms.split)
        if deed is None:
            # A length that suits no verb is drawn again; what can only repeat itself waits for another thing.
            continue
        counts[deed.verb] += 1
        side = rests[deed.thing].holder or _choose_side(rng, rests, things, deed.thing)
        events.append(_done(deed, side, things, rests, (time_s, time_s + length_s)))
        rests, time_s = events[-1].after, events[-1].end_s + _pause(rng, terms)
    return events


def _done(deed: Deed, side: Side, things: list[Thing], rests: tuple[Rest, ...], span: tuple[float, float]) -> Event:
    after = list(rests)
    after[deed.thing] = rest_after(deed, things, rests, side)
    return Event(
        start_s=round(span[0], 3),
        end_s=round(span[1], 3),
        verb=deed.verb,
        thing=deed.thing,
        side=side,
        partner=deed.partner if VERB_OF[deed.verb].has_partner else None,
        before=rests,
        after=tuple(after),
    )


def _length(rng: np.random.Generator, terms: _Terms, left_s: float) -> float:
    if terms.longest_s is None:
        return float(rng.triangular(*_SHORT_ACTION_S))
    return math.exp(rng.uniform(math.log(_SHORTEST_S), math.log(min(terms.longest_s, left_s))))


def _pause(rng: np.random.Generator, terms: _Terms) -> float:
    if terms.longest_s is None:
        return float(rng.uniform(*_PAUSE_S))
    return math.exp(rng.uniform(math.log(_LONG_PAUSE_S[0]), math.log(_LONG_PAUSE_S[1])))


def _choose_things(
    rng: np.random.Generator,
    things: list[Thing],
    rests: tuple[Rest, ...],
    table: range,
    events: list[Event],
    is_closing: bool,
) -> list[int]:
    """Rows of what may be handled next: mostly what is held, often the same again, or one of all."""
    held = [row for row in table if rests[row].holder]
    handled = [row for row in table if things[row].is_handled]
    if held and (is_closing or rng.random() < _HELD_SHARE):
        return held
    if events and rng.random() < _SAME_SHARE:
        return [events[-1].thing]
    if rng.random() < _ANY_SHARE:
        return handled
    return [handled[int(rng.integers(len(handled)))]]


def _allowed(
    row: int,
    things: list[Thing],
    rests: tuple[Rest, ...],
    table: range,
    split: Split,
    length_s: float,
    events: list[Event],
) -> list[Deed]:
    last = events[-1] if events else None
    return [
        deed
        for deed in possible_deeds(row, things, rests, table)
        # Twice the same in a row would be one action to whoever looks.
        if not (last and last.thing == row and last.verb == deed.verb)
        and VERB_OF[deed.verb].longest_s >= length_s
        and (split == "test" or not is_held_out_action(things[row].kind.noun, deed.verb))
        and _has_hand(row, rests)
    ]


def _has_hand(row: int, rests: tuple[Rest, ...]) -> bool:
    """Whether a hand can act: the one that holds the thing or took it away, else any that is free."""
    rest = rests[row]
    if rest.holder is not None:
        return True
    sides: tuple[Side, ...] = (_side_of(rest.x),) if rest.place == "away" else ("left", "right")
    return any(held_by(rests, side) is None for side in sides)


def _side_of(x: float) -> Side:
    return "right" if x > 0 else "left"


def _choose_deed(
    rng: np.random.Generator, deeds: list[Deed], things: list[Thing], counts: dict[str, int], split: Split
) -> Deed | None:
    """One of the deeds, rare verbs first; None when there is none."""
    if not deeds:
        return None
    num_ways = {deed.verb: sum(other_deed.verb == deed.verb for other_deed in deeds) for deed in deeds}
    # In test archives what training never showed comes up three times as often, so that it can be measured.
    weights = np.array(
        [
            (3.0 if split == "test" and is_held_out_action(things[deed.thing].kind.noun, deed.verb) else 1.0)
            / (num_ways[deed.verb] * (1 + counts[deed.verb]) ** 2)
            for deed in deeds
        ]
    )
    return deeds[int(rng.choice(len(deeds), p=weights / weights.sum()))]


def _choose_side(rng: np.random.Generator, rests: tuple[Rest, ...], things: list[Thing], row: int) -> Side:
    """The hand that acts on a thing: the one that took it away, else mostly the nearer one, if it is free."""
    if rests[row].place == "away":
        return _side_of(rests[row].x)
    x = things[row].home[0]
    share_right = 0.5 if abs(x) < 1 else (0.85 if x > 0 else 0.15)
    side: Side = "right" if rng.random() < share_right else "left"
    return side if held_by(rests, side) is None else other(side)
