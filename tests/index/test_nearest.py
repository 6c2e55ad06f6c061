import sys
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import ConfigError
from henasy.index import IndexSettings, IndexWriter, nearest
from henasy.index.nearest import NearestVectors, cosines, has_cache, scan, write_cache

ROWS, WIDTH, K = 12_000, 32, 10


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Clustered unit vectors with many exact duplicates, as static footage gives."""
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((200, WIDTH))
    rows = centres[rng.integers(0, 200, ROWS)] + 0.6 * rng.standard_normal((ROWS, WIDTH))
    rows[9_000:9_400] = rows[100]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="module")
def queries(vectors: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(6)
    near = vectors[rng.integers(0, ROWS, 40)].astype(np.float32) + 0.1 * rng.standard_normal((40, WIDTH))
    near[0] = vectors[100]
    return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "FLAT_MAX_VECTORS", 1_000)
    monkeypatch.setattr(nearest, "SCAN_MAX_VECTORS", 500)


def brute_force(vectors: np.ndarray, rows: np.ndarray, query: np.ndarray, k: int) -> list[int]:
    """Plain Python over every row: cosine, then row."""
    scored = []
    for row in rows.tolist():
        one = vectors[row].astype(np.float64)
        scored.append((-float(np.float32(one @ query / np.sqrt(one @ one))), row))
    return [row for _, row in sorted(scored)[:k]]


def test_scan_equals_brute_force_with_ties(vectors: np.ndarray, queries: np.ndarray) -> None:
    rows = np.arange(8_900, 9_500)
    for query in queries[:4]:
        assert scan(vectors, rows, query, K).rows.tolist() == brute_force(vectors, rows, query, K)


def test_flat_search_equals_brute_force_with_ties(vectors: np.ndarray, queries: np.ndarray) -> None:
    everything = NearestVectors(vectors, np.arange(ROWS), None)
    for query in queries[:4]:
        assert everything.search(query, K).rows.tolist() == brute_force(vectors, np.arange(ROWS), query, K)
    # 401 equal rows: the lowest ones must come first, though FAISS may propose any.
    assert everything.search(queries[0], 300).rows[:3].tolist() == [100, 9000, 9001]
    assert everything.search(queries[0], 300).rows.tolist() == [100, *range(9_000, 9_299)]


@pytest.mark.parametrize("seed", range(4))
def test_vectors_closer_than_the_codes_of_faiss_can_tell_are_ranked_exactly(small_limits: None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    query = rng.standard_normal(WIDTH)
    query /= np.linalg.norm(query)
    # Stored at other lengths, so that the unit vectors given to FAISS are rounded once more.
    rows = (query + 0.004 * rng.standard_normal((4_000, WIDTH))) * rng.uniform(0.6, 1.2, (4_000, 1))
    near, everyone = rows.astype(np.float16), np.arange(4_000)
    found = NearestVectors(near, everyone, None).search(query.astype(np.float32), K)
    assert found.rows.tolist() == brute_force(near, everyone, query.astype(np.float32), K)


def test_scores_do_not_depend_on_where_a_row_lies(vectors: np.ndarray, queries: np.ndarray) -> None:
    together = cosines(vectors[:101], queries[1])
    apart = np.concatenate([cosines(vectors[row : row + 1], queries[1]) for row in range(101)])
    np.testing.assert_array_equal(together, apart)


def test_members_limit_what_is_found(vectors: np.ndarray, queries: np.ndarray) -> None:
    members = np.arange(1, ROWS, 3)
    found = NearestVectors(vectors, members, None).search(queries[2], K)
    assert found.rows.tolist() == brute_force(vectors, members, queries[2], K)


def test_ivf_finds_what_exact_search_finds(
    vectors: np.ndarray, queries: np.ndarray, small_limits: None, tmp_path: Path
) -> None:
    cache, members = tmp_path / "clips.faiss", np.arange(ROWS)
    assert not has_cache(cache, vectors, members)
    write_cache(cache, vectors, members)
    assert has_cache(cache, vectors, members)
    trained = NearestVectors(vectors, members, cache)
    hits = 0
    for query in queries[1:]:
        found = trained.search(query, K)
        hits += len(set(found.rows.tolist()) & set(scan(vectors, members, query, K).rows.tolist()))
        np.testing.assert_array_equal(found.scores, cosines(vectors[found.rows], query))
    assert hits / (39 * K) >= 0.98


def test_training_and_search_leave_the_threads_of_the_process_alone(
    vectors: np.ndarray, queries: np.ndarray, small_limits: None, tmp_path: Path
) -> None:
    faiss = nearest.load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        members = np.arange(ROWS)
        write_cache(tmp_path / "clips.faiss", vectors, members)
        NearestVectors(vectors, members, tmp_path / "clips.faiss").search(queries[0], K)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_ivf_under_a_selection_finds_only_what_is_allowed(
    vectors: np.ndarray, queries: np.ndarray, small_limits: None, tmp_path: Path, share: float
) -> None:
    cache, members = tmp_path / "clips.faiss", np.arange(ROWS)
    write_cache(cache, vectors, members)
    trained = NearestVectors(vectors, members, cache)
    allowed = np.random.default_rng(1).random(ROWS) < share
    hits = 0
    for query in queries[1:]:
        found = trained.search(query, K, allowed)
        assert allowed[found.rows].all()
        hits += len(set(found.rows.tolist()) & set(scan(vectors, np.flatnonzero(allowed), query, K).rows.tolist()))
    assert hits / (39 * K) >= 0.98


@pytest.mark.parametrize("harm", ["missing", "damaged", "of other vectors"])
def test_a_bad_cache_is_not_used(
    vectors: np.ndarray, queries: np.ndarray, small_limits: None, tmp_path: Path, harm: str
) -> None:
    cache, members = tmp_path / "clips.faiss", np.arange(ROWS)
    write_cache(cache, vectors, members)
    if harm == "missing":
        cache.unlink()
    elif harm == "damaged":
        content = bytearray(cache.read_bytes())
        content[len(content) // 2] ^= 0xFF
        cache.write_bytes(content)
    else:
        members = members[1:]
    found = NearestVectors(vectors, members, cache).search(queries[3], K)
    assert found.rows.tolist() == scan(vectors, members, queries[3], K).rows.tolist()
    assert not has_cache(cache, vectors, members)


def test_without_faiss_the_error_says_what_to_install(
    vectors: np.ndarray, settings: IndexSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"pip install -e .\.\[cpu\]"):
        NearestVectors(vectors, np.arange(ROWS), None)
    with pytest.raises(ConfigError, match="FAISS cannot be imported"):
        IndexWriter(tmp_path / "index", settings)
    assert not (tmp_path / "index").exists()
