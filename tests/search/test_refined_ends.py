"""Ends of moments: worked examples, what must never happen, and the same through an index."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_world import ENTITIES, FRAMES, GRID, WordEncoder, record, settings, unit_vector

from henasy.heads.moment_ends import EndsConfig, EndScores, EndsHead
from henasy.index.reader import Index
from henasy.index.rows import ClipRows
from henasy.index.select import Filters
from henasy.index.staging import StagedUnit
from henasy.index.writer import IndexWriter
from henasy.search.engine import Engine
from henasy.search.moment_ends import WINDOW_STRIDES, near_moments, put_back, refine_ends
from henasy.search.moments import MomentRule, clip_evidence, find_moments
from henasy.search.request import SearchRequest, Target

QUERY = "#C C stirs the pan"
SPAN_S = (41.3, 52.9)


def peaks(starts_s: list[float], ends_s: list[float], until_s: float = 40.0) -> EndScores:
    """Cells that say nothing but at these times."""
    times_s = np.arange(0.125, until_s, 0.25)
    columns = []
    for peaks_s in (starts_s, ends_s):
        column = np.full(len(times_s), -6.0, np.float32)
        for peak_s in peaks_s:
            column[np.abs(times_s - peak_s).argmin()] = 4.0
        columns.append(column)
    return EndScores(times_s, *columns, stride_s=1.0)


def refined(spans: NDArray[np.float64], scores: EndScores) -> NDArray[np.float64]:
    """Around the middles."""
    return refine_ends(spans, spans.mean(axis=1), scores)


def test_ends_go_to_the_cells_that_say_so() -> None:
    found = refined(np.array([[10.0, 20.0]]), peaks([10.875], [19.125]))
    np.testing.assert_allclose(found, [[10.875, 19.125]], atol=0.01)


def test_an_end_between_two_cells_lies_between_their_middles() -> None:
    scores = peaks([10.125], [20.125])
    scores.starts[np.abs(scores.times_s - 10.375) < 0.01] = 4.0
    found = refined(np.array([[10.25, 20.0]]), scores)
    np.testing.assert_allclose(found[0, 0], 10.25, atol=0.01)


def test_an_end_far_from_any_cell_stays() -> None:
    np.testing.assert_array_equal(refined(np.array([[50.0, 60.0]]), peaks([9.0], [20.0])), [[50.0, 60.0]])
    none = EndScores(np.zeros(0), np.zeros(0, np.float32), np.zeros(0, np.float32), 1.0)
    np.testing.assert_array_equal(refined(np.array([[5.0, 6.0]]), none), [[5.0, 6.0]])
    assert refined(np.zeros((0, 2)), none).shape == (0, 2)


def test_the_better_of_two_neighbours_keeps_its_end() -> None:
    scores = peaks([15.875], [16.375])
    one, other = [10.0, 16.0], [16.0, 22.0]
    np.testing.assert_allclose(refined(np.array([one, other]), scores)[:, ::-1].ravel()[[0, 3]], 16.375, atol=0.01)
    better = refined(np.array([other, one]), scores)
    np.testing.assert_allclose([better[0, 0], better[1, 1]], 15.875, atol=0.01)


def test_an_end_beyond_the_cells_stays_where_it_is() -> None:
    # One clip of 2 s has cells from 0.5 to 1.5 s.
    one = peaks([0.625], [1.375], until_s=1.5)
    one = EndScores(*(column[2:] for column in one[:3]), stride_s=1.0)
    np.testing.assert_array_equal(refined(np.array([[0.0, 2.0]]), one), [[0.0, 2.0]])
    # The clips from 10 to 20 s are missing.
    scores = peaks([8.625, 20.625], [9.375, 21.375])
    is_there = (scores.times_s < 9.5) | (scores.times_s > 20.5)
    scores = EndScores(*(column[is_there] for column in scores[:3]), stride_s=1.0)
    spans = np.array([[3.0, 10.0], [20.0, 30.0], [9.6, 20.4]])
    for span in spans:
        found = refined(span[None], scores)
        is_outside = (span > 9.5) & (span < 20.5)
        np.testing.assert_array_equal(found[0, is_outside], span[is_outside])
    np.testing.assert_allclose(refined(np.array([[8.5, 20.2]]), scores), [[8.625, 20.2]], atol=0.01)


def test_moments_make_room_for_one_that_goes_back() -> None:
    spans = np.array([[10.0, 16.0], [16.0, 20.0], [21.0, 30.0]])
    nearer = np.array([[9.5, 17.2], [17.2, 19.5], [19.8, 29.0]])
    found = put_back(nearer, spans, np.array([False, True, False]))
    np.testing.assert_array_equal(found, [[9.5, 16.0], [16.0, 20.0], [20.0, 29.0]])
    np.testing.assert_array_equal(put_back(nearer, spans, np.zeros(3, np.bool_)), nearer)
    np.testing.assert_array_equal(put_back(nearer, spans, np.ones(3, np.bool_)), spans)


@pytest.mark.parametrize("seed", range(20))
def test_moments_stay_apart_in_order_and_not_empty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.uniform(0, 40, 24))
    spans = rng.permutation(edges.reshape(-1, 2)[np.diff(edges.reshape(-1, 2), axis=1)[:, 0] > 0.01])
    times_s = np.arange(0.125, 40, 0.25)
    scores = EndScores(times_s, *(5 * rng.standard_normal((2, len(times_s))).astype(np.float32)), stride_s=1.0)
    found = refined(spans, scores)
    assert (found[:, 1] > found[:, 0]).all()
    assert (found[:, 0] >= spans[:, 0] - WINDOW_STRIDES).all()
    assert (found[:, 1] <= spans[:, 1] + WINDOW_STRIDES).all()
    in_time = found[np.argsort(spans[:, 0])]
    assert (in_time[1:, 0] >= in_time[:-1, 1] - 1e-9).all()
    np.testing.assert_allclose(refined(spans + 7, scores._replace(times_s=times_s + 7)), found + 7)


def test_a_moment_is_cut_at_the_gaps_around_its_best_clip() -> None:
    scores = peaks([5.125, 13.125, 22.125], [11.125, 20.125, 30.125])
    for peak_s, expected in ((8.0, [5.125, 11.125]), (15.0, [13.125, 20.125]), (28.0, [22.125, 30.125])):
        found = refine_ends(np.array([[5.0, 30.0]]), np.array([peak_s]), scores)
        np.testing.assert_allclose(found[0], expected, atol=0.01)


def test_an_end_without_a_start_soon_after_cuts_nothing() -> None:
    for starts_s in ([5.125], [5.125, 20.125], [5.125, 10.125]):
        found = refine_ends(np.array([[5.0, 30.0]]), np.array([8.0]), peaks(starts_s, [11.125, 30.125]))
        np.testing.assert_allclose(found[0], [5.125, 30.125], atol=0.01)


def test_near_clips_are_those_in_moments_and_within_reach() -> None:
    is_near = near_moments(np.arange(20.0), np.array([[3.2, 5.0], [12.0, 12.5]]), 1.5)
    assert np.flatnonzero(is_near).tolist() == [2, 3, 4, 5, 6, 11, 12, 13, 14]


def corner_head() -> EndsHead:
    """Says a start where the share of entity 1 grows between neighbouring clips' frames, an end where it falls."""
    config = EndsConfig(num_frames=FRAMES, grid=GRID, num_entities=ENTITIES, clip_s=2.0, stride_s=1.0, hidden=4)
    weights = {name: np.zeros(shape, np.float32) for name, shape in config.shapes().items()}
    weights["scale"] += 1
    share = [frame * 6 * ENTITIES + 1 for frame in range(FRAMES)]
    for hidden, frame in enumerate(share):
        weights["first.weight"][hidden, frame] = 12.0 / 12
    # Frames lie at 0.5 and 1.5 s of a clip, so that a change within a clip is one in its second of cells.
    weights["second.weight"][0, 1, 2], weights["second.weight"][0, 0, 2] = 1.0, -1.0
    weights["second.weight"][1, 0, 2], weights["second.weight"][1, 1, 2] = 1.0, -1.0
    for cell in range(4):
        weights["last.weight"][2 * cell, 0, 1] = weights["last.weight"][2 * cell + 1, 1, 1] = 40.0
    return EndsHead(config, weights)


