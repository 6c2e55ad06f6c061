"""Stories of long videos: lengths, tables and rests; and stories of short ones, which stay what they were."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from henasy.errors import ConfigError
from henasy.scenes.actions import VERB_OF
from henasy.scenes.archive import ArchiveConfig
from henasy.scenes.combinations import is_held_out_action
from henasy.scenes.script import Script

LONG = ArchiveConfig(
    seed=5, num_videos=3, video_s=600.0, fps=8, split="test", longest_action_s=60.0, repertoire="worktop"
)


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    return [LONG.story(number).script for number in range(LONG.num_videos)]


def test_actions_take_half_a_second_to_a_minute_evenly_in_the_logarithm(scripts: list[Script]) -> None:
    lengths = np.array([event.end_s - event.start_s for script in scripts for event in script.events])
    assert lengths.min() >= 0.499
    assert lengths.max() <= 60.001
    counts, _ = np.histogram(lengths, [0.49, 1, 2, 4, 8, 16, 30, 60.01])
    assert counts.min() > 0.05 * len(lengths)
    assert counts.max() < 0.35 * len(lengths)


def test_an_action_is_no_longer_than_its_verb_can_go_on(scripts: list[Script]) -> None:
    events = [event for script in scripts for event in script.events]
    assert all(event.end_s - event.start_s <= VERB_OF[event.verb].longest_s + 0.001 for event in events)
    assert {event.verb for event in events if event.end_s - event.start_s > 15} == {"shake", "stir", "wipe"}


def test_actions_follow_each_other_at_the_table_that_stands_there(scripts: list[Script]) -> None:
    for script in scripts:
        assert script.tables[0].start_s == 0.0
        assert len(script.tables) >= 5
        assert [row for table in script.tables for row in table.things] == list(range(len(script.things)))
        for event, following in zip(script.events, script.events[1:], strict=False):
            assert following.start_s - event.end_s >= 0.39
            assert (following.thing, following.verb) != (event.thing, event.verb)
        for event in script.events:
            for time_s in (event.start_s, event.end_s):
                assert event.thing in script.table_at(time_s).things
            assert len(event.before) == len(event.after) == len(script.things)
        assert script.events[-1].end_s <= script.duration_s


def test_nothing_is_held_when_a_table_goes_and_most_questions_have_one_answer(scripts: list[Script]) -> None:
    shares = []
    for script in scripts:
        for table in script.tables[:-1]:
            last = [event for event in script.events if event.thing in table.things][-1]
            assert not any(rest.is_held for rest in last.after)
        actions = Counter((script.things[event.thing].kind.noun, event.verb) for event in script.events)
        shares.append(sum(count == 1 for count in actions.values()) / len(actions))
    assert np.mean(shares) > 0.6


def test_only_things_of_the_present_table_are_posed() -> None:
    script, stage = LONG.story(0).script, LONG.stage(0)
    for table in script.tables:
        posed = {name for name in stage.poses(table.start_s + 0.1) if name.startswith("thing")}
        assert posed == {f"thing{row}" for row in table.things}
    assert len(stage.instances) <= 255


def test_a_long_stir_reaches_quickly_and_keeps_stirring() -> None:
    script, stage = LONG.story(0).script, LONG.stage(0)
    event = max(script.events, key=lambda event: event.end_s - event.start_s)
    assert event.end_s - event.start_s > 20
    name = f"{event.side} closed"
    places = np.array([stage.poses(event.start_s + seconds)[name][:3, 3] for seconds in 1.5 + 0.13 * np.arange(127)])
    travelled = np.linalg.norm(np.diff(places, axis=0), axis=1).reshape(7, 18).sum(axis=1)
    assert travelled.min() > 0.5 * travelled.max() > 0.2


def test_long_training_stories_never_show_held_out_combinations() -> None:
    config = ArchiveConfig(seed=5, num_videos=2, video_s=600.0, longest_action_s=60.0, repertoire="worktop")
    for number in range(config.num_videos):
        script = config.story(number).script
        assert not any(is_held_out_action(script.things[event.thing].kind.noun, event.verb) for event in script.events)


def test_stories_and_poses_of_short_actions_are_what_they_were() -> None:
    """Digests made before long actions existed: archives that are already rendered must stay valid."""
    digest = hashlib.sha256()
    for split in ("train", "test"):
        config = ArchiveConfig(seed=7001, num_videos=1, video_s=120.0, fps=8, split=split, repertoire="worktop")
        for event in config.story(0).script.events:
            digest.update(f"{event.start_s} {event.end_s} {event.verb} {event.thing} {event.side}\n".encode())
    assert digest.hexdigest() == "5d8d37ca20e15f93bb180fe44298de946d940be3f9aeab994ef3dbb24af3d641"
    stage, poses = (
        ArchiveConfig(seed=7001, num_videos=1, video_s=120.0, fps=8, split="test", repertoire="worktop").stage(0),
        hashlib.sha256(),
    )
    for time_s in np.arange(0, 120, 0.5).tolist():
        for name, pose in sorted(stage.poses(time_s).items()):
            poses.update(name.encode() + (np.round(pose, 6) + 0.0).tobytes())
        poses.update((np.round(stage.eye(time_s), 6) + 0.0).tobytes())
    assert poses.hexdigest() == "f6bb36da5d13f8b5f62a67fc336bce9b6f42d2c6be3e2231867085638775d411"


@pytest.mark.parametrize(("field", "value"), [("longest_action_s", 3.0), ("video_s", 59.0), ("video_s", 7200.0)])
def test_long_config_names_what_is_not_allowed(field: str, value: float) -> None:
    settings = {"seed": 0, "num_videos": 1, "video_s": 600.0, "longest_action_s": 60.0, field: value}
    with pytest.raises(ConfigError, match=f"{field} is {value}"):
        ArchiveConfig(**settings)  # type: ignore[arg-type]
