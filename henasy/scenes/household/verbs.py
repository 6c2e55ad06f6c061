"""The verbs of the household repertoire, their wordings, and which of them undo each other."""

import math
from typing import NamedTuple

from henasy.scenes.wording import Wording


class Verb(NamedTuple):
    """One class of action."""

    label: str
    wordings: tuple[Wording, ...]
    tool: str | None = None
    """Noun of what the hand holds"""
    has_partner: bool = False
    """Whether it relates the object to another"""
    twin: str | None = None
    """Label of the verb that undoes it"""
    also_true: frozenset[str] = frozenset()
    """Labels of verbs that one may truly say of its motion too"""
    longest_s: float = 4.0
    """How long one action of it may take; infinite for what repeats until somebody stops"""

    @property
    def words(self) -> tuple[str, ...]:
        """Surface words of its taxonomy row."""
        return tuple(dict.fromkeys((self.label, *(wording.word for wording in self.wordings))))


def _told(*rows: str) -> tuple[Wording, ...]:
    """Rows "word|third person|gerund|rest of both"."""
    parts = [row.split("|") for row in rows]
    return tuple(Wording(word, f"{third} {{o}}{rest}", f"{gerund} {{o}}{rest}") for word, third, gerund, rest in parts)


VERBS: tuple[Verb, ...] = (
    Verb(
        "bring",
        _told("bring|brings|bringing| back", "return|returns|returning|", "bring|brings back|bringing back|"),
        also_true=frozenset({"put"}),
    ),
    Verb(
        "carry",
        _told("carry|carries|carrying| away", "carry|carries|carrying| off", "whisk|whisks|whisking| away"),
        twin="bring",
        also_true=frozenset({"lift"}),
    ),
    Verb(
        "clear",
        _told(
            "clear|clears|clearing| from in front of {p}",
            "move|moves|moving| out of the way of {p}",
            "shift|shifts|shifting| away from {p}",
        ),
        has_partner=True,
    ),
    Verb("close", _told("close|closes|closing|", "cover|covers|covering|", "shut|shuts|shutting|")),
    Verb(
        "cut",
        _told(
            "cut|cuts|cutting| with a knife", "slice|slices|slicing| with a knife", "chop|chops|chopping| with a knife"
        ),
        tool="knife",
        longest_s=math.inf,
    ),
    Verb(
        "fetch",
        _told(
            "fetch|fetches|fetching| from behind {p}",
            "get|gets|getting| from behind {p}",
            "retrieve|retrieves|retrieving| from behind {p}",
        ),
        has_partner=True,
        also_true=frozenset({"clear"}),
    ),
    Verb(
        "hide",
        _told(
            "hide|hides|hiding| behind {p}", "tuck|tucks|tucking| behind {p}", "conceal|conceals|concealing| behind {p}"
        ),
        has_partner=True,
        twin="fetch",
    ),
    Verb(
        "insert",
        _told("insert|inserts|inserting| into {p}", "drop|drops|dropping| into {p}", "place|places|placing| in {p}"),
        has_partner=True,
        twin="remove",
    ),
    Verb(
        "inspect",
        _told("inspect|inspects|inspecting|", "examine|examines|examining|", "study|studies|studying| up close"),
        longest_s=12.0,
        also_true=frozenset({"lift", "put", "turn"}),
    ),
    Verb("lift", _told("lift|lifts|lifting|", "pick|picks up|picking up|", "raise|raises|raising|"), twin="put"),
    Verb("open", _told("open|opens|opening|", "uncover|uncovers|uncovering|"), twin="close"),
    Verb(
        "pass",
        _told(
            "pass|passes|passing| to the other hand",
            "hand|hands over|handing over|",
            "transfer|transfers|transferring| from the {h} hand to the {g} hand",
        ),
    ),
    Verb(
        "pour",
        _told(
            "pour|pours from|pouring from| into {p}",
            "empty|empties|emptying| into {p}",
            "tip|tips|tipping| into {p}",
        ),
        has_partner=True,
        longest_s=12.0,
    ),
    Verb("pull", _told("pull|pulls|pulling| closer", "drag|drags|dragging| closer", "pull|pulls|pulling| back")),
    Verb(
        "push",
        _told("push|pushes|pushing| away", "shove|shoves|shoving| away", "push|pushes|pushing| forward"),
        twin="pull",
    ),
    Verb("put", _told("put|puts down|putting down|", "lower|lowers|lowering|", "rest|rests|resting| on the worktop")),
    Verb(
        "remove",
        _told(
            "remove|removes|removing| from {p}",
            "take|takes|taking| out of {p}",
            "extract|extracts|extracting| from {p}",
        ),
        has_partner=True,
        also_true=frozenset({"clear"}),
    ),
    Verb(
        "set",
        _told(
            "set|sets|setting| in front of {p}",
            "stand|stands|standing| in front of {p}",
            "position|positions|positioning| in front of {p}",
        ),
        has_partner=True,
        twin="clear",
    ),
    Verb(
        "shake",
        _told("shake|shakes|shaking|", "jiggle|jiggles|jiggling|"),
        also_true=frozenset({"lift", "put"}),
        longest_s=math.inf,
    ),
    Verb(
        "stir",
        _told("stir|stirs|stirring| with a spoon", "mix|mixes|mixing| with a spoon"),
        tool="spoon",
        longest_s=math.inf,
    ),
    Verb(
        "tap",
        _told("tap|taps|tapping|", "pat|pats|patting|", "knock|knocks on|knocking on|"),
        longest_s=math.inf,
    ),
    Verb(
        "turn",
        _told("turn|turns|turning| around", "rotate|rotates|rotating|", "turn|turns|turning|"),
        longest_s=6.0,
    ),
    Verb(
        "wipe",
        _told(
            "wipe|wipes|wiping| with a sponge",
            "clean|cleans|cleaning| with a sponge",
            "scrub|scrubs|scrubbing| with a sponge",
        ),
        tool="sponge",
        longest_s=math.inf,
    ),
)
"""Every verb, in the order of the verb taxonomy."""

VERB_OF: dict[str, Verb] = {verb.label: verb for verb in VERBS}
TWINS: dict[str, str] = {verb.label: verb.twin for verb in VERBS if verb.twin}
