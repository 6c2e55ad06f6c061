"""A script brought to life: the bodies of a video and where each is at any time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.scenes.actions import Motion, Rest, motion, smooth
from henasy.scenes.combinations import COLOURS
from henasy.scenes.hands import SKINS, SLEEVES, Grip, HandPose, Side, build_hand, pose_matrix
from henasy.scenes.kitchen import Room, draw_room, draw_textures, shadow_mesh
from henasy.scenes.mesh import Part, rotation, translation
from henasy.scenes.renderer import Body, Renderer
from henasy.scenes.script import LONGEST_REACH_S, REACH_SHARE, Event, Script
from henasy.scenes.shapes import KIND_OF, Kind

Matrix = NDArray[np.float64]

SIDES: tuple[Side, Side] = ("left", "right")
_TOOL_COLOUR = {"spoon": (0.7, 0.71, 0.74), "sponge": (0.9, 0.8, 0.2)}
_TUCK_S = 0.35
_GLANCE_S = 0.3


class Instance(NamedTuple):
    """One row of a video's instance table."""

    instance: int
    """1..255, its value in instance maps"""
    noun: str
    colour: str
    """Empty for hands and tools"""


class Stage:
    """One video's bodies and their poses as a function of time."""

    fov_deg = 61.0

    def __init__(self, script: Script, rng: np.random.Generator) -> None:
        self._script = script
        self._room: Room = draw_room(rng)
        self._textures = draw_textures(rng)
        self._skin = SKINS[int(rng.integers(len(SKINS)))]
        self._sleeve = SLEEVES[int(rng.integers(len(SLEEVES)))]
        self._sleeve_length = float(rng.uniform(0.15, 0.8))
        self._is_idle_visible = bool(rng.random() < 0.6)
        self._starts = np.array([event.start_s for event in script.events])
        self.instances = self._number()
        self._tools = {row.noun: row.instance for row in self.instances if not row.colour and "hand" not in row.noun}

    def _number(self) -> list[Instance]:
        things = [Instance(1 + row, thing.kind.noun, thing.colour) for row, thing in enumerate(self._script.things)]
        tools = sorted({event.tool for event in self._script.events if event.tool})
        others = [f"{side} hand" for side in SIDES] + tools
        return things + [Instance(1 + len(things) + row, noun, "") for row, noun in enumerate(others)]

    def load(self, renderer: Renderer) -> None:
        """Gives every body of the video to the renderer."""
        bodies = {"room": Body(self._room.parts, 0, is_two_sided=True)}
        for row, thing in enumerate(self._script.things):
            colour = COLOURS[thing.colour]
            bodies[f"thing{row}"] = Body(thing.kind.build(colour), 1 + row, is_two_sided=True)
            if thing.kind.build_lid is not None:
                bodies[f"lid{row}"] = Body(thing.kind.build_lid(colour), 1 + row, is_two_sided=True)
            disc = [Part(shadow_mesh(), (0.0, 0.0, 0.0), "plain")]
            bodies[f"shadow{row}"] = Body(disc, 0, opacity=0.35, is_two_sided=True)
        bodies |= self._hand_bodies()
        for noun, instance in self._tools.items():
            bodies[f"tool {noun}"] = Body(KIND_OF[noun].build(_TOOL_COLOUR[noun]), instance, is_two_sided=True)
        renderer.load(bodies, self._room.light, self._textures, self._room.background)

    def _hand_bodies(self) -> dict[str, Body]:
        rows = {row.noun: row.instance for row in self.instances}
        grips: tuple[Grip, Grip] = ("open", "closed")
        return {
            f"{side} {grip}": Body(
                build_hand(side, grip, self._skin, self._sleeve, self._sleeve_length),
                rows[f"{side} hand"],
                is_two_sided=True,
            )
            for side in SIDES
            for grip in grips
        }

    def poses(self, time_s: float) -> dict[str, Matrix]:
        """(4, 4) body to world of every visible body."""
        row = int(np.searchsorted(self._starts, time_s, side="right")) - 1
        table = self._script.table_at(time_s)
        event = self._script.events[row] if row >= 0 and self._script.events[row].thing in table.things else None
        rests = self._script.start if event is None else event.after
        is_acting = event is not None and time_s < event.end_s
        done = Motion()
        if event is not None and is_acting:
            rests = event.before
            done = _motion_at(event, time_s)
        poses = {"room": np.eye(4)}
        for index in table.things:
            is_target = event is not None and is_acting and index == event.thing
            poses |= self._thing_poses(index, rests[index], done if is_target else Motion(), is_target)
        for side in SIDES:
            poses |= self._hand_poses(side, event, rests, time_s)
        return poses

    def _thing_poses(self, index: int, rest: Rest, done: Motion, is_target: bool) -> dict[str, Matrix]:
        kind = self._script.things[index].kind
        middle = kind.height / 2
        place = translation(rest.x + done.x, rest.y + done.y, rest.z + done.z)
        roll = translation(0, 0, middle) @ rotation("y", done.roll_deg) @ translation(0, 0, -middle)
        whole = place @ roll @ rotation("z", rest.yaw_deg + done.yaw_deg)
        height = max(rest.z + done.z, 0.0)
        shadow = place.copy()
        shadow[:3, 3] = (rest.x + done.x + 0.15, rest.y + done.y + 0.1 + 0.2 * height, 0.03)
        shadow[:3, :3] *= kind.radius * (1.0 + 0.05 * height)
        poses = {f"thing{index}": whole, f"shadow{index}": shadow}
        if kind.build_lid is not None:
            share = done.lid_share if is_target and _moves_lid(done, rest) else float(rest.is_open)
            poses[f"lid{index}"] = _lid_place(rest, kind, share) @ whole if share > 0 else whole
        return poses

    def _hand_poses(self, side: Side, event: Event | None, rests: tuple[Rest, ...], time_s: float) -> dict[str, Matrix]:
        idle = self._idle(side, time_s)
        pose, grip, tool = idle, "open", None
        if event is not None and event.side == side:
            rest = rests[event.thing]
            is_acting = time_s < event.end_s
            if is_acting:
                share = _hand_share(event, time_s)
                pose = idle.blended(self._contact(event, rest, _motion_at(event, time_s)), share)
                tool = event.tool
            elif rest.is_held:
                pose = self._contact(event, rest, Motion())
            grip = "closed" if is_acting or rest.is_held else "open"
        matrix = pose_matrix(pose, side)
        poses = {f"{side} {grip}": matrix}
        if tool is not None:
            poses[f"tool {tool}"] = _tool_place(tool, pose)
        return poses

    def _contact(self, event: Event, rest: Rest, done: Motion) -> HandPose:
        kind = self._script.things[event.thing].kind
        x, y, z = rest.x + done.x, rest.y + done.y, rest.z + done.z
        if event.tool == "spoon":
            return HandPose(x + 0.25 + done.hand_x, y - 0.3 + done.hand_y, kind.height + 1.9, 0, 0)
        if event.tool == "sponge":
            return HandPose(x + done.hand_x, y - 0.5 + done.hand_y, kind.height + 1.1, 0, 0)
        if event.verb in ("open", "close"):
            lid = _lid_place(rest, kind, done.lid_share)[:3, 3]
            return HandPose(x + lid[0], y + lid[1] - 0.75, kind.height + 0.75 + lid[2], 0, 0)
        # A rolled object is narrower, and the hand stays at it.
        reach_x = 0.55 * kind.radius * event.outwards * (1 - 0.6 * min(abs(done.roll_deg) / 85, 1.0))
        twist = done.hand_twist_deg
        angle = np.radians(0.5 * twist)
        swing = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ (
            reach_x,
            -0.75 * kind.radius - 0.2,
        )
        return HandPose(x + swing[0], y + swing[1], z + kind.height + 0.2, 0.8 * done.roll_deg, twist)

    def _idle(self, side: Side, time_s: float) -> HandPose:
        outwards = 1.0 if side == "right" else -1.0
        tucked = max(
            (_nearness(event, time_s) for event in self._script.events if event.side == side and event.tool),
            default=0.0,
        )
        if not self._is_idle_visible:
            tucked = 1.0
        drift = 0.12 * np.sin(0.9 * time_s + outwards)
        shown = HandPose(outwards * 2.5 + drift, -1.9, 0.5 + 0.5 * drift, 0, 12 * outwards)
        return shown.blended(HandPose(outwards * 2.7, -5.2, 0.6, 0, 0), smooth(tucked))

    def eye(self, time_s: float) -> Matrix:
        """(4, 4) camera to world."""
        row = int(np.searchsorted(self._starts, time_s + _GLANCE_S, side="right")) - 1
        spots = [(0.0, 0.6)] + [self._spot(event) for event in self._script.events[max(row - 1, 0) : row + 1]]
        target, origin = spots[-1], spots[-2] if len(spots) > 1 else spots[-1]
        share = smooth((time_s + _GLANCE_S - self._starts[row]) / (2 * _GLANCE_S)) if row >= 0 else 1.0
        gaze = (origin[0] + share * (target[0] - origin[0]), origin[1] + share * (target[1] - origin[1]))
        return self._room.sway.eye_matrix(time_s, gaze)

    def _spot(self, event: Event) -> tuple[float, float]:
        return event.before[event.thing].x, event.before[event.thing].y


