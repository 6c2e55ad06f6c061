"""A script of this repertoire brought to life: the bodies of a video and where each is at any time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.scenes.hands import SKINS, SLEEVES, Grip, HandPose, Side, build_hand, pose_matrix
from henasy.scenes.household import paint
from henasy.scenes.household.combinations import COLOURS
from henasy.scenes.household.head import draw_head
from henasy.scenes.household.kinds import KIND_OF, Kind
from henasy.scenes.household.motions import Moment, Placement, Touch, grasp, lid_shift, moment, resting, smooth
from henasy.scenes.household.paint import Paint, Texture
from henasy.scenes.household.room import Room, draw_room, shadow_mesh
from henasy.scenes.household.script import Event, Script
from henasy.scenes.household.states import Rest, outwards
from henasy.scenes.mesh import Colour, Part, lathe, rotation, translation
from henasy.scenes.renderer import Body, Renderer

Matrix = NDArray[np.float64]

FOV_DEG = 70.0
SIDES: tuple[Side, Side] = ("left", "right")
_TOOL_COLOURS: dict[str, tuple[Colour, Colour]] = {
    "knife": ((0.2, 0.2, 0.22), (0.2, 0.2, 0.22)),
    "spoon": ((0.78, 0.6, 0.38), (0.7, 0.5, 0.3)),
    "sponge": ((0.93, 0.82, 0.25), (0.2, 0.45, 0.25)),
}
_STREAMS: tuple[Colour, ...] = ((0.75, 0.87, 0.95), (0.96, 0.95, 0.92), (0.4, 0.2, 0.08), (0.85, 0.5, 0.1))
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

    fov_deg = FOV_DEG

    def __init__(self, script: Script, rng: np.random.Generator) -> None:
        self._script = script
        self._room: Room = draw_room(rng)
        self._head = draw_head(rng)
        self._skin = SKINS[int(rng.integers(len(SKINS)))]
        self._sleeve = SLEEVES[int(rng.integers(len(SLEEVES)))]
        self._sleeve_length = float(rng.uniform(0.15, 0.8))
        self._is_idle_visible = bool(rng.random() < 0.75)
        self._stream = _STREAMS[int(rng.integers(len(_STREAMS)))]
        self._textures, self._paints = self._draw_paints(rng)
        self._starts = np.array([event.start_s for event in script.events])
        self.instances = self._number()
        self._tools = {row.noun: row.instance for row in self.instances if row.noun in _TOOL_COLOURS and not row.colour}

    def _draw_paints(self, rng: np.random.Generator) -> tuple[dict[str, Texture], list[Paint]]:
        textures = self._room.textures | {
            "skin": paint.skin(rng),
            "cloth": paint.cloth(rng),
            "label": paint.striped_cloth((0.35, 0.35, 0.4)),
            "checked lid": paint.checked((0.75, 0.15, 0.15)),
            "woven": paint.tiles(rng, (0.95, 0.93, 0.9), (0.7, 0.66, 0.6), "brick"),
            "pores": paint.speckled(rng, (0.98, 0.98, 0.98), (0.7, 0.7, 0.7)),
        }
        paints = []
        for row, thing in enumerate(self._script.things):
            main, second = COLOURS[thing.colour], COLOURS[thing.second]
            textures[f"thing{row}"] = paint.draw_pattern(rng, main, second)
            paints.append(Paint(main, second, f"thing{row}"))
        return textures, paints

    def _number(self) -> list[Instance]:
        things = [Instance(1 + row, thing.kind.noun, thing.colour) for row, thing in enumerate(self._script.things)]
        tools = sorted({event.tool for event in self._script.events if event.tool})
        others = [f"{side} hand" for side in SIDES] + tools
        return things + [Instance(1 + len(things) + row, noun, "") for row, noun in enumerate(others)]

    def load(self, renderer: Renderer) -> None:
        """Gives every body of the video to the renderer."""
        bodies = {
            "room": Body(self._room.parts, 0, is_two_sided=True),
            "glow": Body(self._room.glowing, 0, is_two_sided=True, is_lit=False),
            "stream": Body([Part(lathe([(1, 0), (1, 1)], 7), self._stream, "plain")], 0, is_two_sided=True),
        }
        for row, (thing, painted) in enumerate(zip(self._script.things, self._paints, strict=True)):
            bodies[f"thing{row}"] = Body(thing.kind.build(painted), 1 + row, is_two_sided=True)
            if thing.kind.build_lid is not None:
                bodies[f"lid{row}"] = Body(thing.kind.build_lid(painted), 1 + row, is_two_sided=True)
            disc = [Part(shadow_mesh(), (0.0, 0.0, 0.0), "plain")]
            bodies[f"shadow{row}"] = Body(disc, 0, opacity=0.32, is_two_sided=True)
        bodies |= self._hand_bodies()
        for noun, instance in self._tools.items():
            main, second = _TOOL_COLOURS[noun]
            bodies[f"tool {noun}"] = Body(KIND_OF[noun].build(Paint(main, second, "wood")), instance, is_two_sided=True)
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
        rests, now = self._script.start, None
        if event is not None:
            is_acting = time_s < event.end_s
            rests = event.before if is_acting else event.after
            now = moment(event, self._script.things, time_s) if is_acting else None
        poses = {"room": np.eye(4), "glow": np.eye(4)}
        for index in table.things:
            is_target = now is not None and event is not None and index == event.thing
            poses |= self._thing_poses(index, rests[index], now if is_target else None)
        for side in SIDES:
            poses |= self._hand_poses(side, event, now, rests, time_s, table.things)
        if now is not None and now.stream is not None:
            poses["stream"] = _stream_matrix(*now.stream)
        return poses

    def _thing_poses(self, index: int, rest: Rest, now: Moment | None) -> dict[str, Matrix]:
        if now is None and rest.place == "away":
            return {}
        kind = self._script.things[index].kind
        placement = resting(rest) if now is None else now.placement
        lid_share = float(rest.is_open) if now is None else now.lid_share
        whole = placement.matrix(kind.grip)
        poses = {f"thing{index}": whole, f"shadow{index}": self._shadow(kind, placement, rest)}
        if kind.build_lid is not None:
            beside = translation(*lid_shift(rest, kind, lid_share)) @ resting(rest).matrix(kind.grip)
            poses[f"lid{index}"] = beside if lid_share > 0 else whole
        return poses

    def _shadow(self, kind: Kind, placement: Placement, rest: Rest) -> Matrix:
        height = max(placement.z, 0.0)
        away_x, away_y, _ = self._room.light.direction
        matrix = translation(
            placement.x + away_x * (0.3 + 0.6 * height), placement.y + away_y * (0.3 + 0.6 * height), 0.045
        )
        matrix[:3, :3] *= kind.radius * (1.05 if rest.place != "inside" else 0.6)
        return matrix

    def _hand_poses(
        self, side: Side, event: Event | None, now: Moment | None, rests: tuple[Rest, ...], time_s: float, table: range
    ) -> dict[str, Matrix]:
        idle = self._idle(side, time_s)
        touch = now.touches.get(side) if now is not None else None
        held = next((row for row in table if rests[row].holder == side), None)
        if touch is None and held is not None:
            touch = Touch(grasp(self._script.things[held].kind, resting(rests[held]), side), 1.0)
        pose = idle if touch is None else idle.blended(touch.pose, touch.share)
        grip = "closed" if touch is not None and touch.is_closed and touch.share > 0.05 else "open"
        poses = {f"{side} {grip}": pose_matrix(pose, side)}
        if now is not None and event is not None and event.side == side and event.tool is not None:
            poses[f"tool {event.tool}"] = _tool_matrix(event.tool, pose, side)
        return poses

    def _idle(self, side: Side, time_s: float) -> HandPose:
        out = outwards(side)
        near = [event for event in self._script.events if event.side == side and event.tool]
        tucked = max((_nearness(event, time_s) for event in near), default=0.0)
        if not self._is_idle_visible:
            tucked = 1.0
        drift = 0.12 * np.sin(0.9 * time_s + out)
        shown = HandPose(out * 2.6 + drift, -1.75, 0.5 + 0.5 * drift, 0, 12 * out)
        return shown.blended(HandPose(out * 2.9, -5.6, 0.6, 0, 0), smooth(tucked))

    def eye(self, time_s: float) -> Matrix:
        """(4, 4) camera to world."""
        row = int(np.searchsorted(self._starts, time_s + _GLANCE_S, side="right")) - 1
        spots = [(0.0, 0.6)] + [_spot(event, time_s) for event in self._script.events[max(row - 1, 0) : row + 1]]
        target, origin = spots[-1], spots[-2] if len(spots) > 1 else spots[-1]
        share = smooth((time_s + _GLANCE_S - self._starts[row]) / (2 * _GLANCE_S)) if row >= 0 else 1.0
        gaze = (origin[0] + share * (target[0] - origin[0]), origin[1] + share * (target[1] - origin[1]))
        return self._head.matrix(time_s, gaze)


def _spot(event: Event, time_s: float) -> tuple[float, float]:
    """Where the wearer looks: along the way of the thing, as far as that is in view, or at what it is poured into."""
    before, after = event.before[event.thing], event.after[event.thing]
    if event.verb == "pour" and event.partner is not None:
        into = event.before[event.partner]
        return (before.x + into.x) / 2, (before.y + into.y) / 2 + 1.0
    first, last = (after if before.place == "away" else before), (before if after.place == "away" else after)
    share = smooth((time_s - event.start_s) / (event.end_s - event.start_s))
    return first.x + share * (last.x - first.x), first.y + share * (last.y - first.y)


def _nearness(event: Event, time_s: float) -> float:
    """1 while the event lasts, falling to 0 within a moment before and after."""
    away_s = max(event.start_s - time_s, time_s - event.end_s, 0.0)
    return max(1.0 - away_s / _TUCK_S, 0.0)


def _stream_matrix(x: float, y: float, top: float, bottom: float) -> Matrix:
    matrix = translation(x, y, bottom)
    matrix[:3, :3] = np.diag([0.09, 0.09, max(top - bottom, 0.1)])
    return matrix


def _tool_matrix(noun: str, pose: HandPose, side: Side) -> Matrix:
    if noun == "spoon":
        lean = rotation("y", -90 + 40 * outwards(side))
        return translation(pose.x, pose.y + 0.5, pose.z) @ lean @ translation(-1.0, 0, 0)
    if noun == "knife":
        # Edge down, tip away from the wearer.
        turn = rotation("z", -90 + 35 * outwards(side)) @ rotation("x", 90)
        return translation(pose.x, pose.y + 0.2, pose.z - 0.15) @ turn @ translation(-0.95, 0, 0)
    return translation(pose.x, pose.y + 0.5, pose.z - 0.6)
