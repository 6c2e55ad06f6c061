"""The embedding step of all benchmarks: when it takes the cache, and that it never takes it wrongly."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import read_checkpoint, save_checkpoint
from henasy.errors import VideoError
from henasy.evaluation.encoding import cached_encoding
from henasy.evaluation.encoding.embedding_cache import entry_path
from henasy.evaluation.encoding.encoded import Encoded, encode_annotated, encode_many_views
from henasy.evaluation.encoding.frame_rules import (
    EGO4D_FRAMES,
    EGTEA_FRAMES,
    EK100_FRAMES,
    FrameSelector,
    Span,
    egtea_rule,
)
from henasy.evaluation.encoding.source import VideoSource
from henasy.evaluation.rendered.layouts import read_rendered_clips
from henasy.video.decode import find_decoder
from henasy.video.probe import probe
from henasy.video.video_files import videos_by_id

TEXTS = ["opens the drawer", "closes the drawer", "opens the drawer"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "henasy" / "embeddings"


@pytest.fixture
def source(small_archive: Path, random_checkpoint: Path, tmp_path: Path) -> VideoSource:
    videos = tmp_path / "videos"
    shutil.copytree(small_archive / "videos", videos)
    return VideoSource(
        annotations=tmp_path,
        videos=videos,
        model=str(random_checkpoint),
        device="cpu",
        num_frames=None,
        is_allowing_missing=False,
        is_rendered=True,
    )


@pytest.fixture
def spans(small_archive: Path) -> list[Span]:
    return [clip.span for clip in read_rendered_clips(small_archive)][:6]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of spans whenever videos are read."""
    seen: list[int] = []
    read_spans = cached_encoding.read_spans

    def spy(spans: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(len(spans))
        return read_spans(spans, *arguments, **options)

    monkeypatch.setattr(cached_encoding, "read_spans", spy)
    return seen


def assert_equal(found: Encoded, wanted: Encoded) -> None:
    assert found.facts == wanted.facts
    for name in set(Encoded._fields) - {"facts"}:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_the_second_run_reads_no_video(source: VideoSource, spans: list[Span], reads: list[int]) -> None:
    first = encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00", with_entities=True)
    assert_equal(encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00", with_entities=True), first)
    assert reads == [6]
    assert first.facts["annotations sha256"] == "f00"
    np.testing.assert_array_equal(first.texts[0], first.texts[2])
    encode_annotated(spans, ["another text"], EGO4D_FRAMES, source, "f00", with_entities=True)
    assert reads == [6], "another text must cost no video"


def test_the_cache_holds_what_the_encoder_gives(source: VideoSource, spans: list[Span]) -> None:
    encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00", with_entities=True)
    found = encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00", with_entities=True)
    encoder = load_encoder(source.model)
    number = int(np.argmin([span.start_s for span in spans]))
    places = EGO4D_FRAMES.choose(spans[number], *files_of(source, spans[number]), 4)
    wanted = encoder.encode_clips(frames_at(source, spans[number], [place.frame_id for place in places]), ROWS)
    for name in ("clip", "global_clip", "entities", "is_valid", "assignment"):
        np.testing.assert_allclose(getattr(found, name)[number], getattr(wanted, name)[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.texts, encoder.encode_texts(TEXTS), rtol=1e-5, atol=1e-6)


ROWS = np.arange(4)[None]


def files_of(source: VideoSource, span: Span) -> tuple[Any, Any]:
    files = videos_by_id(source.videos)[span.video_id]
    return files, [probe(path) for path in files.paths]


def frames_at(source: VideoSource, span: Span, ids: list[int]) -> np.ndarray:
    """The frames (n, H, W, 3) of ascending numbers, which the archive shows at 8 per second."""
    times_s = (np.array(ids) + 0.5) / 8
    runs = find_decoder("pyav")(source.videos / f"{span.video_id}.mp4", times_s, lambda: None)
    return np.stack([run.image for run in runs for _ in range(run.first, run.last)])


def test_dot_takes_the_embeddings_as_they_are(source: VideoSource, spans: list[Span], reads: list[int]) -> None:
    cosine = encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00")
    dot = encode_annotated(spans, TEXTS, EGO4D_FRAMES, replace(source, similarity="dot"), "f00")
    assert reads == [6], "one entry serves both"
    for name in ("clip", "texts", "global_clip"):
        raw, unit = getattr(dot, name), getattr(cosine, name)
        length = np.linalg.norm(raw, axis=1, keepdims=True)
        assert (np.abs(length - 1) > 1e-3).all()
        np.testing.assert_allclose(raw / length, unit, rtol=1e-5, atol=1e-6)


def other_weights(source: VideoSource) -> VideoSource:
    checkpoint = read_checkpoint(Path(source.model))
    with torch.no_grad():
        checkpoint.model.video_head.bias += 1e-3
    folder = source.videos.parent / "other"
    save_checkpoint(folder, checkpoint)
    return replace(source, model=str(folder))


def touched_video(source: VideoSource) -> VideoSource:
    for path in source.videos.iterdir():
        os.utime(path, (1, 1))
    return source


@pytest.mark.parametrize(
    "change",
    [
        other_weights,
        touched_video,
        lambda source: replace(source, num_frames=8),
        lambda source: replace(source, num_frames=2),
        lambda source: replace(source, is_cached=False),
    ],
)
def test_a_change_is_encoded_anew(
    source: VideoSource, spans: list[Span], reads: list[int], change: Callable[[VideoSource], VideoSource]
) -> None:
    encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00")
    encode_annotated(spans, TEXTS, EGO4D_FRAMES, change(source), "f00")
    assert reads == [6, 6]


def test_other_spans_and_other_frames_are_encoded_anew(
    source: VideoSource, spans: list[Span], reads: list[int]
) -> None:
    encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00")
    later = [span._replace(end_s=span.end_s + 0.01) for span in spans]
    for wanted, selector in ((later, EGO4D_FRAMES), (spans[::-1], EGO4D_FRAMES), (spans, EK100_FRAMES)):
        encode_annotated(wanted, TEXTS, selector, source, "f00")
    assert reads == [6, 6, 6, 6]


def test_without_the_cache_nothing_is_kept(source: VideoSource, spans: list[Span], cache: Path) -> None:
    encode_annotated(spans, TEXTS, EGO4D_FRAMES, replace(source, is_cached=False), "f00")
    assert not cache.exists()


def test_a_damaged_entry_is_computed_again(
    source: VideoSource, spans: list[Span], reads: list[int], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00")
    for path in cache.iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(content)
    assert_equal(encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00"), first)
    assert reads == [6, 6]
    assert capsys.readouterr().err.count("is damaged") == 2
    assert_equal(encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00"), first)
    assert reads == [6, 6]


def test_refused_spans_are_kept_for_runs_that_allow_them(
    source: VideoSource, spans: list[Span], reads: list[int]
) -> None:
    bad = [*spans, Span(spans[0].video_id, 5000.0, 5001.0)]
    for _ in range(2):
        with pytest.raises(VideoError, match="1 spans cannot be read"):
            encode_annotated(bad, TEXTS, EK100_FRAMES, source, "f00")
    allowing = replace(source, is_allowing_missing=True)
    for _ in range(2):
        encoded = encode_annotated(bad, TEXTS, EK100_FRAMES, allowing, "f00")
        assert encoded.is_encoded.tolist() == [True] * 6 + [False]
        assert not encoded.clip[6].any()
        assert "1 spans cannot be read" in str(encoded.facts["refused"])
    assert reads == [7, 7], "tried again where they are not allowed, taken from the cache where they are"


def test_spans_cut_at_the_end_are_counted_also_from_the_cache(source: VideoSource, spans: list[Span]) -> None:
    _, (info,) = files_of(source, spans[0])
    late = Span(spans[0].video_id, info.duration_s - 1.0, info.duration_s + 1.0)
    for _ in range(2):
        encoded = encode_annotated([*spans, late], TEXTS, EGO4D_FRAMES, source, "f00")
        assert encoded.is_encoded.all()
        said = "1 of 7 spans end up to 2 s after their video; they were cut at its end"
        assert encoded.facts["ends"] == said
    assert "ends" not in encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00").facts
    with pytest.raises(VideoError, match="1 spans cannot be read"):
        encode_annotated([late._replace(end_s=late.end_s + 2)], TEXTS, EGO4D_FRAMES, source, "f00")


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_encoding, "_GROUP_SPANS", 1)


@pytest.mark.usefixtures("small_groups")
def test_a_killed_run_loses_one_group_at_most(
    source: VideoSource, small_archive: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [clip.span for clip in read_rendered_clips(small_archive)][::-3]
    sizes = list(Counter(span.video_id for span in spans).values())
    assert len(sizes) > 2
    read_spans = cached_encoding.read_spans

    def killed(group: Any, *arguments: Any) -> Any:
        if group[0].video_id == spans[-1].video_id:
            raise KeyboardInterrupt
        return read_spans(group, *arguments)

    with monkeypatch.context() as context:
        context.setattr(cached_encoding, "read_spans", killed)
        with pytest.raises(KeyboardInterrupt):
            encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00", with_entities=True)
    assert reads == sizes[:-1]
    reads.clear()
    resumed = encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00", with_entities=True)
    assert reads == sizes[-1:]
    monkeypatch.setattr(cached_encoding, "_GROUP_SPANS", 1000)
    at_once = encode_annotated(spans, TEXTS, EGO4D_FRAMES, source, "f00", with_entities=True)
    assert at_once.facts == resumed.facts
    for name in ("clip", "global_clip", "entities", "is_valid", "assignment", "texts"):
        np.testing.assert_allclose(getattr(resumed, name), getattr(at_once, name), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("small_groups")
def test_a_group_without_a_readable_span_fits_the_others(
    source: VideoSource, small_archive: Path, random_checkpoint: Path
) -> None:
    spans = [clip.span for clip in read_rendered_clips(small_archive)][::-3]
    gone = spans[0].video_id
    (source.videos / f"{gone}.mp4").unlink()
    encoded = encode_annotated(
        spans, TEXTS, EGO4D_FRAMES, replace(source, is_allowing_missing=True), "f00", with_entities=True
    )
    assert encoded.is_encoded.tolist() == [span.video_id != gone for span in spans]
    assert encoded.entities.shape == (len(spans), load_encoder(random_checkpoint).num_entities, 24)
    assert f"no file of video {gone}" in str(encoded.facts["refused"])


def test_nothing_that_can_be_read_is_an_error_even_if_missing_is_allowed(source: VideoSource) -> None:
    with pytest.raises(VideoError, match="not one annotated span can be read"):
        encode_annotated(
            [Span("nowhere", 0.0, 1.0)], TEXTS, EK100_FRAMES, replace(source, is_allowing_missing=True), "f00"
        )


def test_many_views_are_ten_clips_of_three_crops(source: VideoSource, spans: list[Span], reads: list[int]) -> None:
    encoded = encode_many_views(spans[:2], TEXTS, EGTEA_FRAMES, source, "f00", num_clips=10)
    again = encode_many_views(spans[:2], TEXTS, EGTEA_FRAMES, source, "f00", num_clips=10)
    np.testing.assert_array_equal(again.views, encoded.views)
    assert reads == [2]
    assert encoded.views.shape == (2, 30, 24)
    encoder = load_encoder(source.model)
    ids = np.array([place.frame_id for place in egtea_rule(spans[1], *files_of(source, spans[1]), 4)]).reshape(10, 4)
    for clip in (0, 9):
        frames = frames_at(source, spans[1], ids[clip].tolist())
        for third in range(3):
            wanted = encoder.encode_clips(frames, ROWS, third=third).clip[0]
            np.testing.assert_allclose(encoded.views[1, 3 * clip + third], wanted, rtol=1e-5, atol=1e-6)


def test_a_span_shorter_than_a_clip_is_encoded_with_black_frames(source: VideoSource, spans: list[Span]) -> None:
    short = spans[0]._replace(end_s=spans[0].start_s + 0.5)
    encoded = encode_many_views([short], TEXTS, EGTEA_FRAMES, source, "f00", num_clips=10)
    ids = [place.frame_id for place in egtea_rule(short, *files_of(source, short), 4)][:2]
    seen = frames_at(source, short, ids)
    frames = np.concatenate([seen, np.zeros_like(seen)])
    wanted = load_encoder(source.model).encode_clips(frames, ROWS, third=1).clip[0]
    np.testing.assert_allclose(encoded.views[0, 1::3], np.tile(wanted, (10, 1)), rtol=1e-5, atol=1e-6)


def test_the_name_of_a_rule_is_part_of_the_key(source: VideoSource, spans: list[Span]) -> None:
    encoder, found = load_encoder(source.model), videos_by_id(source.videos)
    renamed = FrameSelector("other", EGO4D_FRAMES.choose)
    keys = [cached_encoding.span_key(encoder, spans, selector, found) for selector in (EGO4D_FRAMES, renamed)]
    assert entry_path(keys[0]) != entry_path(keys[1])
    bfloat16 = load_encoder(source.model, dtype="bfloat16")
    assert cached_encoding.encoder_key(bfloat16) != cached_encoding.encoder_key(encoder)