def planted_index(root: Path) -> Index:
    """One video in which the query is true of `SPAN_S`, and entity 1 holds all patches meanwhile."""
    num = 120
    rng = np.random.default_rng(0)
    spans = np.stack([np.arange(num), np.arange(num) + 2.0], axis=1)
    share = np.maximum(np.minimum(spans[:, 1], SPAN_S[1]) - np.maximum(spans[:, 0], SPAN_S[0]), 0)[:, None] / 2
    noise = 0.02 * rng.standard_normal((num, 32))
    # Scores are a second late, as another scene that looks like the moment would make them.
    clip = (1 - np.roll(share, 1)) * unit_vector("rest") + np.roll(share, 1) * unit_vector(QUERY) + noise
    clip = (clip / np.linalg.norm(clip, axis=1, keepdims=True)).astype(np.float16)
    times_s = spans[:, :1] + np.array([0.5, 1.5])
    is_inside = (times_s >= SPAN_S[0]) & (times_s < SPAN_S[1])
    assignment: NDArray[np.uint8] = np.zeros((num, FRAMES, GRID[0] * GRID[1]), np.uint8)
    assignment[is_inside] = 1
    rows = ClipRows(
        clip_rows=np.arange(num),
        spans=spans,
        clip=clip,
        entities=np.repeat(clip[:, None], ENTITIES, axis=1),
        is_valid=np.ones((num, ENTITIES), np.bool_),
        patch_share=np.full((num, ENTITIES), 1 / ENTITIES, np.float32),
        assignment=assignment,
    )
    with IndexWriter(root / "index", settings()) as writer:
        writer.stage(StagedUnit(video_id="video0", unit=0, rows=rows))
        writer.publish([record(root, 0, num)], [])
    return Index.open(root / "index")


