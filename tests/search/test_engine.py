"""The engine against brute force over everything that is stored."""

from pathlib import Path

import numpy as np
import pytest
from small_world import CLIPS_PER_VIDEO, ENTITIES, GRID, WordEncoder, open_index, unit_vector, write_index

from henasy.errors import InputError, NotFoundError, SpaceMismatchError, UnsupportedError
from henasy.index.select import Filters
from henasy.search.engine import Engine
from henasy.search.hits import Hit, PhraseKind
from henasy.search.regions import decode_mask
from henasy.search.request import SearchRequest, Target
from henasy.text.wording import Wording

QUERIES = ("open the drawer", "mug", "the onion and the knife", "#C C washes a pan")
AS_NARRATIONS = {"open the drawer": "#C C opens the drawer"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(open_index(tmp_path_factory.mktemp("world")), WordEncoder())


def all_clips(engine: Engine, query: str) -> list[tuple[float, str, float]]:
    """Every clip as (score, video, start), best first, from the stored rows alone."""
    return clips_near(engine, unit_vector(AS_NARRATIONS.get(query, query)))


def clips_near(engine: Engine, vector: np.ndarray) -> list[tuple[float, str, float]]:
    found = []
    for video in engine.index.videos:
        rows = engine.index.stored_rows(video.video_id)
        vectors = rows.clip.astype(np.float64)
        scores = vectors @ vector / np.linalg.norm(vectors, axis=1)
        found += [(score, video.video_id, start) for score, start in zip(scores, rows.spans[:, 0], strict=True)]
    return sorted(found, key=lambda one: -one[0])


def all_entities(engine: Engine, query: str) -> list[tuple[float, str, float, int]]:
    found = []
    for video in engine.index.videos:
        rows = engine.index.stored_rows(video.video_id)
        vectors = rows.entities.astype(np.float64)
        scores = vectors @ unit_vector(query) / np.linalg.norm(vectors, axis=2)
        for clip, slot in zip(*np.nonzero(rows.is_valid), strict=True):
            found.append((scores[clip, slot], video.video_id, rows.spans[clip, 0], int(slot)))
    return sorted(found, key=lambda one: -one[0])


def ask(engine: Engine, query: str, target: Target = Target.CLIPS, **options: object) -> tuple[Hit, ...]:
    return engine.search(SearchRequest(queries=(query,), target=target, **options)).results[0].hits  # type: ignore[arg-type]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("top_k", [1, 10, 1000])
def test_clips_rank_as_brute_force(engine: Engine, query: str, top_k: int) -> None:
    hits = ask(engine, query, top_k=top_k)
    expected = all_clips(engine, query)[:top_k]
    assert [(hit.video.video_id, hit.span.start_s) for hit in hits] == [one[1:] for one in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [one[0] for one in expected], atol=1e-6)
    assert [hit.rank for hit in hits] == list(range(1, len(expected) + 1))
    assert all(hit.entity is None and hit.explanation is None for hit in hits)


def test_wording_says_which_texts_stand_for_a_query(engine: Engine) -> None:
    typed, narrated = unit_vector("open the drawer"), unit_vector("#C C opens the drawer")
    vectors = {Wording.BARE: typed, Wording.NARRATION: narrated, Wording.BOTH: typed + narrated, None: narrated}
    for wording, vector in vectors.items():
        hits = ask(engine, "open the drawer", top_k=20, wording=wording)
        expected = clips_near(engine, vector / np.linalg.norm(vector))[:20]
        assert [(hit.video.video_id, hit.span.start_s) for hit in hits] == [one[1:] for one in expected]
        np.testing.assert_allclose([hit.score for hit in hits], [one[0] for one in expected], atol=1e-6)
        evidence = engine.explain("open the drawer", hits[0].video.video_id, hits[0].span.start_s, wording=wording)
        assert evidence.explanation.clip_score == pytest.approx(hits[0].score, abs=1e-6)
    both = SearchRequest(queries=("mug", "open the drawer", "knife"), wording=Wording.BOTH, is_explained=True)
    for result in engine.search(both).results:
        alone = ask(engine, result.query, wording=Wording.BOTH, is_explained=True)
        assert [hit.explanation for hit in result.hits] == [hit.explanation for hit in alone]


def test_entities_are_asked_in_the_querys_own_words(engine: Engine) -> None:
    bare = ask(engine, "open the drawer", Target.ENTITIES, wording=Wording.BARE)
    assert ask(engine, "open the drawer", Target.ENTITIES) == bare
    assert ask(engine, "open the drawer", Target.ENTITIES, wording=Wording.NARRATION) != bare


@pytest.mark.parametrize("query", QUERIES)
def test_videos_score_as_their_best_clip(engine: Engine, query: str) -> None:
    best: dict[str, tuple[float, str, float]] = {}
    for one in all_clips(engine, query):
        best.setdefault(one[1], one)
    hits = ask(engine, query, Target.VIDEOS)
    assert [(hit.video.video_id, hit.span.start_s) for hit in hits] == [one[1:] for one in best.values()]
    assert ask(engine, query, Target.VIDEOS, top_k=2) == hits[:2]


@pytest.mark.parametrize("query", QUERIES)
def test_entities_rank_as_brute_force(engine: Engine, query: str) -> None:
    hits = ask(engine, query, Target.ENTITIES, top_k=1000, has_overlapping=True)
    expected = all_entities(engine, query)
    found = [(hit.video.video_id, hit.span.start_s, hit.entity.slot) for hit in hits if hit.entity]
    assert found == [one[1:] for one in expected]


def test_entities_of_overlapping_clips_give_one_hit(engine: Engine) -> None:
    kept: list[tuple[float, str, float, int]] = []
    for one in all_entities(engine, "mug"):
        if all(one[1] != other[1] or abs(one[2] - other[2]) >= 2 for other in kept):
            kept.append(one)
    hits = ask(engine, "mug", Target.ENTITIES, top_k=12)
    found = [(hit.video.video_id, hit.span.start_s, hit.entity.slot) for hit in hits if hit.entity]
    assert found == [one[1:] for one in kept[:12]]


def test_entity_hit_shows_its_patches(engine: Engine) -> None:
    for hit in ask(engine, "towel", Target.ENTITIES, top_k=5):
        assert hit.entity is not None
        rows = engine.index.stored_rows(hit.video.video_id)
        clip = int(np.flatnonzero(rows.spans[:, 0] == hit.span.start_s)[0])
        members = (rows.assignment[clip] == hit.entity.slot).reshape(-1, *GRID)
        crop = engine.encoder.spec.crop_to_frame(hit.video.height_px, hit.video.width_px)
        drawn = crop.masks_to_frame(members, is_smooth=False) > 0.5
        assert hit.entity.patch_share == pytest.approx(members.mean())
        times_s = [region.time_s - hit.span.start_s for region in hit.entity.regions]
        assert times_s == pytest.approx([0.5, 1.5])
        for region, pixels in zip(hit.entity.regions, drawn, strict=True):
            shown = np.zeros(pixels.shape, np.bool_) if region.mask is None else decode_mask(region.mask)
            np.testing.assert_array_equal(shown, pixels)


def test_grouping_keeps_videos_together_and_counts_hits(engine: Engine) -> None:
    hits = ask(engine, "open the drawer", top_k=8, max_hits_per_video=3)
    counts: dict[str, int] = {}
    expected = []
    for one in all_clips(engine, "open the drawer"):
        counts[one[1]] = counts.get(one[1], 0) + 1
        if counts[one[1]] <= 3:
            expected.append(one)
    videos = list(dict.fromkeys(one[1] for one in expected[:8]))
    grouped = [one for video in videos for one in expected[:8] if one[1] == video]
    assert [(hit.video.video_id, hit.span.start_s) for hit in hits] == [one[1:] for one in grouped]
    assert [hit.rank for hit in hits] == list(range(1, 9))


@pytest.mark.parametrize(
    ("filters", "videos"),
    [
        (Filters(video_ids=("video1", "video3")), {"video1", "video3"}),
        (Filters(path_globs=("kitchen 0/*",)), {"video0", "video2"}),
        (Filters(equals={"room": ("cellar",)}), {"video0", "video2"}),
        (Filters(ranges={"take": (1, 2)}), {"video1", "video2"}),
        (Filters(equals={"tidy": (True,)}, ranges={"take": (None, 2)}), {"video2"}),
        (Filters(equals={"tidy": ("true",)}), {"video2", "video3"}),
        (Filters(equals={"tidy": ("False",)}), {"video0", "video1"}),
        (Filters(equals={"tidy": ("yes",)}), set()),
        (Filters(equals={"room": ("Cellar",)}), set()),
        (Filters(path_globs=("nowhere",)), set()),
    ],
)
@pytest.mark.parametrize("target", [Target.CLIPS, Target.VIDEOS, Target.ENTITIES])
def test_filters_by_video(engine: Engine, filters: Filters, videos: set[str], target: Target) -> None:
    hits = ask(engine, "mug", target, top_k=1000, filters=filters)
    assert {hit.video.video_id for hit in hits} == videos
    if target is Target.CLIPS:
        expected = [one[1:] for one in all_clips(engine, "mug") if one[1] in videos]
        assert [(hit.video.video_id, hit.span.start_s) for hit in hits] == expected


def test_filter_by_time_keeps_clips_that_overlap_it(engine: Engine) -> None:
    hits = ask(engine, "mug", top_k=1000, filters=Filters(start_s=4.0, end_s=6.5))
    expected = [one[1:] for one in all_clips(engine, "mug") if one[2] < 6.5 and one[2] + 2 > 4.0]
    assert [(hit.video.video_id, hit.span.start_s) for hit in hits] == expected


def test_min_score_leaves_out_what_is_below(engine: Engine) -> None:
    limit = all_clips(engine, "mug")[4][0] - 1e-4
    assert len(ask(engine, "mug", min_score=float(limit))) == 5
    assert ask(engine, "mug", min_score=1.0) == ()


def test_several_queries_answer_as_each_alone(engine: Engine) -> None:
    answer = engine.search(SearchRequest(queries=QUERIES, target=Target.ENTITIES))
    assert [result.query for result in answer.results] == list(QUERIES)
    for result in answer.results:
        assert result.hits == ask(engine, result.query, Target.ENTITIES)
    assert answer.generation == 1
    assert 0 <= answer.timing.encode_ms + answer.timing.nearest_ms <= answer.timing.total_ms


def test_explained_hits_name_the_entity_each_phrase_met(engine: Engine) -> None:
    query = "open the drawer with a hand"
    for hit in ask(engine, query, top_k=3, is_explained=True):
        assert hit.explanation is not None
        assert hit.explanation.clip_score == pytest.approx(hit.score, abs=1e-6)
        phrases = {match.phrase: match for match in hit.explanation.phrases}
        assert {"drawer", "hand"} <= set(phrases)
        assert any(match.kind is PhraseKind.VERB for match in phrases.values())
        rows = engine.index.stored_rows(hit.video.video_id)
        clip = int(np.flatnonzero(rows.spans[:, 0] == hit.span.start_s)[0])
        for match in phrases.values():
            assert query[match.start_char : match.end_char] == match.phrase
            scores = rows.entities[clip].astype(np.float64) @ unit_vector(match.phrase)
            scores /= np.linalg.norm(rows.entities[clip].astype(np.float64), axis=1)
            scores[~rows.is_valid[clip]] = -1
            assert match.slot == int(np.argmax(scores))
            assert match.score == pytest.approx(scores.max())
        described = [entity.slot for entity in hit.explanation.entities]
        assert set(described) == {match.slot for match in phrases.values()}


def test_explain_recomputes_saliency_while_the_video_is_there(engine: Engine) -> None:
    evidence = engine.explain("drawer", "video0", 1.0004, slot=0)
    assert evidence.is_soft
    assert evidence.unavailable_reason == ""
    assert evidence.span == (1.0, 3.0)
    by_slot = {saliency.slot: saliency for saliency in evidence.saliency}
    assert list(by_slot) == [entity.slot for entity in evidence.explanation.entities]
    assert by_slot[0].values.shape == (2, *GRID)
    assert (by_slot[0].values == round(0.7 * 255)).all()
    assert by_slot[0].crop == (16.0, 0.0, 80.0, 64.0)


def test_explain_falls_back_to_the_stored_assignment(engine: Engine) -> None:
    evidence = engine.explain("drawer", "video1", 5.0, slot=1)
    assert not evidence.is_soft
    assert "video-1.mp4" in evidence.unavailable_reason
    rows = engine.index.stored_rows("video1")
    values = next(saliency.values for saliency in evidence.saliency if saliency.slot == 1)
    np.testing.assert_array_equal(values, 255 * (rows.assignment[5] == 1).reshape(-1, *GRID))


def test_explain_does_not_trust_a_changed_video(tmp_path: Path) -> None:
    engine = Engine(open_index(tmp_path, num_videos=1), WordEncoder())
    file = engine.index.videos.get("video0").file
    file.write_bytes(file.read_bytes() + b"more")
    evidence = engine.explain("drawer", "video0", 0.0)
    assert not evidence.is_soft
    assert "has changed since it was indexed" in evidence.unavailable_reason


def test_explain_refuses_what_is_not_there(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match="'video9'"):
        engine.explain("drawer", "video9", 0.0)
    with pytest.raises(NotFoundError, match=r"no clip .* starts at 1.5 s; the nearest starts at [12] s"):
        engine.explain("drawer", "video1", 1.5)
    with pytest.raises(InputError, match=f"slot: 9 is not in 0..{ENTITIES - 1}"):
        engine.explain("drawer", "video1", 0.0, slot=9)
    with pytest.raises(NotFoundError, match="no patch of this clip belongs to entity 3"):
        engine.explain("drawer", "video1", 3.0, slot=3)
    with pytest.raises(InputError, match="start_s: nan"):
        engine.explain("drawer", "video1", float("nan"))


def test_what_stands_for_a_value_is_taken_for_it(engine: Engine) -> None:
    loose = SearchRequest(queries=["mug"], target="entities", top_k=np.int32(3), max_hits_per_video=np.int64(2))  # type: ignore[arg-type]
    exact = SearchRequest(queries=("mug",), target=Target.ENTITIES, top_k=3, max_hits_per_video=2)
    assert loose == exact
    assert (type(loose.top_k), type(loose.target), type(loose.queries)) == (int, Target, tuple)
    moments = SearchRequest(queries=("mug",), target="moments", min_score=np.float32(-0.5), wording="bare")  # type: ignore[arg-type]
    assert engine.search(moments).results[0].hits[0].clips
    with pytest.raises(InputError, match="slot: True is not a whole number"):
        engine.explain("mug", "video0", 0.0, True)
    with pytest.raises(InputError, match="start_s: '0' is not a number of seconds"):
        engine.explain("mug", "video0", "0")  # type: ignore[arg-type]


@pytest.mark.parametrize("query", ["mug \x00 pan", "🔪 onion", "סכין בצל", "#C C opens", "a" * 1000, "?!"])
def test_unusual_text_is_answered(engine: Engine, query: str) -> None:
    assert len(ask(engine, query, is_explained=True)) == 10


def test_a_text_beyond_the_models_context_is_refused(engine: Engine) -> None:
    longest, too_long = " ".join(["mug"] * 75), " ".join(["mug"] * 76)
    assert len(ask(engine, longest)) == 10
    with pytest.raises(InputError, match=r"^query: has 78 tokens with start and end, at most 77 are read") as caught:
        ask(engine, too_long)
    assert caught.value.field == "query"
    with pytest.raises(InputError, match=r"^queries\[1\]: has 78 tokens"):
        engine.search(SearchRequest(queries=("mug", too_long)))
    with pytest.raises(InputError, match=r"^query: has 78 tokens"):
        engine.explain(too_long, "video0", 0.0)
    order = " ".join(["open", "the", *["mug"] * 73])
    assert len(ask(engine, order, wording=Wording.BARE)) == 10
    with pytest.raises(InputError, match=r"^query: has 79 tokens"):
        ask(engine, order)


def test_unknown_filters_are_refused(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match="'video9'"):
        ask(engine, "mug", filters=Filters(video_ids=("video9",)))
    with pytest.raises(InputError, match=r"metadata\.lens.*room"):
        ask(engine, "mug", filters=Filters(equals={"lens": (1,)}))


def test_index_of_another_space_is_refused(tmp_path: Path) -> None:
    index = open_index(tmp_path, space_id="other")
    with pytest.raises(SpaceMismatchError, match=r"space other; the given model makes space words-32"):
        Engine(index, WordEncoder())


def test_dual_index_answers_clips_and_refuses_entities(tmp_path: Path) -> None:
    engine = Engine(open_index(tmp_path, kind="dual"), WordEncoder(kind="dual", num_entities=0))
    assert len(ask(engine, "mug")) == 10
    assert len(ask(engine, "mug", Target.VIDEOS)) == len(CLIPS_PER_VIDEO)
    for refused in ({"target": Target.ENTITIES}, {"is_explained": True}):
        with pytest.raises(UnsupportedError, match="'dual' and holds clips only"):
            ask(engine, "mug", **refused)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="Explain"):
        engine.explain("mug", "video0", 0.0)


