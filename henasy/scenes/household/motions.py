"""What an action does at each moment: where its thing, its lid and the hands are.

Actions that undo each other are each other's time reversal.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.scenes.hands import HandPose, Side
from henasy.scenes.household.kinds import Kind
from henasy.scenes.household.script import Event
from henasy.scenes.household.states import Rest, Thing, other, outwards
from henasy.scenes.mesh import rotation, translation

Matrix = NDArray[np.float64]

_REACH_SHARE = 0.16
_LONGEST_REACH_S = 0.55
_RAMP_S = 0.9
_ARC_RISE = {"hide": 1.7, "fetch": 1.7, "set": 1.2, "clear": 1.2, "insert": 1.5, "remove": 1.5, "put": 0.0}
_CARRY_RISE = 0.9
_POUR_DEG = 66.0
_SHOWN = (0.0, -1.7, 2.2)
"""Where a thing is looked at: near the eye"""
_MEETING = (0.0, -0.2, 1.8)


class Placement(NamedTuple):
    """Where a thing is."""

    x: float
    y: float
    z: float
    yaw_deg: float
    roll_deg: float = 0.0

    def matrix(self, pivot_z: float) -> Matrix:
        """(4, 4) thing to world; it rolls about a level `pivot_z` above its foot."""
        roll = translation(0, 0, pivot_z) @ rotation("y", self.roll_deg) @ translation(0, 0, -pivot_z)
        return translation(self.x, self.y, self.z) @ roll @ rotation("z", self.yaw_deg)


class Touch(NamedTuple):
    """What a hand does."""

    pose: HandPose
    share: float
    """0 = idle, 1 = there"""
    is_closed: bool = True


class Moment(NamedTuple):
    """The state of an action."""

    placement: Placement
    lid_share: float
    """0 = closed, 1 = lying beside"""
    touches: dict[Side, Touch]
    stream: tuple[float, float, float, float] | None = None
    """x, y, and z of both ends of what is poured"""


def smooth(share: float) -> float:
    """0..1 with zero slope at both ends; clamps."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def swell(share: float, ramp: float) -> float:
    """Rises from 0 to 1 within `ramp`, stays, and falls again."""
    return min(smooth(share / ramp), smooth((1 - share) / ramp))


class _Phase(NamedTuple):
    """How far an action is."""

    share: float
    """0..1 of the contact time"""
    elapsed_s: float
    up: float
    """Of what rises and falls"""
    reach: float
    """0 = the hand is idle, 1 = it touches"""


def resting(rest: Rest) -> Placement:
    """Where a thing is between actions."""
    return Placement(rest.x, rest.y, rest.z, rest.yaw_deg)


def grasp(kind: Kind, placement: Placement, side: Side, twist_deg: float = 0.0) -> HandPose:
    """The hand at a thing."""
    out = outwards(side)
    # A rolled thing is narrower, and the hand stays at it.
    narrow = 1 - 0.6 * min(abs(placement.roll_deg) / 85, 1.0)
    reach = np.array([0.62 * kind.radius * out * narrow, -0.6 * kind.radius - 0.15])
    angle = math.radians(0.5 * twist_deg)
    swung = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) @ reach
    x, y = placement.x + float(swung[0]), placement.y + float(swung[1])
    return HandPose(x, y, placement.z + kind.grip + 0.15, 0.7 * placement.roll_deg, twist_deg)


def moment(event: Event, things: Sequence[Thing], time_s: float) -> Moment:
    """The state of an action at a time between its start and its end."""
    phase = _phase(event, time_s)
    kind, rest = things[event.thing].kind, event.before[event.thing]
    if event.verb == "pass":
        return _passed(event, kind, phase)
    if event.verb in ("open", "close"):
        return _opened(event, kind, rest, phase)
    if event.tool is not None or event.verb == "tap":
        pose = _tool_hand(event, kind, rest, phase)
        touch = Touch(pose, phase.reach, is_closed=event.verb != "tap")
        return Moment(resting(rest), float(rest.is_open), {event.side: touch})
    if event.verb == "pour":
        return _poured(event, things, phase)
    placement = _placement(event, rest, phase)
    twist = outwards(event.side) * 70 * smooth(phase.share) * swell(phase.share, 0.12) if event.verb == "turn" else 0.0
    pose = grasp(kind, placement, event.side, twist)
    return Moment(placement, float(rest.is_open), {event.side: Touch(pose, phase.reach)})