def test_a_search_refines_what_it_answers(tmp_path: Path) -> None:
    index = planted_index(tmp_path)
    request = SearchRequest(queries=(QUERY,), target=Target.MOMENTS, top_k=1)
    plain, refined = (
        Engine(index, WordEncoder(), ends=ends).search(request).results[0].hits[0]  # type: ignore[arg-type]
        for ends in (None, corner_head())
    )
    errors_s = [np.abs(np.array([hit.span.start_s, hit.span.end_s]) - SPAN_S) for hit in (plain, refined)]
    assert errors_s[0].min() > 0.6
    assert errors_s[1].max() < 0.5
    assert (refined.rank, refined.score) == (plain.rank, plain.score)
    under = [clip.span for clip in refined.clips]
    assert under[0].end_s > refined.span.start_s >= under[0].start_s
    assert under[-1].end_s >= refined.span.end_s > under[-1].start_s


def test_a_moment_that_would_leave_the_time_asked_for_keeps_its_ends(tmp_path: Path) -> None:
    engine = Engine(planted_index(tmp_path), WordEncoder(), ends=corner_head())  # type: ignore[arg-type]
    for start_s in np.arange(45.0, 53.5, 0.25).tolist():
        request = SearchRequest(queries=(QUERY,), target=Target.MOMENTS, top_k=1, filters=Filters(start_s=start_s))
        for hit in engine.search(request).results[0].hits:
            assert hit.span.end_s > start_s
            assert hit.span.end_s > hit.span.start_s
    shutil.rmtree(tmp_path / "index")


class RandomEnds(EndsHead):
    """Says anything of any cell."""

    def scores(
        self, starts_s: NDArray[np.float64], ends_s: NDArray[np.float64], assignment: NDArray[np.uint8]
    ) -> EndScores:
        """Of the right cells."""
        found = super().scores(starts_s, ends_s, assignment)
        rng = np.random.default_rng(int(1000 * starts_s[0]) + len(starts_s))
        noise = 3 * rng.standard_normal((2, len(found.times_s))).astype(np.float32)
        return found._replace(starts=noise[0], ends=noise[1])


def test_moments_under_a_filter_by_time_stay_apart(tmp_path: Path) -> None:
    index, plain = planted_index(tmp_path), corner_head()
    head = RandomEnds(plain.config, plain._weights)
    engine = Engine(index, WordEncoder(), ends=head)  # type: ignore[arg-type]
    for edge_s in np.arange(2.25, 118, 1.25).tolist():
        for filters in (Filters(start_s=edge_s), Filters(end_s=edge_s)):
            request = SearchRequest(queries=(QUERY,), target=Target.MOMENTS, top_k=20, filters=filters)
            spans = np.array([hit.span for hit in engine.search(request).results[0].hits])
            spans = spans[np.argsort(spans[:, 0])]
            assert (spans[1:, 0] >= spans[:-1, 1] - 1e-9).all(), filters
            assert (spans[:, 1] > spans[:, 0]).all()


def test_a_search_gives_the_ends_that_whole_videos_give(tmp_path: Path) -> None:
    index, head = planted_index(tmp_path), corner_head()
    rows = np.arange(index.num_clips)
    clips, vectors = index.clips(rows), index.clip_vectors(rows)
    query = unit_vector(QUERY)
    evidence = clip_evidence(vectors @ query, index.entity_vectors(rows) @ query)
    found = find_moments(clips.start_s, clips.end_s, evidence, vectors=vectors, rule=MomentRule(max_moments=3))
    peaks_s = (clips.start_s + clips.end_s)[found.peaks] / 2
    expected = refine_ends(found.spans, peaks_s, head.scores(clips.start_s, clips.end_s, index.assignment(rows)))
    request = SearchRequest(queries=(QUERY,), target=Target.MOMENTS, top_k=3)
    hits = Engine(index, WordEncoder(), ends=head).search(request).results[0].hits  # type: ignore[arg-type]
    np.testing.assert_allclose([[hit.span.start_s, hit.span.end_s] for hit in hits], expected, atol=1e-6)
