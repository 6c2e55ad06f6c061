"""Moments of an index against what was planted in it, and against scores computed from the stored rows."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_world import ENTITIES, FRAMES, GRID, WIDTH, WordEncoder, record, settings, unit_vector

from henasy.errors import InputError
from henasy.index.reader import Index
from henasy.index.rows import ClipRows
from henasy.index.select import Filters
from henasy.index.staging import StagedUnit
from henasy.index.writer import IndexWriter
from henasy.search import moment_search
from henasy.search.engine import Engine
from henasy.search.hits import Hit
from henasy.search.moments import clip_evidence, find_moments
from henasy.search.request import SearchRequest, Target

QUERY = "#C C stirs the pan"
PLANTED = {0: [(40.0, 47.5)], 1: [(100.3, 104.1), (200.0, 260.0)], 2: [], 3: [(15.0, 21.0)]}
STRENGTH = {(0, 40.0): 0.95, (1, 100.3): 0.8, (1, 200.0): 0.7, (3, 15.0): 0.55}
NUM_CLIPS = {0: 150, 1: 400, 2: 120, 3: 60}


def planted_rows(number: int, kind: str) -> ClipRows:
    """A scene every half minute that says nothing of the query; planted actions have the cosines of `STRENGTH`."""
    rng = np.random.default_rng(number)
    num_clips = NUM_CLIPS[number]
    spans = np.stack([np.arange(num_clips), np.arange(num_clips) + 2.0], axis=1)
    scenes = away(rng.standard_normal((num_clips // 30 + 1, WIDTH)))
    noise = 0.1 * rng.standard_normal((num_clips, WIDTH)) / np.sqrt(WIDTH)
    clip = scenes[np.arange(num_clips) // 30] + noise
    entities = away(rng.standard_normal((num_clips, ENTITIES, WIDTH))) + noise[:, None]
    for start_s, end_s in PLANTED[number]:
        share = np.maximum(np.minimum(spans[:, 1], end_s) - np.maximum(spans[:, 0], start_s), 0)[:, None] / 2
        strength = STRENGTH[number, start_s]
        like = strength * unit_vector(QUERY) + np.sqrt(1 - strength**2) * away(rng.standard_normal(WIDTH))
        clip = (1 - share) * clip + share * like + noise
        entities[:, 1] = (1 - share) * entities[:, 1] + share * like + noise
    num_slots = ENTITIES if kind == "henasy" else 0
    patches = np.tile(np.arange(GRID[0] * GRID[1]) % ENTITIES, (num_clips, FRAMES, 1)).astype(np.uint8)
    return ClipRows(
        clip_rows=np.arange(num_clips),
        spans=spans,
        clip=unit(clip),
        entities=unit(entities)[:, :num_slots],
        is_valid=np.ones((num_clips, num_slots), np.bool_),
        patch_share=np.full((num_clips, num_slots), 1 / ENTITIES, np.float32),
        assignment=patches if num_slots else np.zeros((num_clips, 0, 0), np.uint8),
    )


def away(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of unit length, with nothing of the query in them."""
    text = unit_vector(QUERY).astype(np.float64)
    rest = vectors - (vectors @ text)[..., None] * text
    return np.asarray(rest / np.linalg.norm(rest, axis=-1, keepdims=True))


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float16]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16)


def planted_engine(root: Path, kind: str = "henasy") -> Engine:
    with IndexWriter(root / "index", settings(kind)) as writer:
        for number in PLANTED:
            writer.stage(StagedUnit(video_id=f"video{number}", unit=0, rows=planted_rows(number, kind)))
        writer.publish([record(root, number, NUM_CLIPS[number]) for number in PLANTED], [])
    encoder = WordEncoder() if kind == "henasy" else WordEncoder(kind="dual", num_entities=0)
    return Engine(Index.open(root / "index"), encoder)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return planted_engine(tmp_path_factory.mktemp("planted"))


