"""A rendered archive in the public layouts: exactly one choice is right, and the loaders take what is written."""

import csv
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import AnnotationError, ConfigError
from henasy.evaluation.annotations.egomcq import load_egomcq
from henasy.evaluation.annotations.epic100 import load_epic_retrieval
from henasy.evaluation.metrics.relevancy import relevancy_matrix
from henasy.evaluation.rendered.layouts import egomcq_questions, read_rendered_clips, sentence_clips, write_layouts
from henasy.scenes.archive import COLUMNS, ArchiveConfig, _claim, _narrations


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The narrations of a small archive; these layouts need no videos."""
    folder = tmp_path_factory.mktemp("archive")
    config = ArchiveConfig(seed=5, num_videos=7, video_s=40.0, split="test")
    _claim(config, folder)
    (folder / "narrations.csv").write_text(_narrations(config))
    return folder


def test_questions_have_exactly_one_right_choice(archive: Path, tmp_path: Path) -> None:
    clips = {clip.span: clip for clip in read_rendered_clips(archive)}
    loaded = load_egomcq(write_layouts(archive, tmp_path).egomcq)
    kinds = {1: 0, 2: 0}
    for question in loaded.questions:
        chosen = [clips[span] for span in question.choices]
        right = chosen[question.answer]
        assert question.text == right.text
        assert sum((clip.verb, clip.noun) == (right.verb, right.noun) for clip in chosen) == 1
        assert len({clip.span.video_id for clip in chosen}) == (5 if question.type == 1 else 1)
        kinds[question.type] += 1
    assert min(kinds.values()) > 50
    assert np.bincount(loaded.answers, minlength=5).min() > len(loaded.questions) / 10


def test_epic_layout_loads_and_every_query_has_a_match(archive: Path, tmp_path: Path) -> None:
    clips = read_rendered_clips(archive)
    loaded = load_epic_retrieval(write_layouts(archive, tmp_path).epic_annotations)
    assert len(loaded.clips) == len(clips)
    for clip, written in zip(clips, loaded.clips, strict=True):
        assert written.video_id == clip.span.video_id
        assert written.start_s == pytest.approx(clip.span.start_s, abs=0.0051)
        assert written.stop_s == pytest.approx(clip.span.end_s, abs=0.0051)
        assert f"#C C {written.narration}" == clip.text
    assert len(set(loaded.texts)) == len({clip.text for clip in clips})
    matrix = relevancy_matrix(loaded)
    assert (matrix == 1).any(axis=0).all()
    assert (matrix == 1).any(axis=1).all()


def test_layouts_depend_on_the_archive_alone(archive: Path, tmp_path: Path) -> None:
    first, second = (write_layouts(archive, tmp_path / name) for name in "ab")
    assert first.egomcq.read_bytes() == second.egomcq.read_bytes()
    clips = read_rendered_clips(archive)
    few = egomcq_questions(clips, 20)
    assert list(few.items()) == list(egomcq_questions(clips).items())[:20]


def test_sentences_cover_actions_whose_narration_came_first_with_another(archive: Path) -> None:
    clips = read_rendered_clips(archive)[:3]
    same_text = [clip.__class__(**{**vars(clip), "text": "#C C does it"}) for clip in clips]
    assert len({(clip.verb_class, clip.noun_classes) for clip in same_text}) == 3
    assert sentence_clips(same_text) == [0, 1, 2]


def test_reading_refuses(tmp_path: Path, archive: Path) -> None:
    text = (archive / "narrations.csv").read_text()
    with pytest.raises(ConfigError, match=r"no archive\.json in"):
        read_rendered_clips(tmp_path)
    settings = (archive / "archive.json").read_text()
    (tmp_path / "archive.json").write_text(settings.replace("household", "worktop"))
    with pytest.raises(ConfigError, match="repertoire is 'worktop', must be 'household': render the archive again"):
        read_rendered_clips(tmp_path)
    (tmp_path / "archive.json").write_text(settings)
    (tmp_path / "narrations.csv").write_text(text.replace("verb_label", "verb_name", 1))
    with pytest.raises(AnnotationError, match=r"lacks the columns \['verb_label'\]"):
        read_rendered_clips(tmp_path)
    row = dict(next(csv.DictReader(text.splitlines(), delimiter="\t")))
    row["clip_end"] = row["clip_start"]
    (tmp_path / "narrations.csv").write_text(
        "\t".join(COLUMNS) + "\n" + "\t".join(row[name] for name in COLUMNS) + "\n"
    )
    with pytest.raises(AnnotationError, match="line 2: clip_end"):
        read_rendered_clips(tmp_path)
    with pytest.raises(AnnotationError, match="no question"):
        egomcq_questions(read_rendered_clips(archive)[:3])
