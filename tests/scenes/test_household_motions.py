"""Every verb's motion, measured from the poses that are drawn; and what must hold between any two of them."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from henasy.scenes.archive import ArchiveConfig
from henasy.scenes.hands import Side
from henasy.scenes.household.kinds import KIND_OF
from henasy.scenes.household.motions import contact_span, lid_bottom, moment
from henasy.scenes.household.script import Event, Script
from henasy.scenes.household.stage import FOV_DEG, Stage
from henasy.scenes.household.states import Rest, Thing, other
from henasy.scenes.household.verbs import TWINS, VERBS

CONFIG = ArchiveConfig(seed=51, num_videos=16, video_s=120.0, fps=8, split="test")
NUM_EVENTS = 6


class Shown(NamedTuple):
    """One action and what is drawn of it, S times from first to last contact."""

    script: Script
    event: Event
    thing: np.ndarray
    """(S, 4, 4) of the handled thing; NaN where it is not drawn"""
    hands: dict[str, np.ndarray]
    """(S, 4, 4) of each hand"""
    bodies: list[dict[str, np.ndarray]]
    eyes: np.ndarray
    """(S, 4, 4)"""

    @property
    def hand(self) -> np.ndarray:
        """(S, 3) of the acting hand."""
        return self.hands[self.event.side][:, :3, 3]

    @property
    def place(self) -> np.ndarray:
        """(S, 3) of the thing."""
        return self.thing[:, :3, 3]

    @property
    def partner(self) -> Rest:
        assert self.event.partner is not None
        return self.event.before[self.event.partner]


def shown(script: Script, stage: Stage, event: Event) -> Shown:
    start_s, end_s = contact_span(event)
    times_s = np.linspace(start_s, end_s - 1e-6, 41)
    bodies = [stage.poses(time_s) for time_s in times_s.tolist()]
    missing = np.full((4, 4), np.nan)
    hands = {side: np.stack([hand_of(poses, side) for poses in bodies]) for side in ("left", "right")}
    thing = np.stack([poses.get(f"thing{event.thing}", missing) for poses in bodies])
    return Shown(script, event, thing, hands, bodies, np.stack([stage.eye(time_s) for time_s in times_s.tolist()]))


def hand_of(poses: dict[str, np.ndarray], side: str) -> np.ndarray:
    found = [pose for name, pose in poses.items() if name.startswith(f"{side} ")]
    assert len(found) == 1, "a hand is drawn once"
    return found[0]


@pytest.fixture(scope="module")
def stages() -> list[tuple[Script, Stage]]:
    pairs = []
    for number in range(CONFIG.num_videos):
        story = CONFIG.story(number)
        pairs.append((story.script, CONFIG.stage(number)))  # type: ignore[attr-defined]
    return pairs  # type: ignore[return-value]


@pytest.fixture(scope="module")
def actions(stages: list[tuple[Script, Stage]]) -> dict[str, list[Shown]]:
    found: dict[str, list[Shown]] = {verb.label: [] for verb in VERBS}
    for script, stage in stages:
        for event in script.events:
            if len(found[event.verb]) < NUM_EVENTS:
                found[event.verb].append(shown(script, stage, event))
    return found


def yaw_deg(matrices: np.ndarray) -> np.ndarray:
    return np.degrees(np.unwrap(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0])))


def reversals(values: np.ndarray) -> int:
    steps = np.diff(values)
    steps = steps[np.abs(steps) > 1e-3]
    return int((np.sign(steps[1:]) != np.sign(steps[:-1])).sum())


def still(action: Shown) -> bool:
    return bool(np.ptp(action.thing, axis=0).max() < 1e-9)


def moved_by(action: Shown) -> np.ndarray:
    change: np.ndarray = action.place[-1] - action.place[0]
    return change


def in_view(action: Shown, at: int) -> bool:
    """Whether the thing's foot is inside the picture, which is 16:9."""
    local = np.linalg.inv(action.eyes[at]) @ np.array([*action.place[at], 1.0])
    reach = np.tan(np.radians(FOV_DEG / 2))
    return bool(local[1] > 0 and abs(local[0]) < reach * local[1] and abs(local[2]) < reach * 9 / 16 * local[1])