def test_ids_are_made_for_candidates_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many clips a filter lets through."""
    asked: list[int] = []
    honest = engine.index.clips
    monkeypatch.setattr(engine.index, "clips", lambda rows: asked.append(len(rows)) or honest(rows))
    hits = ask(engine, "mug", Target.VIDEOS, top_k=1, filters=Filters(start_s=0.0))
    assert len(hits) == 1
    assert 0 < sum(asked) < engine.index.num_clips


def test_proceed_ends_a_search(engine: Engine) -> None:
    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        engine.search(SearchRequest(queries=("mug",)), stop)


def test_proceed_ends_an_explanation_at_each_of_its_steps(engine: Engine) -> None:
    num_calls = 0

    def count() -> None:
        nonlocal num_calls
        num_calls += 1

    def stop_at_last() -> None:
        count()
        if num_calls == wanted:
            raise TimeoutError

    assert engine.explain("drawer", "video0", 1.0, proceed=count).is_soft
    wanted, num_calls = num_calls, 0
    assert wanted == 3  # before the text is encoded, before the video is read, before its frames are encoded
    with pytest.raises(TimeoutError):
        engine.explain("drawer", "video0", 1.0, proceed=stop_at_last)


def test_proceed_is_asked_whenever_the_list_of_candidates_grows(engine: Engine) -> None:
    calls = [0, 0]
    for at, target in enumerate((Target.CLIPS, Target.VIDEOS)):

        def count(at: int = at) -> None:
            calls[at] += 1

        engine.search(SearchRequest(queries=("mug",), target=target, top_k=len(CLIPS_PER_VIDEO)), count)
    # Clips are asked for once; all videos together take more clips than the first list holds.
    assert calls[1] > calls[0] > 0


def test_empty_index_has_no_hits(tmp_path: Path) -> None:
    write_index(tmp_path, num_videos=0)
    engine = Engine(open_index(tmp_path, num_videos=0), WordEncoder())
    for target in Target:
        assert ask(engine, "mug", target) == ()
