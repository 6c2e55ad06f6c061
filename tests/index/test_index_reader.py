from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import InputError, NotFoundError, UnsupportedError
from henasy.index import ClipRows, Filters, Index, IndexSettings, IndexWriter, Selection, StagedUnit

VIDEOS = {3: 10, 1: 20, 2: 1, 0: 15}


@pytest.fixture
def index(filled: Callable[[dict[int, int]], Path]) -> Index:
    return Index.open(filled(VIDEOS))


@pytest.fixture
def stored(rows_of: Callable[[int, int], ClipRows]) -> dict[int, ClipRows]:
    return {number: rows_of(number, VIDEOS[number]) for number in sorted(VIDEOS)}


def brute_force(vectors: np.ndarray, query: np.ndarray, allowed: np.ndarray, k: int) -> list[int]:
    exact = vectors.astype(np.float64)
    scores = (exact @ query.astype(np.float64)) / np.linalg.norm(exact, axis=1)
    order = sorted(np.flatnonzero(allowed), key=lambda row: (-np.float32(scores[row]), row))
    return [int(row) for row in order[:k]]


def queries(count: int) -> np.ndarray:
    vectors = np.random.default_rng(99).standard_normal((count, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_rows_come_back_as_they_were_staged(index: Index, stored: dict[int, ClipRows]) -> None:
    assert index.num_clips == 46
    for number, rows in stored.items():
        found = index.stored_rows(f"video{number:02d}")
        for name, array in rows.arrays().items():
            np.testing.assert_array_equal(getattr(found, name), array, err_msg=name)


def test_row_accessors_agree_with_what_was_staged(index: Index, stored: dict[int, ClipRows]) -> None:
    picked = np.array([45, 0, 17, 15, 34])
    clip = np.concatenate([rows.clip for rows in stored.values()])
    entities = np.concatenate([rows.entities for rows in stored.values()])
    assignment = np.concatenate([rows.assignment for rows in stored.values()])
    np.testing.assert_array_equal(index.clip_vectors(picked), clip[picked].astype(np.float32))
    np.testing.assert_array_equal(index.entity_vectors(picked), entities[picked].astype(np.float32))
    np.testing.assert_array_equal(index.assignment(picked), assignment[picked])
    columns = index.clips(picked)
    assert list(columns.video_id) == ["video03", "video00", "video01", "video01", "video01"]
    np.testing.assert_array_equal(columns.start_s, [9, 0, 2, 0, 19])
    np.testing.assert_array_equal(columns.end_s, columns.start_s + 2)
    assert [index.videos[row].video_id for row in columns.video_row] == list(columns.video_id)
    np.testing.assert_array_equal(index.video_rows(picked), columns.video_row)
    found = index.entities(np.array([45 * 4 + 3, 1]))
    np.testing.assert_array_equal(found.clip_row, [45, 0])
    np.testing.assert_array_equal(found.slot, [3, 1])
    np.testing.assert_array_equal(found.patch_share, [stored[3].patch_share[9, 3], stored[0].patch_share[0, 1]])
    np.testing.assert_array_equal(found.is_valid, [stored[3].is_valid[9, 3], stored[0].is_valid[0, 1]])


def test_search_clips_equals_brute_force(index: Index, stored: dict[int, ClipRows]) -> None:
    clip = np.concatenate([rows.clip for rows in stored.values()])
    asked = queries(5)
    found = index.search_clips(asked, 7)
    for query, rows, scores in zip(asked, found.rows, found.scores, strict=True):
        assert list(rows) == brute_force(clip, query, np.ones(46, bool), 7)
        assert (np.diff(scores) <= 0).all()


def test_search_entities_never_returns_one_without_patches(index: Index, stored: dict[int, ClipRows]) -> None:
    vectors = np.concatenate([rows.entities for rows in stored.values()]).reshape(-1, 16)
    is_valid = np.concatenate([rows.is_valid for rows in stored.values()]).reshape(-1)
    found = index.search_entities(queries(3), 10**9)
    assert found.rows.shape == (3, 46 * 4)
    for query, rows in zip(queries(3), found.rows, strict=True):
        expected = brute_force(vectors, query, is_valid, 46 * 4)
        assert list(rows[: len(expected)]) == expected
        assert (rows[len(expected) :] == -1).all()


def test_selection_limits_both_searches(index: Index, stored: dict[int, ClipRows]) -> None:
    selection = Selection(np.array([3, 20, 44]))
    found = index.search_clips(queries(2), 5, selection)
    assert {int(row) for row in found.rows.ravel()} == {3, 20, 44, -1}
    assert np.isneginf(found.scores[:, 3:]).all()
    entities = index.search_entities(queries(2), 12, selection).rows
    assert {int(row) // 4 for row in entities[entities >= 0]} <= {3, 20, 44}


def test_selection_of_nothing_finds_nothing(index: Index) -> None:
    found = index.search_clips(queries(1), 3, Selection(np.zeros(0, np.int64)))
    assert (found.rows == -1).all()


def test_rows_of_video_are_neighbours_in_time(index: Index) -> None:
    assert index.rows_of_video("video00") == range(15)
    assert index.rows_of_video("video03") == range(36, 46)
    assert index.find_clip("video03", 4.0) == 40
    with pytest.raises(NotFoundError, match=r"no clip of video03 starts at 4\.5"):
        index.find_clip("video03", 4.5)
    with pytest.raises(NotFoundError, match="video_id: 'nope'"):
        index.rows_of_video("nope")


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        (Filters(video_ids=("video03", "video02")), list(range(35, 46))),
        (Filters(path_globs=("kitchen1/*",)), list(range(15, 35)) + list(range(36, 46))),
        (Filters(path_globs=("/videos/*take 2.mp4",)), [35]),
        (Filters(start_s=17.0), list(range(15 + 16, 35))),
        (Filters(end_s=1.0), [0, 15, 35, 36]),
        (Filters(start_s=3.0, end_s=4.0, video_ids=("video00",)), [2, 3]),
        (Filters(path_globs=("nothing*",)), []),
    ],
)
def test_filters_select_by_hand(index: Index, filters: Filters, rows: list[int]) -> None:
    selected = index.select(filters).rows
    assert selected is not None
    assert list(selected) == rows


def test_no_filter_selects_everything(index: Index) -> None:
    assert index.select(Filters()).is_everything


def test_metadata_filters(tmp_path: Path, settings: IndexSettings, rows_of, record_of) -> None:  # type: ignore[no-untyped-def]
    metadata = [{"who": "P01", "take": 1}, {"who": "P02", "take": 2}, {"who": "P01", "take": 3.5}, {}]
    records = [record_of(number, 1, metadata=one) for number, one in enumerate(metadata)]
    with IndexWriter(tmp_path / "i", settings) as writer:
        for number, record in enumerate(records):
            writer.stage(StagedUnit(video_id=record.video_id, unit=0, rows=rows_of(number, 1)))
        writer.publish(records, [])
    index = Index.open(tmp_path / "i")
    assert index.videos[2].metadata == {"who": "P01", "take": 3.5}
    for filters, rows in [
        (Filters(equals={"who": ("P01",)}), [0, 2]),
        (Filters(equals={"who": ("P01", "P02")}, ranges={"take": (2, None)}), [1, 2]),
        (Filters(equals={"take": ("2",)}), [1]),
        (Filters(ranges={"take": (1, 2)}), [0, 1]),
    ]:
        selected = index.select(filters).rows
        assert selected is not None
        assert list(selected) == rows
    with pytest.raises(InputError, match=r"metadata\.place: no such column; there are: take, who"):
        index.select(Filters(equals={"place": ("here",)}))


def test_bad_arguments_are_named(index: Index) -> None:
    with pytest.raises(InputError, match=r"queries: have shape \(1, 8\), needed is \(Q, 16\)"):
        index.search_clips(np.zeros((1, 8), np.float32), 3)
    with pytest.raises(InputError, match="k: 0 is not at least 1"):
        index.search_clips(queries(1), 0)
    with pytest.raises(InputError, match="queries: hold values that are not finite"):
        index.search_clips(np.full((1, 16), np.nan, np.float32), 3)
    with pytest.raises(InputError, match=r"rows: 46 is not in 0\.\.45"):
        index.clips(np.array([46]))
    with pytest.raises(InputError, match=r"-1 is not in 0\.\.45"):
        index.video_rows(np.array([-1]))
    with pytest.raises(InputError, match=r"end_s: 1\.0 is not after start_s 2\.0"):
        Filters(start_s=2.0, end_s=1.0)


def test_dual_index_refuses_entities(tmp_path: Path, dual_settings: IndexSettings, record_of) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    rows = ClipRows(
        clip_rows=np.arange(3),
        spans=np.array([[0, 2], [1, 3], [2, 4.0]]),
        clip=rng.standard_normal((3, 16)).astype(np.float16),
        entities=np.zeros((3, 0, 16), np.float16),
        is_valid=np.zeros((3, 0), bool),
        patch_share=np.zeros((3, 0), np.float32),
        assignment=np.zeros((3, 0, 0), np.uint8),
    )
    with IndexWriter(tmp_path / "i", dual_settings) as writer:
        writer.stage(StagedUnit(video_id="video05", unit=0, rows=rows))
        writer.publish([record_of(5, 3)], [])
    index = Index.open(tmp_path / "i")
    assert index.search_clips(queries(1), 2).rows.shape == (1, 2)
    with pytest.raises(UnsupportedError, match="holds clips only"):
        index.search_entities(queries(1), 2)
    with pytest.raises(UnsupportedError, match="holds clips only"):
        index.assignment(np.array([0]))


def test_no_index_is_said_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no index is here; `henasy-index build"):
        Index.open(tmp_path / "nothing")