def lid_of(action: Shown) -> np.ndarray:
    return np.stack([poses[f"lid{action.event.thing}"] for poses in action.bodies])


def is_lifted(action: Shown) -> bool:
    return moved_by(action)[2] > 1.3 and action.event.after[action.event.thing].holder == action.event.side


def is_put(action: Shown) -> bool:
    return moved_by(action)[2] < -1.3 and abs(action.place[-1, 2]) < 1e-3 and in_view(action, -1)


def is_pushed(action: Shown) -> bool:
    return moved_by(action)[1] > 1.0 and np.ptp(action.place[:, 2]) < 1e-9


def is_pulled(action: Shown) -> bool:
    return moved_by(action)[1] < -1.0 and np.ptp(action.place[:, 2]) < 1e-9


def is_opened(action: Shown) -> bool:
    lid = lid_of(action)[:, :3, 3]
    kind = action.script.things[action.event.thing].kind
    away = np.linalg.norm(lid - action.place, axis=1)
    return still(action) and away[0] < 0.1 and away[-1] > 1.3 and abs(lid[-1, 2] + lid_bottom(kind)) < 1e-3


def is_closed(action: Shown) -> bool:
    away = np.linalg.norm(lid_of(action)[:, :3, 3] - action.place, axis=1)
    return still(action) and away[0] > 1.3 and away[-1] < 0.1


def is_turned(action: Shown) -> bool:
    turned = abs(yaw_deg(action.thing)[-1] - yaw_deg(action.thing)[0])
    return abs(turned - 150) < 1 and np.ptp(action.place, axis=0).max() < 1e-9


def is_shaken(action: Shown) -> bool:
    kind = action.script.things[action.event.thing].kind
    across = (action.thing @ np.array([0, 0, kind.grip, 1.0]))[:, 0]
    return reversals(across) >= 3 and np.ptp(across) > 0.8 and np.abs(moved_by(action)).max() < 0.3


def is_tapped(action: Shown) -> bool:
    return still(action) and reversals(action.hand[:, 2]) >= 2 and np.ptp(action.hand[:, 2]) > 0.6


def is_inspected(action: Shown) -> bool:
    away = np.linalg.norm(action.place - action.eyes[:, :3, 3], axis=1)
    return away.min() < min(5.4, 0.85 * away[0]) and np.abs(moved_by(action)).max() < 0.3


def is_carried(action: Shown) -> bool:
    return in_view(action, 0) and not in_view(action, -1)


def is_brought(action: Shown) -> bool:
    return not in_view(action, 0) and in_view(action, -1)


def is_passed(action: Shown) -> bool:
    giver, taker = (action.hands[side][:, :3, 3] for side in (action.event.side, other(action.event.side)))
    first, last = (np.linalg.norm(hand - action.place, axis=1) for hand in (giver, taker))
    together = ((first < 2.2) & (last < 2.2)).any()
    return bool(first[0] < 2.2 < last[0] and last[-1] < 2.2 < first[-1] and together)


def is_inserted(action: Shown) -> bool:
    end, of = action.place[-1], action.partner
    return bool(np.hypot(end[0] - of.x, end[1] - of.y) < 0.1 and 0.05 < end[2] < 0.6)


def is_removed(action: Shown) -> bool:
    start, of = action.place[0], action.partner
    return bool(np.hypot(start[0] - of.x, start[1] - of.y) < 0.1 and action.place[-1, 2] < 1e-3)


