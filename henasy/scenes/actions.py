"""What each verb does to an object, a lid and a hand over the course of one action.

Verbs differ by motion alone: lift and put down, push and pull, open and close are each other's time reversal.
"""

import math
from typing import NamedTuple

from henasy.scenes.shapes import Kind

LIFT_HEIGHT = 1.6
LIFT_TOWARDS = 0.6
PUSH_DISTANCE = 1.6
_RAMP_S = 0.9


class Verb(NamedTuple):
    """One class of action."""

    label: str
    words: tuple[str, ...]
    """Surface words of its taxonomy row"""
    wordings: tuple[tuple[str, str, str], ...]
    """(verb, third person with {o}, gerund with {o}) of each way to narrate it"""
    tool: str | None = None
    """Noun of what the hand holds"""
    twin: str | None = None
    """Label of the verb that undoes it"""
    longest_s: float = 4.0
    """How long one action of it may take; infinite for what repeats until somebody stops"""


def _worded(*rows: tuple[str, str, str, str]) -> tuple[tuple[str, str, str], ...]:
    return tuple((verb, f"{third} {{o}}{rest}", f"{gerund} {{o}}{rest}") for verb, third, gerund, rest in rows)


_SPOON, _SPONGE = " with a spoon", " with a sponge"

VERBS: tuple[Verb, ...] = (
    Verb(
        "close",
        ("close", "cover", "shut"),
        _worded(
            ("close", "closes", "closing", ""), ("cover", "covers", "covering", ""), ("shut", "shuts", "shutting", "")
        ),
        twin="open",
    ),
    Verb(
        "lift",
        ("lift", "pick", "raise"),
        _worded(
            ("lift", "lifts", "lifting", ""), ("pick", "picks up", "picking up", ""), ("raise", "raises", "raising", "")
        ),
        twin="put",
    ),
    Verb(
        "open",
        ("open", "uncover"),
        _worded(("open", "opens", "opening", ""), ("uncover", "uncovers", "uncovering", "")),
    ),
    Verb(
        "pull",
        ("pull", "drag"),
        _worded(
            ("pull", "pulls", "pulling", " closer"),
            ("drag", "drags", "dragging", " closer"),
            ("pull", "pulls", "pulling", " back"),
        ),
    ),
    Verb(
        "push",
        ("push", "shove"),
        _worded(
            ("push", "pushes", "pushing", " away"),
            ("shove", "shoves", "shoving", " away"),
            ("push", "pushes", "pushing", " forward"),
        ),
        twin="pull",
    ),
    Verb(
        "put",
        ("put", "place", "lower"),
        _worded(
            ("put", "puts down", "putting down", ""),
            ("place", "places", "placing", " on the worktop"),
            ("lower", "lowers", "lowering", ""),
        ),
    ),
    Verb(
        "shake",
        ("shake", "jiggle"),
        _worded(("shake", "shakes", "shaking", ""), ("jiggle", "jiggles", "jiggling", "")),
        longest_s=math.inf,
    ),
    Verb(
        "stir",
        ("stir", "mix"),
        _worded(("stir", "stirs", "stirring", _SPOON), ("mix", "mixes", "mixing", _SPOON)),
        tool="spoon",
        longest_s=math.inf,
    ),
    Verb(
        "tilt",
        ("tilt", "tip"),
        _worded(
            ("tilt", "tilts", "tilting", ""),
            ("tip", "tips", "tipping", ""),
            ("tilt", "tilts", "tilting", " to the side"),
        ),
        longest_s=12.0,
    ),
    Verb(
        "turn",
        ("turn", "rotate"),
        _worded(
            ("turn", "turns", "turning", " around"),
            ("rotate", "rotates", "rotating", ""),
            ("turn", "turns", "turning", ""),
        ),
        longest_s=6.0,
    ),
    Verb(
        "wipe",
        ("wipe", "clean", "scrub"),
        _worded(
            ("wipe", "wipes", "wiping", _SPONGE),
            ("clean", "cleans", "cleaning", _SPONGE),
            ("scrub", "scrubs", "scrubbing", _SPONGE),
        ),
        tool="sponge",
        longest_s=math.inf,
    ),
)
"""Every verb, in the order of the verb taxonomy."""