def contact_span(event: Event) -> tuple[float, float]:
    """When the hand touches: from the start if it holds already, to the end if it goes on holding."""
    reach_s = min(_REACH_SHARE * (event.end_s - event.start_s), _LONGEST_REACH_S)
    starts_held = event.before[event.thing].holder is not None
    ends_held = event.after[event.thing].holder is not None
    return event.start_s + (0 if starts_held else reach_s), event.end_s - (0 if ends_held else reach_s)


def _phase(event: Event, time_s: float) -> _Phase:
    start_s, end_s = contact_span(event)
    elapsed_s = min(max(time_s, start_s), end_s) - start_s
    share = elapsed_s / (end_s - start_s)
    reach = 1.0
    if time_s < start_s:
        reach = smooth((time_s - event.start_s) / (start_s - event.start_s))
    elif time_s > end_s:
        reach = smooth((event.end_s - time_s) / (event.end_s - end_s))
    return _Phase(share, elapsed_s, swell(share, min(0.3, _RAMP_S / (end_s - start_s))), reach)


def _between(first: Rest, last: Rest, share: float) -> tuple[float, float, float]:
    return (
        first.x + share * (last.x - first.x),
        first.y + share * (last.y - first.y),
        first.z + share * (last.z - first.z),
    )


def _placement(event: Event, rest: Rest, phase: _Phase) -> Placement:
    end = event.after[event.thing]
    if event.verb in ("lift", "put", "push", "pull"):
        return Placement(*_between(rest, end, smooth(phase.share)), rest.yaw_deg)
    if event.verb in ("carry", "bring"):
        x, y, z = _between(rest, end, smooth(phase.share))
        return Placement(x, y, z + _CARRY_RISE * math.sin(math.pi * smooth(phase.share)), rest.yaw_deg)
    if event.verb in _ARC_RISE:
        x, y, _ = _between(rest, end, smooth((phase.share - 0.2) / 0.6))
        _, _, z = _between(rest, end, smooth(phase.share))
        return Placement(x, y, z + _ARC_RISE[event.verb] * swell(phase.share, 0.35), rest.yaw_deg)
    return _swung(event, rest, phase)


def _swung(event: Event, rest: Rest, phase: _Phase) -> Placement:
    """What stays where it was in the end."""
    up, turn = phase.up, 2 * math.pi * phase.elapsed_s
    hop = 0.0 if rest.place == "held" else 1.0
    if event.verb == "turn":
        return resting(rest)._replace(yaw_deg=rest.yaw_deg + 150 * outwards(event.side) * smooth(phase.share))
    if event.verb == "shake":
        swing = math.sin(1.9 * turn)
        return Placement(rest.x + 0.6 * up * swing, rest.y, rest.z + 0.9 * hop * up, rest.yaw_deg, 15 * up * swing)
    assert event.verb == "inspect", event.verb
    shown = rest._replace(x=_SHOWN[0] + 0.25 * rest.x, y=_SHOWN[1], z=_SHOWN[2])
    x, y, z = _between(rest, shown, up)
    swing = math.sin(0.7 * turn)
    return Placement(x, y, z, rest.yaw_deg + 45 * up * swing, 18 * up * swing)


def _passed(event: Event, kind: Kind, phase: _Phase) -> Moment:
    rest, end = event.before[event.thing], event.after[event.thing]
    met = rest._replace(x=_MEETING[0], y=_MEETING[1], z=_MEETING[2])
    share = phase.share
    place = (
        _between(rest, met, smooth(share / 0.38)) if share < 0.5 else _between(met, end, smooth((share - 0.62) / 0.38))
    )
    placement = Placement(*place, rest.yaw_deg)
    taker = other(event.side)
    touches = {
        event.side: Touch(grasp(kind, placement, event.side), 1 - smooth((share - 0.56) / 0.26), share < 0.58),
        taker: Touch(grasp(kind, placement, taker), smooth((share - 0.12) / 0.3), share > 0.4),
    }
    return Moment(placement, 0.0, touches)


