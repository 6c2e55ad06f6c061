"""EgoHOIBench: the metric against golden numbers and hand-worked rows, the loader, and the rendered word swaps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.annotations.egohoi import COLUMNS, FILE_NAME, NUM_CAPTIONS, NUM_SWAPS, load_egohoi
from henasy.evaluation.metrics.word_swaps import right_words, word_swap_scores
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips
from henasy.evaluation.rendered.swaps import write_swaps
from henasy.scenes.archive import ArchiveConfig, _claim, _narrations
from henasy.scenes.household.swaps import noun_swaps, verb_swaps


def test_word_swap_scores_equal_golden(golden_dir: Path) -> None:
    golden = np.load(golden_dir / "egohoi_small.npz")
    scores = word_swap_scores(golden["sims"])
    for name in ("verb", "noun", "action"):
        ours = 100 * getattr(scores, name)
        assert ours == pytest.approx(float(golden[f"lavila_{name}"]), rel=1e-12)
        # that path of the reference computes in float32
        assert ours == pytest.approx(float(golden[f"egovlp_{name}"]), rel=1e-6)
    assert scores.num_tied == 0


# true caption, two verb swaps, two noun swaps
TABLE = np.array(
    [
        [0.5, 0.4, 0.3, 0.2, 0.1],  # all right
        [0.5, 0.6, 0.3, 0.2, 0.1],  # a verb swap is closer
        [0.5, 0.4, 0.3, 0.2, 0.9],  # a noun swap is closer
        [0.5, 0.5, 0.3, 0.2, 0.1],  # level with a verb swap: right
        [0.5, 0.5, 0.3, 0.5, 0.6],  # level with a swap of each kind, and another noun is closer
    ]
)


def test_right_words_of_a_table_worked_by_hand() -> None:
    right = right_words(TABLE)
    assert right.verb.tolist() == [True, False, True, True, True]
    assert right.noun.tolist() == [True, True, False, True, False]
    assert right.action.tolist() == [True, False, False, True, False]
    assert word_swap_scores(TABLE) == (0.8, 0.6, 0.4, 2)


def test_action_is_one_argmax_over_all_captions_even_with_ties() -> None:
    similarity = np.random.default_rng(0).integers(0, 6, size=(2000, 7)).astype(float)
    right = right_words(similarity)
    assert np.array_equal(right.action, similarity.argmax(axis=1) == 0)
    assert np.array_equal(right.verb, similarity[:, :4].argmax(axis=1) == 0)
    assert np.array_equal(right.noun, similarity[:, [0, 4, 5, 6]].argmax(axis=1) == 0)


@pytest.mark.parametrize("shape", [(0, 21), (3, 20), (3, 1), (21,)])
def test_right_words_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="1 \\+ 2K"):
        right_words(np.zeros(shape))


def test_right_words_refuses_nan() -> None:
    broken = TABLE.copy()
    broken[2, 4] = np.nan
    with pytest.raises(InputError, match="item 2 is not finite"):
        right_words(broken)


def row(**changed: object) -> dict[str, object]:
    return {
        "video_uid": "video-a",
        "clip_start": "1.5",
        "clip_end": "2.75",
        "clip_text": "#C C opens the jar",
        "tag_noun": "[7]",
        "tag_verb": "[2]",
        "verb_neg": ",".join(f"#C C verb {at}" for at in range(10)),
        "noun_neg": ",".join(f"#C C noun {at}" for at in range(10)),
    } | changed


def written(path: Path, *rows: dict[str, object], columns: tuple[str, ...] = COLUMNS) -> Path:
    lines = ["\t".join(columns), *("\t".join(str(values[name]) for name in columns) for values in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_load_reads_captions_in_order(tmp_path: Path) -> None:
    written(tmp_path / FILE_NAME, row(), row(clip_text="#C C shuts the jar"))
    for loaded in (load_egohoi(tmp_path), load_egohoi(tmp_path / FILE_NAME)):
        first = loaded.items[0]
        assert first.span == ("video-a", 1.5, 2.75)
        expected = [f"#C C verb {at}" for at in range(10)] + [f"#C C noun {at}" for at in range(10)]
        assert list(first.captions) == ["#C C opens the jar", *expected]
        spans, span_rows = loaded.distinct_spans()
        assert (spans, span_rows.tolist()) == ([first.span], [0, 0])
        texts, text_rows = loaded.distinct_texts()
        assert len(texts) == NUM_CAPTIONS + 1
        assert [[texts[at] for at in item] for item in text_rows] == [list(item.captions) for item in loaded.items]


def test_load_pads_with_the_last_and_cuts_at_ten(tmp_path: Path) -> None:
    many = ",".join(f"v{at}" for at in range(13))
    item = load_egohoi(written(tmp_path / "a.tsv", row(verb_neg=many, noun_neg="n0, n1"))).items[0]
    assert item.verb_swaps == tuple(f"v{at}" for at in range(10))
    assert item.noun_swaps == ("n0", *["n1"] * 9)


def test_load_counts_a_time_before_the_video_as_its_start(tmp_path: Path) -> None:
    assert load_egohoi(written(tmp_path / "a.tsv", row(clip_start="-0.4"))).items[0].span.start_s == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"verb_neg": ""}, "line 2: verb_neg is '', must be captions"),
        (
            {"noun_neg": "#C C opens the box, #C C opens the jar"},
            "line 2: noun_neg is '#C C opens the box, #C C opens the jar', must be captions other than the true one, "
            "'#C C opens the jar'",
        ),
        ({"verb_neg": "#C C opens the jar"}, "line 2: verb_neg is '#C C opens the jar', must be captions other than"),
        ({"noun_neg": "a,,b"}, "line 2: noun_neg is 'a,,b', must be captions"),
        ({"clip_text": " "}, "line 2: clip_text is ' ', must be a non-blank"),
        ({"clip_end": "1.5"}, "line 2: clip_end is '1.5', must be after clip_start 1.5"),
        ({"clip_end": "-1", "clip_start": "-3"}, "line 2: clip_end is '-1', must be after clip_start 0"),
        ({"clip_start": "nan"}, "line 2: clip_start is 'nan', must be a finite number"),
        ({"clip_start": "soon"}, "line 2: clip_start is 'soon', must be a finite number"),
        ({"video_uid": ""}, "line 2: video_uid is '', must be a non-blank"),
    ],
)
def test_load_names_the_line_and_the_value(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    path = written(tmp_path / "a.tsv", row(**changed))
    with pytest.raises(AnnotationError) as caught:
        load_egohoi(path)
    assert f"{path}, {message}" in str(caught.value)


def test_load_refuses_a_renamed_column_an_empty_table_and_no_file(tmp_path: Path) -> None:
    renamed = tuple("verb_negative" if name == "verb_neg" else name for name in COLUMNS)
    with pytest.raises(AnnotationError, match=r"lacks the columns \['verb_neg'\]"):
        load_egohoi(written(tmp_path / "a.tsv", row(verb_negative="x"), columns=renamed))
    with pytest.raises(AnnotationError, match="has a header and no row"):
        load_egohoi(written(tmp_path / "b.tsv"))
    with pytest.raises(NotFoundError, match=FILE_NAME):
        load_egohoi(tmp_path)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[RenderedClip]:
    """The narrations of a held-out archive; word swaps need no videos."""
    folder = tmp_path_factory.mktemp("archive")
    config = ArchiveConfig(seed=11, num_videos=12, video_s=60.0, split="test")
    _claim(config, folder)
    (folder / "narrations.csv").write_text(_narrations(config))
    return read_rendered_clips(folder)


def test_swaps_keep_the_rest_of_the_sentence(clips: list[RenderedClip]) -> None:
    base = clips[0]
    rng = np.random.default_rng(0)
    an_apple = with_text(base, "#C C picks up an apple with the left hand", "lift", "apple")
    assert "#C C picks up a mug with the left hand" in all_noun_swaps(an_apple)
    assert "#C C wipes an apple with a sponge" in all_verb_swaps(an_apple)
    assert not any("sponge with the" in text for text in all_verb_swaps(an_apple))
    coloured = with_text(base, "#C C drags an orange jar closer", "pull", "jar")
    assert "#C C drags an orange apple closer" in all_noun_swaps(coloured)
    assert len(verb_swaps(coloured.said, rng, NUM_SWAPS)) == 10
    stirred = with_text(base, "#C C stirs the mug with a spoon", "stir", "mug")
    assert not any(text.startswith("#C C stirs the spoon") for text in all_noun_swaps(stirred))


def with_text(clip: RenderedClip, text: str, verb: str, noun: str) -> RenderedClip:
    return replace(clip, text=text, verb=verb, noun=noun)


def all_noun_swaps(clip: RenderedClip) -> set[str]:
    return {text for seed in range(20) for text in noun_swaps(clip.said, np.random.default_rng(seed), NUM_SWAPS)}


def all_verb_swaps(clip: RenderedClip) -> set[str]:
    return {text for seed in range(20) for text in verb_swaps(clip.said, np.random.default_rng(seed), NUM_SWAPS)}


def test_swaps_refuse_what_is_no_narration(clips: list[RenderedClip]) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(AnnotationError, match="does not say 'open' of 'jar'"):
        verb_swaps(with_text(clips[0], "#C C juggles the jar", "open", "jar").said, rng, NUM_SWAPS)
    with pytest.raises(AnnotationError, match="'juggle' is not one of"):
        noun_swaps(with_text(clips[0], "#C C juggles the jar", "juggle", "jar").said, rng, NUM_SWAPS)


def test_written_swaps_load_and_depend_on_the_narrations_alone(clips: list[RenderedClip], tmp_path: Path) -> None:
    for name in "ab":
        write_swaps(clips, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = load_egohoi(tmp_path / "a")
    assert [(item.span, item.text) for item in loaded.items] == [(clip.span, clip.text) for clip in clips]
    assert all(len(set(item.captions)) == NUM_CAPTIONS for item in loaded.items)