VERB_OF: dict[str, Verb] = {verb.label: verb for verb in VERBS}


class Rest(NamedTuple):
    """How an object stands between actions."""

    x: float
    y: float
    z: float
    yaw_deg: float
    is_open: bool
    is_held: bool


class Motion(NamedTuple):
    """What an action has done after a share of its time, relative to the object's rest."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw_deg: float = 0.0
    roll_deg: float = 0.0
    lid_share: float = 0.0
    """0 = closed, 1 = lying beside"""
    hand_x: float = 0.0
    hand_y: float = 0.0
    hand_twist_deg: float = 0.0


def smooth(share: float) -> float:
    """0..1 with zero slope at both ends; clamps."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def swell(share: float, ramp: float = 0.25) -> float:
    """Rises from 0 to 1 within `ramp`, stays, and falls again."""
    return min(smooth(share / ramp), smooth((1 - share) / ramp))


def motion(verb: str, share: float, *, rest: Rest, outwards: float, elapsed_s: float, contact_s: float = 1.0) -> Motion:
    """The state of an action.

    Args:
        verb: label.
        share: 0..1 of the contact time.
        rest: the object before the action.
        outwards: +1 when the right hand acts, -1 when the left does.
        elapsed_s: contact time so far, for what repeats.
        contact_s: the whole contact time; what rises and falls does so in a quarter of it, or in `_RAMP_S`.
    """
    done, up = smooth(share), swell(share, min(0.25, _RAMP_S / contact_s))
    hop = 0.0 if rest.is_held else 1.0
    if verb == "lift":
        return Motion(y=-LIFT_TOWARDS * done, z=LIFT_HEIGHT * done)
    if verb == "put":
        return Motion(y=LIFT_TOWARDS * done, z=-LIFT_HEIGHT * done)
    if verb in ("push", "pull"):
        return Motion(y=PUSH_DISTANCE * done * (1 if verb == "push" else -1))
    if verb == "turn":
        return Motion(yaw_deg=150 * outwards * done, hand_twist_deg=outwards * (70 * done * swell(share, 0.12)))
    if verb == "tilt":
        return Motion(z=1.1 * hop * up, roll_deg=-85 * outwards * up)
    if verb in ("open", "close"):
        return Motion(lid_share=done if verb == "open" else 1 - done)
    phase = 2 * math.pi * elapsed_s
    if verb == "shake":
        return Motion(x=0.6 * up * math.sin(1.9 * phase), z=0.9 * hop * up, roll_deg=14 * up * math.sin(1.9 * phase))
    if verb == "stir":
        return Motion(hand_x=0.5 * math.cos(1.1 * phase), hand_y=0.5 * math.sin(1.1 * phase))
    return Motion(hand_x=1.1 * math.sin(0.9 * phase), hand_y=-0.1)


def rest_after(verb: str, rest: Rest, outwards: float) -> Rest:
    """How the object stands when the action is over."""
    end = motion(verb, 1.0, rest=rest, outwards=outwards, elapsed_s=0.0)
    is_open = {"open": True, "close": False}.get(verb, rest.is_open)
    is_held = {"lift": True, "put": False}.get(verb, rest.is_held)
    z = rest.z + end.z if verb in ("lift", "put") else rest.z
    return Rest(rest.x, rest.y + end.y, z, (rest.yaw_deg + end.yaw_deg) % 360, is_open, is_held)


def is_possible(verb: str, kind: Kind, rest: Rest) -> bool:
    """Whether the verb makes sense for the object as it stands."""
    if rest.is_open:
        return verb == "close"
    if rest.is_held:
        return verb in ("put", "shake", "tilt")
    return {
        "put": False,
        "close": False,
        "open": kind.build_lid is not None,
        "push": rest.y < 0.4,
        "pull": rest.y > 0.4,
        "stir": kind.is_container,
        "wipe": kind.is_hard,
    }.get(verb, True)
