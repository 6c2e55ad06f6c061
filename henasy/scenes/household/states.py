"""How things stand between actions, what can be done to them as they stand, and how an action leaves them.

Unit: decimetre; x to the right, y away from the wearer, z up from the worktop.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from henasy.scenes.hands import Side
from henasy.scenes.household.kinds import Kind

Place = Literal["home", "shifted", "behind", "before", "inside", "held", "away"]

BEHIND_Y = 1.75
BEFORE_Y = -1.6
PUSH_Y = 1.5
AWAY = (4.4, -4.5, 0.0)
"""Below the lower edge of the view, on the right; mirrored for the left hand"""
_HELD_Z = 1.5
_FREE = 1.45
"""Least distance of two things' centres"""
_HIGH = 0.9
"""What hides others is at least so high"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thing:
    """One object of a scene."""

    kind: Kind
    colour: str
    second: str
    """Its other colour"""
    home: tuple[float, float]
    """x, y where it is put down"""
    is_handled: bool
    """False for what is never touched"""

    @property
    def is_far(self) -> bool:
        """Whether it lives in the row at the back."""
        return self.home[1] > 2.0


class Rest(NamedTuple):
    """How a thing stands between actions."""

    x: float
    y: float
    z: float
    yaw_deg: float
    place: Place = "home"
    is_open: bool = False
    holder: Side | None = None
    """The hand that holds it"""
    partner: int | None = None
    """Row of what it is in, behind or in front of"""


class Deed(NamedTuple):
    """An action in question."""

    verb: str
    thing: int
    partner: int | None = None


def outwards(side: Side) -> float:
    """+1 for the right hand, -1 for the left."""
    return 1.0 if side == "right" else -1.0


def other(side: Side) -> Side:
    """The other hand."""
    return "left" if side == "right" else "right"


def is_locked(row: int, rests: Sequence[Rest]) -> bool:
    """Whether something is in, behind or in front of it, so that it must stay."""
    return any(rest.partner == row for rest in rests)


def held_by(rests: Sequence[Rest], side: Side) -> int | None:
    """Row of what a hand holds."""
    return next((row for row, rest in enumerate(rests) if rest.holder == side), None)


_IN_PLACE = ("shake", "turn", "tap", "inspect", "lift", "carry")
_BY_PLACE: dict[Place, tuple[str, ...]] = {
    "behind": ("fetch",),
    "inside": ("remove",),
    "away": ("bring",),
    "before": ("clear", "turn", "tap", "shake"),
    "held": ("put", "pass", "shake", "inspect", "carry"),
}


def possible_deeds(row: int, things: Sequence[Thing], rests: Sequence[Rest], table: range) -> list[Deed]:
    """All that can be done to a thing as the table stands."""
    rest, kind = rests[row], things[row].kind
    if rest.is_open:
        pours = [Deed("pour", row, partner) for partner in _poured_into(row, things, rests, table)]
        return _without_moving(row, kind, rests) + pours
    if rest.place in _BY_PLACE:
        deeds = [Deed(verb, row, rest.partner) for verb in _BY_PLACE[rest.place]]
        hands_full = held_by(rests, "left") is not None and held_by(rests, "right") is not None
        return [deed for deed in deeds if not (deed.verb == "pass" and hands_full)]
    if is_locked(row, rests):
        return _without_moving(row, kind, rests)
    is_holding = any(other_rest.holder for other_rest in rests)
    verbs = [verb for verb in _IN_PLACE if not (verb == "lift" and is_holding)]
    verbs += ["open"] if kind.build_lid is not None else []
    verbs += ["push" if (rest.place == "home") != things[row].is_far else "pull"]
    deeds = [Deed(verb, row) for verb in verbs if _has_room(verb, row, things, rests, table)]
    deeds += _without_moving(row, kind, rests)
    return deeds + [Deed(verb, row, partner) for verb, partner in _with_partner(row, things, rests, table)]


def _without_moving(row: int, kind: Kind, rests: Sequence[Rest]) -> list[Deed]:
    rest, is_free = rests[row], not is_locked(row, rests)
    is_reachable = kind.build_lid is None or rest.is_open
    verbs = ["close"] if rest.is_open and is_free else []
    verbs += ["stir"] if kind.is_vessel and is_reachable else []
    if not rest.is_open:
        verbs += ["cut"] if kind.is_food else []
        verbs += ["wipe"] if kind.is_hard else []
    inside = any(other_rest.partner == row and other_rest.place == "inside" for other_rest in rests)
    return [] if inside else [Deed(verb, row) for verb in verbs]


def _has_room(verb: str, row: int, things: Sequence[Thing], rests: Sequence[Rest], table: range) -> bool:
    if verb not in ("push", "pull"):
        return True
    end = rest_after(Deed(verb, row), things, rests, "right")
    return is_free(end.x, end.y, rests, table, {row})


def _with_partner(row: int, things: Sequence[Thing], rests: Sequence[Rest], table: range) -> list[tuple[str, int]]:
    kind, found = things[row].kind, list[tuple[str, int]]()
    for partner in table:
        standing, of = rests[partner], things[partner].kind
        if partner == row or standing.place not in ("home", "shifted"):
            continue
        behind_is_free = is_free(standing.x, standing.y + BEHIND_Y, rests, table, {row, partner})
        if not standing.is_open and of.top >= _HIGH and behind_is_free and standing.y < 2.5:
            found.append(("hide", partner))
        before_is_free = is_free(standing.x, standing.y + BEFORE_Y, rests, table, {row, partner})
        if not standing.is_open and before_is_free and standing.y > 1.2:
            found.append(("set", partner))
        is_reachable = of.build_lid is None or standing.is_open
        if kind.is_small and of.floor is not None and is_reachable and not is_locked(partner, rests):
            found.append(("insert", partner))
    return found + [("pour", partner) for partner in _poured_into(row, things, rests, table)]


def _poured_into(row: int, things: Sequence[Thing], rests: Sequence[Rest], table: range) -> list[int]:
    """Rows of what the thing as it stands can be poured into."""
    kind, rest = things[row].kind, rests[row]
    is_ready = kind.build_lid is None or kind.has_spout != rest.is_open
    if kind.lip is None or not is_ready or is_locked(row, rests):
        return []
    return [
        partner
        for partner in table
        if partner != row
        and rests[partner].place in ("home", "shifted")
        and things[partner].kind.is_vessel
        and (things[partner].kind.build_lid is None or rests[partner].is_open)
        and not is_locked(partner, rests)
    ]


def is_free(x: float, y: float, rests: Sequence[Rest], table: range, ignored: set[int]) -> bool:
    """Whether nothing stands near a place on the worktop."""
    return all(
        rests[row].place in ("held", "away") or np.hypot(rests[row].x - x, rests[row].y - y) >= _FREE
        for row in table
        if row not in ignored
    )


def rest_after(deed: Deed, things: Sequence[Thing], rests: Sequence[Rest], side: Side) -> Rest:
    """How the thing stands when the deed is done by a hand."""
    rest, home = rests[deed.thing], things[deed.thing].home
    at_home = Rest(*home, 0.0, rest.yaw_deg)
    out = outwards(side)
    match deed.verb:
        case "lift":
            return Rest(0.8 * rest.x + 0.25 * out, min(rest.y, 1.2) - 0.45, _HELD_Z, rest.yaw_deg, "held", False, side)
        case "pass":
            return Rest(-0.95 * out, 0.3, _HELD_Z, rest.yaw_deg, "held", False, other(side))
        case "put" | "fetch" | "clear" | "remove" | "bring":
            return at_home
        case "carry":
            return Rest(AWAY[0] * out, AWAY[1], AWAY[2], rest.yaw_deg, "away")
        case "push" | "pull":
            y = rest.y + (PUSH_Y if deed.verb == "push" else -PUSH_Y)
            place: Place = "shifted" if rest.place == "home" else "home"
            return rest._replace(y=home[1] if place == "home" else y, place=place)
        case "open" | "close":
            return rest._replace(is_open=deed.verb == "open")
        case "turn":
            return rest._replace(yaw_deg=(rest.yaw_deg + 150 * out) % 360)
        case "hide" | "set" | "insert":
            return _beside(deed, things, rests)
        case _:
            return rest


def _beside(deed: Deed, things: Sequence[Thing], rests: Sequence[Rest]) -> Rest:
    assert deed.partner is not None
    to, yaw = rests[deed.partner], rests[deed.thing].yaw_deg
    if deed.verb == "hide":
        return Rest(to.x, to.y + BEHIND_Y, 0.0, yaw, "behind", partner=deed.partner)
    if deed.verb == "set":
        return Rest(to.x, to.y + BEFORE_Y, 0.0, yaw, "before", partner=deed.partner)
    floor = things[deed.partner].kind.floor
    assert floor is not None
    return Rest(to.x, to.y, to.z + floor, yaw, "inside", partner=deed.partner)