def is_behind(action: Shown, at: int) -> bool:
    """Whether the thing is nearly on the line from the eye through its partner, and farther."""
    eye, of = action.eyes[at][:3, 3], np.array([action.partner.x, action.partner.y, 0.0])
    to_thing, to_partner = action.place[at] - eye, of - eye
    sideways = abs(np.degrees(np.arctan2(to_thing[0], to_thing[1]) - np.arctan2(to_partner[0], to_partner[1])))
    return bool(sideways < 12 and np.linalg.norm(to_thing) > np.linalg.norm(to_partner) + 0.5)


def is_before(action: Shown, at: int) -> bool:
    place, of = action.place[at], action.partner
    return bool(abs(place[0] - of.x) < 0.1 and place[1] < of.y - 1.4)


def is_poured(action: Shown) -> bool:
    kind = action.script.things[action.event.thing].kind
    upright = action.thing[:, 2, 2]
    assert kind.lip is not None
    lips = action.thing @ np.array([kind.lip[0], 0, kind.lip[1], 1.0])
    pouring = ["stream" in poses for poses in action.bodies]
    over = np.hypot(lips[:, 0] - action.partner.x, lips[:, 1] - action.partner.y)
    return upright.min() < 0.5 and any(pouring) and over[pouring].max() < 0.6 and np.abs(moved_by(action)).max() < 0.2


def tool_of(action: Shown) -> np.ndarray:
    assert action.event.tool is not None
    return np.stack([poses[f"tool {action.event.tool}"] for poses in action.bodies])[:, :3, 3]


def is_stirred(action: Shown) -> bool:
    tool = tool_of(action)
    return still(action) and np.ptp(tool[:, 0]) > 0.7 and np.ptp(tool[:, 1]) > 0.7 and np.ptp(tool[:, 2]) < 1e-6


def is_wiped(action: Shown) -> bool:
    tool = tool_of(action)
    return still(action) and np.ptp(tool[:, 0]) > 1.2 and np.ptp(tool[:, 1]) < 1e-6


def is_cut(action: Shown) -> bool:
    tool = tool_of(action)
    return still(action) and np.ptp(tool[:, 1]) > 0.7 and reversals(tool[:, 1]) >= 2


SIGNS: dict[str, Callable[[Shown], bool]] = {
    "bring": is_brought,
    "carry": is_carried,
    "clear": lambda action: is_before(action, 0) and not is_before(action, -1),
    "close": is_closed,
    "cut": is_cut,
    "fetch": lambda action: is_behind(action, 0) and not is_behind(action, -1),
    "hide": lambda action: is_behind(action, -1) and not is_behind(action, 0),
    "insert": is_inserted,
    "inspect": is_inspected,
    "lift": is_lifted,
    "open": is_opened,
    "pass": is_passed,
    "pour": is_poured,
    "pull": is_pulled,
    "push": is_pushed,
    "put": is_put,
    "remove": is_removed,
    "set": lambda action: is_before(action, -1) and not is_before(action, 0),
    "shake": is_shaken,
    "stir": is_stirred,
    "tap": is_tapped,
    "turn": is_turned,
    "wipe": is_wiped,
}


@pytest.mark.parametrize("verb", sorted(SIGNS))
def test_every_verb_shows_its_motion(verb: str, actions: dict[str, list[Shown]]) -> None:
    assert actions[verb]
    for action in actions[verb]:
        assert SIGNS[verb](action), (action.event.start_s, action.script.things[action.event.thing].kind.noun)


def test_no_action_without_a_partner_shows_the_motion_of_a_verb_that_is_not_true_of_it(
    actions: dict[str, list[Shown]],
) -> None:
    also_true = {verb.label: verb.also_true for verb in VERBS}
    needs = {verb.label: (verb.tool, verb.has_partner) for verb in VERBS}
    for verb, others in itertools.product(actions, repeat=2):
        if verb == others or others in also_true[verb] or needs[others] != (None, False):
            continue
        for action in actions[verb]:
            has_lid = action.script.things[action.event.thing].kind.build_lid is not None
            if others not in ("open", "close") or has_lid:
                assert not SIGNS[others](action), f"{verb} looks like {others}"


