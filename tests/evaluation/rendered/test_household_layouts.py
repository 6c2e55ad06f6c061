"""The benchmarks' layouts of a rendered archive: word swaps, questions about spans, moments."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import AnnotationError
from henasy.evaluation.annotations.egohoi import FILE_NAME, NUM_SWAPS, load_egohoi
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips
from henasy.evaluation.rendered.spans import moments_annotations, nlq_annotations, read_actions
from henasy.evaluation.rendered.swaps import write_swaps
from henasy.scenes.archive import ArchiveConfig, _claim, _narrations
from henasy.scenes.household.story import HOUSEHOLD
from henasy.scenes.household.swaps import noun_swaps, verb_swaps
from henasy.scenes.household.verbs import VERB_OF

CONFIG = ArchiveConfig(seed=12, num_videos=10, video_s=120.0, fps=8, split="test")
PARTNERED = {verb.label for verb in VERB_OF.values() if verb.has_partner}


def written(folder: Path, config: ArchiveConfig) -> Path:
    """An archive without its videos, which layouts do not need."""
    folder.mkdir(exist_ok=True)
    _claim(config, folder)
    _claim(config, folder)
    (folder / "narrations.csv").write_text(_narrations(config))
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("household") / "archive", CONFIG)


@pytest.fixture(scope="module")
def clips(archive: Path) -> list[RenderedClip]:
    return read_rendered_clips(archive)


def said(text: str, verbs: set[str]) -> set[str]:
    """Labels of the verbs of which a sentence is a wording, whatever it is about."""
    found = set()
    for label in verbs:
        for wording in VERB_OF[label].wordings:
            pattern = re.sub(r"\\\{[op]\\\}", r"(?:the|an?) (?:\\w+ )?\\w+", re.escape(wording.third))
            pattern = re.sub(r"\\\{[hg]\\\}", "(?:left|right)", pattern)
            if re.fullmatch(rf"#C C {pattern}(?: with the (?:left|right) hand)?", text):
                found.add(label)
    return found


def test_verb_swaps_say_another_action_of_the_same_things(clips: list[RenderedClip]) -> None:
    assert {clip.verb for clip in clips} == set(VERB_OF)
    for at, clip in enumerate(clips):
        swaps = verb_swaps(clip.said, np.random.default_rng(at), NUM_SWAPS)
        assert len(swaps) == len(set(swaps)) == 10
        assert clip.text not in swaps
        like = {label for label in VERB_OF if (label in PARTNERED) == (clip.verb in PARTNERED)}
        false = like - {clip.verb} - VERB_OF[clip.verb].also_true
        assert clip.verb in said(clip.text, like)
        assert all(said(swap, false) for swap in swaps), "worded as a verb that is not true of it"
        assert all(clip.noun in swap.split() for swap in swaps)
        assert not any("{" in swap for swap in swaps)


def test_noun_swaps_say_the_same_action_of_another_thing(clips: list[RenderedClip]) -> None:
    nouns = {noun.label for noun in HOUSEHOLD.nouns}
    for at, clip in enumerate(clips):
        swaps = noun_swaps(clip.said, np.random.default_rng(at), NUM_SWAPS)
        assert len(swaps) == len(set(swaps)) == 10
        for swap in swaps:
            assert clip.verb in said(swap, {clip.verb})
            changed = set(swap.split()) - set(clip.text.split()) - {"a", "an"}
            assert len(changed) == 1
            assert changed <= nouns


def test_swaps_are_written_and_read_again(clips: list[RenderedClip], tmp_path: Path) -> None:
    write_swaps(clips, tmp_path / FILE_NAME)
    items = load_egohoi(tmp_path).items
    assert [item.text for item in items] == [clip.text for clip in clips]


def test_a_verb_that_archives_do_not_have_is_refused(clips: list[RenderedClip]) -> None:
    with pytest.raises(AnnotationError, match="verb 'tilt' is not one of"):
        verb_swaps(replace(clips[0], verb="tilt").said, np.random.default_rng(0), NUM_SWAPS)


def test_every_action_can_be_asked_about_and_is_a_moment(archive: Path) -> None:
    actions = read_actions(archive)
    lengths_s = {CONFIG.video_uid(number): 120.0 for number in range(CONFIG.num_videos)}
    for annotate in (nlq_annotations, moments_annotations):
        assert annotate(actions, lengths_s, CONFIG.fps, "val")["videos"]
