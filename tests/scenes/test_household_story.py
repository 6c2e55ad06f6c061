"""Stories of the household repertoire: what may follow what, what is held out, and how it is worded."""

import ast
import csv
import io
import math
import re
from collections import Counter

import numpy as np
import pytest

from henasy.errors import ConfigError
from henasy.scenes.archive import COLUMNS, ArchiveConfig, _narrations
from henasy.scenes.household.combinations import COLOURS, able_nouns, is_held_out_action, is_held_out_colour
from henasy.scenes.household.kinds import KIND_OF, KINDS
from henasy.scenes.household.script import Event, Script
from henasy.scenes.household.story import HOUSEHOLD
from henasy.scenes.household.verbs import TWINS, VERB_OF, VERBS

TRAIN = ArchiveConfig(seed=41, num_videos=40, video_s=120.0, fps=8)
TEST = ArchiveConfig(seed=41, num_videos=40, video_s=120.0, fps=8, split="test")
LONG = ArchiveConfig(seed=41, num_videos=2, video_s=600.0, fps=8, split="test", longest_action_s=60.0)


def scripts_of(config: ArchiveConfig) -> list[Script]:
    return [config.story(number).script for number in range(config.num_videos)]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def train() -> list[Script]:
    return scripts_of(TRAIN)


@pytest.fixture(scope="module")
def test() -> list[Script]:
    return scripts_of(TEST)


@pytest.fixture(scope="module")
def long() -> list[Script]:
    return scripts_of(LONG)


def pair(script: Script, event: Event) -> tuple[str, str]:
    return script.things[event.thing].kind.noun, event.verb


def test_there_are_24_nouns_and_23_verbs_and_no_word_means_two_of_them() -> None:
    assert (len(KINDS), len(VERBS)) == (24, 23)
    for rows in (HOUSEHOLD.nouns, HOUSEHOLD.verbs):
        words = [word for row in rows for word in row.words]
        assert len(words) == len(set(words))
        assert [row.label for row in rows] == sorted(row.label for row in rows)
    assert all(len(verb.wordings) >= 2 and wording.word in verb.words for verb in VERBS for wording in verb.wordings)
    assert {verb.tool for verb in VERBS if verb.tool} <= set(KIND_OF)


def test_every_noun_verb_and_colour_comes_up_in_either_split(train: list[Script], test: list[Script]) -> None:
    for scripts in (train, test):
        verbs = Counter(event.verb for script in scripts for event in script.events)
        nouns = Counter(pair(script, event)[0] for script in scripts for event in script.events)
        assert set(verbs) == set(VERB_OF)
        assert set(nouns) == set(KIND_OF)
        assert min(verbs.values()) > 0.01 * verbs.total()
        assert min(nouns.values()) > 0.01 * nouns.total()
        assert {thing.colour for script in scripts for thing in script.things} == set(COLOURS)


def test_held_out_combinations_are_one_in_six_of_every_verb_and_only_in_test(
    train: list[Script], test: list[Script]
) -> None:
    for verb in VERBS:
        able = able_nouns(verb.label)
        share = sum(is_held_out_action(noun, verb.label) for noun in able) / len(able)
        assert 0.1 <= share <= 0.3, verb.label
    for verb, undone in TWINS.items():
        assert able_nouns(verb) == able_nouns(undone)
        assert all(is_held_out_action(noun, verb) == is_held_out_action(noun, undone) for noun in able_nouns(verb))
    held_out = {
        name: [is_held_out_action(*pair(script, event)) for script in scripts for event in script.events]
        for name, scripts in (("train", train), ("test", test))
    }
    assert not any(held_out["train"])
    assert 0.2 < np.mean(held_out["test"]) < 0.5
    colours = {
        name: [is_held_out_colour(thing.kind.noun, thing.colour) for script in scripts for thing in script.things]
        for name, scripts in (("train", train), ("test", test))
    }
    assert not any(colours["train"])
    assert np.mean(colours["test"]) > 0.05


def test_every_deed_is_done_by_what_can_do_it(train: list[Script], test: list[Script], long: list[Script]) -> None:
    for script in [*train, *test, *long]:
        for event in script.events:
            noun, verb = pair(script, event)
            assert noun in able_nouns(verb)
            assert (event.partner is not None) == VERB_OF[verb].has_partner
            if event.partner is None:
                continue
            of = script.things[event.partner].kind
            assert event.partner != event.thing
            assert event.partner in script.table_at(event.start_s).things
            assert verb not in ("insert", "remove") or of.floor is not None
            assert verb != "pour" or of.is_vessel


def test_states_follow_each_other_and_nothing_moves_that_should_not(
    train: list[Script], test: list[Script], long: list[Script]
) -> None:
    for script in [*train, *test, *long]:
        for event, following in zip(script.events, script.events[1:], strict=False):
            assert following.start_s > event.end_s
            if following.thing in script.table_at(event.start_s).things:
                assert following.before == event.after
                assert (following.thing, following.verb) != (event.thing, event.verb)
        for event in script.events:
            changed = [row for row, rest in enumerate(event.before) if rest != event.after[row]]
            assert changed in ([], [event.thing])
            leaning = [rest for rest in event.before if rest.partner == event.thing]
            assert not (changed and leaning), "something in, behind or in front of it"