@pytest.fixture(params=["scanned", "led to"])
def is_scanned(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways of finding moments, whatever the size of the index."""
    if request.param == "led to":
        monkeypatch.setattr(moment_search, "SCAN_MAX_CLIPS", 0)
    return bool(request.param == "scanned")


def ask(engine: Engine, query: str = QUERY, **options: object) -> tuple[Hit, ...]:
    request = SearchRequest(queries=(query,), target=Target.MOMENTS, **options)  # type: ignore[arg-type]
    return engine.search(request).results[0].hits


def stored_scores(
    engine: Engine, video_id: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Spans, clip scores and evidence of all clips of a video, from the stored rows."""
    rows = engine.index.stored_rows(video_id)
    text = unit_vector(QUERY).astype(np.float64)
    clip = rows.clip.astype(np.float64)
    scores = clip @ text / np.linalg.norm(clip, axis=1)
    if not rows.entities.shape[1]:
        return rows.spans, scores, scores
    entities = rows.entities.astype(np.float64) @ text
    return rows.spans, scores, (scores + 0.5 * entities.max(axis=1)) / 1.5


@pytest.mark.usefixtures("is_scanned")
def test_planted_moments_come_first_with_ends_between_clips(engine: Engine) -> None:
    hits = ask(engine, top_k=4)
    expected = [
        ("video0", (40.0, 47.5)),
        ("video1", (100.3, 104.1)),
        ("video1", (200.0, 260.0)),
        ("video3", (15.0, 21.0)),
    ]
    assert [hit.video.video_id for hit in hits] == [video for video, _ in expected]
    for hit, (_, span) in zip(hits, expected, strict=True):
        np.testing.assert_allclose(hit.span, span, atol=0.5)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert all(hit.entity is None and hit.explanation is None for hit in hits)


@pytest.mark.usefixtures("is_scanned")
def test_hits_carry_the_clips_under_them_and_a_score_made_of_them(engine: Engine) -> None:
    for hit in ask(engine, top_k=8):
        spans, scores, evidence = stored_scores(engine, hit.video.video_id)
        under = (spans[:, 1] > hit.span.start_s) & (spans[:, 0] < hit.span.end_s)
        assert [clip.span for clip in hit.clips] == [tuple(span) for span in spans[under]]
        np.testing.assert_allclose([clip.score for clip in hit.clips], scores[under], atol=1e-6)
        middles = spans.mean(axis=1)
        inside = under & (middles >= hit.span.start_s) & (middles < hit.span.end_s)
        if inside.any():
            assert hit.best_clip == tuple(spans[inside][np.argmax(scores[inside])])
        seconds = np.minimum(spans[:, 1], hit.span.end_s) - np.maximum(spans[:, 0], hit.span.start_s)
        most = np.sort(evidence[under][seconds[under] > 0.5 * seconds[under].max() + 1e-6])[-3:]
        assert hit.score == pytest.approx(most.mean(), abs=1e-3)


def test_a_scan_is_find_moments_on_each_video(engine: Engine) -> None:
    hits = ask(engine, top_k=1000, filters=Filters(video_ids=("video1",)))
    spans, _, evidence = stored_scores(engine, "video1")
    vectors = engine.index.clip_vectors(np.arange(*_bounds(engine.index.rows_of_video("video1"))))
    rule = moment_search.MomentRule(max_moments=1000)
    moments = find_moments(spans[:, 0], spans[:, 1], evidence, vectors=vectors, rule=rule)
    np.testing.assert_allclose([hit.span for hit in hits], moments.spans, atol=1e-2)
    np.testing.assert_allclose([hit.score for hit in hits], moments.scores, atol=1e-3)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_k": 3}, {"top_k": 5, "max_hits_per_video": 2}, {"top_k": 40}])
def test_a_scan_answers_as_one_of_every_video(engine: Engine, options: dict[str, int]) -> None:
    every = []
    for record_ in engine.index.videos:
        every += ask(engine, **{**options, "filters": Filters(video_ids=(record_.video_id,))})
    best = sorted(every, key=lambda hit: -hit.score)[: options["top_k"]]
    hits = sorted(ask(engine, **options), key=lambda hit: -hit.score)
    assert [(hit.video.video_id, hit.span, hit.score) for hit in hits] == [
        (hit.video.video_id, hit.span, hit.score) for hit in best
    ]


def test_a_scan_leaves_out_videos_that_cannot_be_among_the_best(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_looked_at: list[int] = []
    honest = find_moments
    monkeypatch.setattr(
        moment_search, "find_moments", lambda *columns, **rest: num_looked_at.append(1) or honest(*columns, **rest)
    )
    ask(engine, top_k=1)
    assert len(num_looked_at) < len(PLANTED)
    num_looked_at.clear()
    ask(engine, top_k=1000)
    assert len(num_looked_at) == len(PLANTED)
    num_looked_at.clear()
    assert ask(engine, top_k=1000, min_score=0.99) == ()
    assert not num_looked_at


def _bounds(rows: range) -> tuple[int, int]:
    return rows.start, rows.stop


@pytest.mark.usefixtures("is_scanned")
def test_moments_of_one_video_never_overlap(engine: Engine) -> None:
    by_video: dict[str, list[tuple[float, float]]] = {}
    for hit in ask(engine, top_k=30):
        by_video.setdefault(hit.video.video_id, []).append(hit.span)
    for spans in by_video.values():
        ordered = sorted(spans)
        assert all(end_s <= start_s + 1e-9 for (_, end_s), (start_s, _) in itertools.pairwise(ordered))


@pytest.mark.usefixtures("is_scanned")
def test_filters_grouping_and_thresholds_hold(engine: Engine) -> None:
    best = ask(engine, top_k=4)
    only = ask(engine, top_k=2, filters=Filters(video_ids=("video1",)))
    assert [hit.span for hit in only] == [hit.span for hit in best if hit.video.video_id == "video1"]
    assert len(only) == 2
    late = ask(engine, top_k=2, filters=Filters(start_s=150.0))
    assert late[0].video.video_id == "video1"
    np.testing.assert_allclose(late[0].span, (200.0, 260.0), atol=0.5)
    assert all(clip.span.end_s > 150 for hit in late for clip in hit.clips)
    cellar = ask(engine, top_k=3, filters=Filters(equals={"room": ("cellar",)}))
    assert {hit.video.video_id for hit in cellar} <= {"video0", "video2"}
    grouped = ask(engine, top_k=4, max_hits_per_video=1)
    assert [hit.video.video_id for hit in grouped][:3] == ["video0", "video1", "video3"]
    together = ask(engine, top_k=6, max_hits_per_video=2)
    videos = [hit.video.video_id for hit in together]
    assert videos == sorted(videos, key=videos.index)
    limit = (best[1].score + best[2].score) / 2
    assert ask(engine, top_k=4, min_score=limit) == best[:2]


@pytest.mark.usefixtures("is_scanned")
@pytest.mark.parametrize("start_s", [47.0, 47.6, 48.0, 103.9, 104.5, 259.5])
def test_moments_share_time_with_a_filter(engine: Engine, start_s: float) -> None:
    """Just where planted actions end, so that clips which reach over the bound hold the best moments."""
    late = ask(engine, top_k=20, filters=Filters(start_s=start_s))
    assert late
    assert all(hit.span.end_s > start_s for hit in late)
    end_s = 41.0 - (start_s - 47.0) / 100
    early = ask(engine, top_k=20, filters=Filters(end_s=end_s))
    assert early
    assert all(hit.span.start_s < end_s for hit in early)


def test_both_ways_find_the_same_best_moments(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = ask(engine, top_k=4)
    monkeypatch.setattr(moment_search, "SCAN_MAX_CLIPS", 0)
    led_to = ask(engine, top_k=4)
    assert [hit.video.video_id for hit in led_to] == [hit.video.video_id for hit in scanned]
    for one, other in zip(led_to, scanned, strict=True):
        np.testing.assert_allclose(one.span, other.span, atol=0.2)


def test_only_neighbourhoods_of_the_best_clips_are_read(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moment_search, "SCAN_MAX_CLIPS", 0)
    monkeypatch.setattr(moment_search, "_FIRST_REACH", 20)
    read: list[int] = []
    honest = engine.index.clip_vectors
    monkeypatch.setattr(engine.index, "clip_vectors", lambda rows: read.append(len(rows)) or honest(rows))
    hits = ask(engine, top_k=1)
    np.testing.assert_allclose(hits[0].span, (40.0, 47.5), atol=0.5)
    assert len(read) <= (1 + 6) + 4
    # The stretch of the minute-long action was doubled until it was seen whole.
    read.clear()
    long = ask(engine, top_k=3)[2]
    np.testing.assert_allclose(long.span, (200.0, 260.0), atol=0.5)
    assert max(read) > 32 + 60


def all_fitting(num_clips: int) -> ClipRows:
    """A video of which every clip says the query, each in another way."""
    rng = np.random.default_rng(99)
    rows = planted_rows(0, "henasy")
    like = 0.97 * unit_vector(QUERY) + 0.2 * away(rng.standard_normal((num_clips, WIDTH)))
    every = rows.take(np.arange(num_clips) % len(rows.clip_rows))
    spans = np.stack([np.arange(num_clips), np.arange(num_clips) + 2.0], axis=1)
    return replace(every, clip_rows=np.arange(num_clips), spans=spans, clip=unit(like))


def test_a_video_that_fits_everywhere_leaves_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More fitting clips in one video than candidates are ever asked for at once."""
    num_clips = {0: 1500, **dict.fromkeys(range(1, 21), 60)}
    with IndexWriter(tmp_path / "index", settings()) as writer:
        for number in num_clips:
            rows = all_fitting(num_clips[0]) if number == 0 else planted_rows(3, "henasy")
            for unit_number, first in enumerate(range(0, num_clips[number], 512)):
                some = rows.take(slice(first, first + 512))
                writer.stage(StagedUnit(video_id=f"video{number}", unit=unit_number, rows=some))
        writer.publish([record(tmp_path, number, count) for number, count in num_clips.items()], [])
    engine = Engine(Index.open(tmp_path / "index"), WordEncoder())  # type: ignore[arg-type]
    monkeypatch.setattr(moment_search, "SCAN_MAX_CLIPS", 0)
    hits = ask(engine, top_k=10, max_hits_per_video=1)
    assert len(hits) == len({hit.video.video_id for hit in hits}) == 10
    assert hits[0].video.video_id == "video0"
    for hit in hits[1:]:
        np.testing.assert_allclose(hit.span, (15.0, 21.0), atol=0.5)


def test_several_queries_answer_as_each_alone(engine: Engine) -> None:
    request = SearchRequest(queries=(QUERY, "open drawer"), target=Target.MOMENTS, top_k=3)
    answer = engine.search(request)
    assert [result.hits for result in answer.results] == [ask(engine, text, top_k=3) for text in request.queries]
    assert 0 <= answer.timing.encode_ms + answer.timing.nearest_ms <= answer.timing.total_ms


def test_an_explained_moment_is_explained_by_its_best_clip(engine: Engine) -> None:
    for hit in ask(engine, top_k=3, is_explained=True):
        assert hit.explanation is not None
        best = next(clip for clip in hit.clips if clip.span == hit.best_clip)
        assert hit.explanation.clip_score == pytest.approx(best.score, abs=1e-6)
        evidence = engine.explain(QUERY, hit.video.video_id, hit.best_clip.start_s)
        assert evidence.span == hit.best_clip
        assert evidence.explanation == hit.explanation


@pytest.mark.usefixtures("is_scanned")
def test_an_index_without_entities_answers_from_its_clips(tmp_path: Path) -> None:
    engine = planted_engine(tmp_path, kind="dual")
    hits = ask(engine, top_k=2)
    np.testing.assert_allclose(hits[0].span, (40.0, 47.5), atol=0.5)
    _, scores, _ = stored_scores(engine, "video0")
    assert hits[0].score <= scores.max() + 1e-6
    with pytest.raises(InputError, match="above 100 explained hits"):
        ask(engine, top_k=101, is_explained=True)


@pytest.mark.usefixtures("is_scanned")
def test_a_video_of_one_clip_is_one_moment(tmp_path: Path) -> None:
    rows = planted_rows(3, "henasy").take(slice(16, 17))
    with IndexWriter(tmp_path / "index", settings()) as writer:
        writer.stage(StagedUnit(video_id="video3", unit=0, rows=rows))
        writer.publish([record(tmp_path, 3, 1)], [])
    engine = Engine(Index.open(tmp_path / "index"), WordEncoder())  # type: ignore[arg-type]
    hits = ask(engine, top_k=5)
    assert [(hit.span, len(hit.clips)) for hit in hits] == [((16.0, 18.0), 1)]
    assert np.isfinite(hits[0].score)
    assert ask(engine, top_k=5, filters=Filters(start_s=90.0)) == ()


@pytest.mark.usefixtures("is_scanned")
def test_proceed_is_asked_before_every_stretch(engine: Engine) -> None:
    num_calls = 0

    def count() -> None:
        nonlocal num_calls
        num_calls += 1

    def stop() -> None:
        count()
        if num_calls == wanted:
            raise TimeoutError

    request = SearchRequest(queries=(QUERY,), target=Target.MOMENTS, top_k=4)
    engine.search(request, count)
    wanted, num_calls = num_calls, 0
    assert wanted >= 6
    with pytest.raises(TimeoutError):
        engine.search(request, stop)


def test_entities_without_patches_count_for_nothing() -> None:
    scores = np.array([0.2, 0.4], np.float32)
    entities = np.array([[-np.inf, 0.8], [-np.inf, -np.inf]], np.float32)
    np.testing.assert_allclose(clip_evidence(scores, entities), [0.4, 0.4], rtol=1e-6)