def _nearness(event: Event, time_s: float) -> float:
    """1 while the event lasts, falling to 0 within a moment before and after."""
    away_s = max(event.start_s - time_s, time_s - event.end_s, 0.0)
    return max(1.0 - away_s / _TUCK_S, 0.0)


def _moves_lid(done: Motion, rest: Rest) -> bool:
    return done.lid_share > 0 or rest.is_open


def _contact_span(event: Event) -> tuple[float, float]:
    """When the hand touches: all of the action if it holds already or keeps holding."""
    reach_s = min(REACH_SHARE * (event.end_s - event.start_s), LONGEST_REACH_S)
    starts_held = event.before[event.thing].is_held
    ends_held = event.after[event.thing].is_held
    return event.start_s + (0 if starts_held else reach_s), event.end_s - (0 if ends_held else reach_s)


def _motion_at(event: Event, time_s: float) -> Motion:
    start_s, end_s = _contact_span(event)
    contact_s = end_s - start_s
    elapsed_s = min(max(time_s, start_s), end_s) - start_s
    return motion(
        event.verb,
        elapsed_s / contact_s,
        rest=event.before[event.thing],
        outwards=event.outwards,
        elapsed_s=elapsed_s,
        contact_s=contact_s,
    )


def _hand_share(event: Event, time_s: float) -> float:
    """0 = idle, 1 = at the object."""
    start_s, end_s = _contact_span(event)
    if time_s < start_s:
        return smooth((time_s - event.start_s) / (start_s - event.start_s))
    if time_s > end_s:
        return smooth((event.end_s - time_s) / (event.end_s - end_s))
    return 1.0


def _lid_place(rest: Rest, kind: Kind, share: float) -> Matrix:
    """Where a lid is relative to its closed place, moving up, sideways and down beside the object."""
    towards = -1.0 if rest.x > 0 else 1.0
    rise = 1.3 * np.sin(np.pi * min(share, 1.0)) - share * _lid_drop(kind)
    return translation(towards * 1.35 * share, -0.5 * share, float(rise))


def _lid_drop(kind: Kind) -> float:
    assert kind.build_lid is not None
    return min(float(part.mesh.points[:, 2].min()) for part in kind.build_lid((1.0, 1.0, 1.0)))


def _tool_place(noun: str, pose: HandPose) -> Matrix:
    if noun == "spoon":
        return translation(pose.x, pose.y + 0.5, pose.z) @ rotation("y", -72) @ translation(-1.0, 0, 0)
    return translation(pose.x, pose.y + 0.55, pose.z - 0.75)