def test_a_hand_holds_one_thing_and_acts_with_no_other(train: list[Script], test: list[Script]) -> None:
    num_held_meanwhile = 0
    for script in [*train, *test]:
        for event in script.events:
            for rests in (event.before, event.after):
                holders = [rest.holder for rest in rests if rest.holder]
                assert len(holders) == len(set(holders))
            held = {rest.holder: row for row, rest in enumerate(event.before) if rest.holder}
            assert held.get(event.side, event.thing) == event.thing
            num_held_meanwhile += bool(held) and event.thing not in held.values()
            if event.verb == "pass":
                assert (event.before[event.thing].holder, event.after[event.thing].holder) in (
                    ("left", "right"),
                    ("right", "left"),
                )
    assert num_held_meanwhile > 20, "one hand acts while the other holds"


def test_what_was_taken_away_hidden_or_put_in_comes_back_home(train: list[Script]) -> None:
    undone_by = {"away": "bring", "behind": "fetch", "inside": "remove"}
    seen = Counter[str]()
    for script in train:
        for event in script.events:
            before, after = event.before[event.thing], event.after[event.thing]
            if before.place in undone_by:
                assert event.verb == undone_by[before.place]
                assert after.place == "home"
                assert (after.x, after.y) == script.things[event.thing].home
                seen[before.place] += 1
            if before.place == "away":
                assert (event.side == "right") == (before.x > 0), "the hand that took it away"
    assert min(seen[place] for place in undone_by) > 10


def test_things_at_rest_keep_apart(train: list[Script], test: list[Script]) -> None:
    least = []
    for script in [*train, *test]:
        for event in script.events:
            rests = [event.after[row] for row in script.table_at(event.start_s).things]
            standing = [rest for rest in rests if rest.place not in ("held", "away", "inside")]
            pairs = ((rest, beside) for row, rest in enumerate(standing) for beside in standing[:row])
            least.append(min((math.hypot(a.x - b.x, a.y - b.y) for a, b in pairs), default=9.0))
    # What comes home may find that something was put near its place meanwhile.
    assert np.mean(np.array(least) < 1.4) < 0.01
    assert min(least) > 0.7


def test_nothing_is_held_when_a_table_goes_but_for_the_end_of_a_video(train: list[Script], long: list[Script]) -> None:
    for script in [*train, *long]:
        for table, following in zip(script.tables, script.tables[1:], strict=False):
            last = [event for event in script.events if event.thing in table.things][-1]
            is_end = following.start_s > script.duration_s - 4
            assert is_end or not any(last.after[row].holder for row in table.things)


def test_long_actions_are_as_long_as_their_verbs_can_go_on(long: list[Script]) -> None:
    events = [event for script in long for event in script.events]
    assert all(0.499 <= event.end_s - event.start_s <= VERB_OF[event.verb].longest_s + 0.001 for event in events)
    assert {event.verb for event in events if event.end_s - event.start_s > 15} <= {
        "shake",
        "stir",
        "wipe",
        "cut",
        "tap",
    }
    assert max(event.end_s - event.start_s for event in events) > 40
    assert all(len(LONG.stage(number).instances) <= 255 for number in range(2))


@pytest.mark.parametrize(("video_s", "longest_s"), [(7200.0, None), (1800.0, 60.0), (60.0, 600.0), (5.0, None)])
def test_extreme_lengths_give_a_story_with_few_enough_instances(video_s: float, longest_s: float | None) -> None:
    config = ArchiveConfig(seed=2, num_videos=1, video_s=video_s, fps=8, longest_action_s=longest_s)
    assert scripts_of(config)[0].events
    assert len(config.stage(0).instances) <= 255


def narrated(config: ArchiveConfig) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_narrations(config)), delimiter="\t"))


def test_narrations_name_what_happens(test: list[Script]) -> None:
    lines = narrated(TEST)
    assert tuple(lines[0]) == COLUMNS
    events = [(script, event) for script in test for event in script.events]
    assert len(lines) == len(events)
    nouns, verbs = ([row.label for row in rows] for rows in (HOUSEHOLD.nouns, HOUSEHOLD.verbs))
    for line, (script, event) in zip(lines, events, strict=True):
        noun, verb = pair(script, event)
        assert (line["noun"], line["verb_label"], line["hand"]) == (noun, verb, event.side)
        assert int(line["object_id"]) == event.thing + 1
        tags = [nouns[row] for row in ast.literal_eval(line["tag_noun"])]
        assert [verbs[row] for row in ast.literal_eval(line["tag_verb"])] == [verb]
        assert tags[0] == noun
        assert all(re.search(rf"\b{tag}\b", line["clip_text"]) for tag in tags)
        assert line["verb"] in VERB_OF[verb].words
        assert f"the {noun}" in line["verb_phrase"]
        assert "{" not in line["clip_text"] + line["verb_phrase"]
        partner = None if event.partner is None else script.things[event.partner].kind.noun
        assert line["partner"] == (partner or "")
        assert line["partner_id"] == ("" if event.partner is None else str(event.partner + 1))
        if " hand " in f"{line['clip_text']} " and "other" not in line["clip_text"]:
            assert f"{event.side} hand" in line["clip_text"]


def test_narrations_use_every_wording_and_articles_fit() -> None:
    lines = narrated(TRAIN)
    templates = {wording for verb in VERBS for wording in verb.wordings}
    starts = {wording.third.split(" {o}")[0] for wording in templates}
    texts = [line["clip_text"].removeprefix("#C C ") for line in lines]
    assert {start for start in starts if any(text.startswith(start + " ") for text in texts)} == starts
    assert not any(re.search(r"\ba [aeio]|\ban [^aeio]", text) for text in texts)
    colours = np.mean([line["colour"] in line["clip_text"].split() for line in lines])
    assert 0.06 < colours < 0.12


def test_config_names_an_unknown_repertoire() -> None:
    with pytest.raises(ConfigError, match="repertoire is 'garage', must be 'household'"):
        ArchiveConfig(seed=0, num_videos=1, repertoire="garage")