def _opened(event: Event, kind: Kind, rest: Rest, phase: _Phase) -> Moment:
    share = smooth(phase.share) if event.verb == "open" else 1 - smooth(phase.share)
    lid = lid_shift(rest, kind, share)
    pose = HandPose(rest.x + lid[0], rest.y + lid[1] - 0.6, rest.z + lid_height(kind) + 0.2 + lid[2], 0, 0)
    return Moment(resting(rest), share, {event.side: Touch(pose, phase.reach)})


def lid_shift(rest: Rest, kind: Kind, share: float) -> tuple[float, float, float]:
    """How far a lid is from its closed place: up, sideways, and down beside the thing."""
    towards = -1.0 if rest.x > 0 else 1.0
    rise = 1.2 * math.sin(math.pi * share) - share * lid_bottom(kind)
    return towards * 1.45 * share, -0.75 * share, rise


def lid_bottom(kind: Kind) -> float:
    """How high a closed lid's lower edge is."""
    return {"bottle": 2.45, "box": 1.1, "carton": 1.9, "jar": 1.4, "kettle": 1.3, "pot": 1.26}[kind.noun]


def lid_height(kind: Kind) -> float:
    """How high a closed lid's upper edge is."""
    return lid_bottom(kind) + 0.4


def _tool_hand(event: Event, kind: Kind, rest: Rest, phase: _Phase) -> HandPose:
    turn, out = 2 * math.pi * phase.elapsed_s, outwards(event.side)
    top = rest.z + kind.top
    if event.verb == "stir":
        x, y = rest.x + 1.2 * out + 0.42 * math.cos(1.1 * turn), rest.y - 0.6 + 0.42 * math.sin(1.1 * turn)
        return HandPose(x, y, top + 1.1, 0, 0)
    if event.verb == "wipe":
        return HandPose(rest.x + 0.95 * math.sin(0.9 * turn), rest.y - 0.45, top + 0.62, 0, 0)
    if event.verb == "cut":
        x, saw = rest.x + (0.9 - 0.5 * phase.share) * out, 0.45 * math.sin(1.3 * turn)
        return HandPose(x - 0.5 * saw * out, rest.y - 1.2 + saw, top + 0.65 - 0.3 * abs(math.sin(0.65 * turn)), 0, 0)
    assert event.verb == "tap", event.verb
    return HandPose(rest.x, rest.y - 0.75, top + 0.3 + 0.75 * abs(math.sin(0.8 * turn)), 0, 0)


def _poured(event: Event, things: Sequence[Thing], phase: _Phase) -> Moment:
    assert event.partner is not None
    kind, rest, out = things[event.thing].kind, event.before[event.thing], outwards(event.side)
    into, vessel = event.before[event.partner], things[event.partner].kind
    assert kind.lip is not None
    facing = 0.0 if out > 0 else 180.0
    tilt = -_POUR_DEG * out * smooth((phase.up - 0.55) / 0.45)
    full = Placement(0, 0, 0, facing, -_POUR_DEG * out).matrix(kind.grip) @ (kind.lip[0], 0, kind.lip[1], 1)
    over = rest._replace(x=into.x + 0.1 * out - full[0], y=into.y - 0.1, z=into.z + vessel.top + 0.3 - full[2])
    x, y, z = _between(rest, over, smooth(phase.up / 0.7))
    turned = (facing - rest.yaw_deg + 180) % 360 - 180
    placement = Placement(
        x, y, z + 0.8 * math.sin(math.pi * smooth(phase.up / 0.7)), rest.yaw_deg + turned * phase.up, tilt
    )
    stream = None
    if phase.up > 0.97:
        lip = placement.matrix(kind.grip) @ (kind.lip[0], 0, kind.lip[1], 1)
        stream = (float(lip[0]), float(lip[1]), float(lip[2]), into.z + 0.3)
    pose = grasp(kind, placement, event.side)
    return Moment(placement, float(rest.is_open), {event.side: Touch(pose, phase.reach)}, stream)