@pytest.mark.parametrize(("verb", "undone"), sorted(TWINS.items()))
def test_actions_that_undo_each_other_are_each_others_time_reversal(verb: str, undone: str) -> None:
    kinds = [KIND_OF["jar"], KIND_OF["pot" if verb != "insert" else "bowl"]]
    things = [
        Thing(kind=kind, colour="red", second="blue", home=home, is_handled=True)
        for kind, home in zip(kinds, ((-2.0, 0.1), (1.0, 2.9)), strict=True)
    ]
    rests = (Rest(-2.0, 0.1, 0.0, 20.0), Rest(1.0, 2.9, 0.0, 0.0))
    ends = {
        "lift": Rest(-1.4, -0.3, 1.5, 20.0, "held", False, "right"),
        "push": Rest(-2.0, 1.6, 0.0, 20.0, "shifted"),
        "carry": Rest(4.4, -4.5, 0.0, 20.0, "away"),
        "open": rests[0]._replace(is_open=True),
        "hide": Rest(1.0, 4.6, 0.0, 20.0, "behind", partner=1),
        "set": Rest(1.0, 1.3, 0.0, 20.0, "before", partner=1),
        "insert": Rest(1.0, 2.9, 0.35, 20.0, "inside", partner=1),
    }
    done = (ends[verb], rests[1])
    forwards, backwards = (event_of(*of) for of in ((verb, rests, done), (undone, done, rests)))
    for share in np.linspace(0.0, 1.0, 21).tolist():
        ahead, back = (
            moment(event, things, start + of * (end - start))
            for event, of in ((forwards, share), (backwards, 1 - share))
            for start, end in (contact_span(event),)
        )
        assert np.allclose(ahead.placement, back.placement, atol=1e-6)
        assert ahead.lid_share == pytest.approx(back.lid_share, abs=1e-6)
        assert np.allclose(ahead.touches["right"].pose, back.touches["right"].pose, atol=1e-6)


def event_of(verb: str, before: tuple[Rest, ...], after: tuple[Rest, ...]) -> Event:
    side: Side = "right"
    return Event(start_s=1.0, end_s=3.0, verb=verb, thing=0, side=side, partner=1, before=before, after=after)


def test_nothing_jumps_while_a_table_stands(stages: list[tuple[Script, Stage]]) -> None:
    """In a hundredth of a second nothing that is seen goes further than a hand can."""
    step_s, furthest = 0.01, 0.7
    for script, stage in stages[:2]:
        for start_s in (event.start_s for event in script.events):
            for time_s in np.arange(start_s - 0.05, start_s + 0.35, step_s).tolist():
                if script.table_at(time_s) != script.table_at(time_s + step_s):
                    continue
                before, after = stage.poses(time_s), stage.poses(time_s + step_s)
                for name in before.keys() & after.keys():
                    if name.startswith(("thing", "lid")):
                        assert np.linalg.norm(before[name][:3, 3] - after[name][:3, 3]) < furthest, (name, time_s)
                for side in ("left", "right"):
                    hands = [hand_of(poses, side)[:3, 3] for poses in (before, after)]
                    assert np.linalg.norm(hands[0] - hands[1]) < furthest, (side, time_s)


def test_what_is_away_is_not_drawn_and_everything_else_of_the_table_is(stages: list[tuple[Script, Stage]]) -> None:
    num_away = 0
    for script, stage in stages[:6]:
        for event, following in zip(script.events, script.events[1:], strict=False):
            time_s = (event.end_s + following.start_s) / 2
            if script.table_at(time_s) != script.table_at(event.end_s):
                continue
            drawn = {name for name in stage.poses(time_s) if name.startswith("thing")}
            table = script.table_at(time_s).things
            assert drawn == {f"thing{row}" for row in table if event.after[row].place != "away"}
            num_away += len(table) - len(drawn)
    assert num_away > 10
