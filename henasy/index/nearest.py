"""Nearest vectors of one part: FAISS proposes, the stored float16 vectors decide. Owner of FAISS.

M vectors, D width, Q queries. A score is the cosine of query and stored vector, computed in float64 and
returned as float32, so that equal vectors score equal to the last bit wherever they lie.
"""

import errno
import functools
import importlib.metadata
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import ConfigError, missing_extra
from henasy.index.durable import sha256_of, sync_file, temporary_path, write_file
from henasy.index.half import to_single

FLAT_MAX_VECTORS = 65_536
"""Up to here exhaustive search takes some milliseconds and needs no training and no file."""

SCAN_MAX_VECTORS = 8_192
"""Selections up to this size are scanned: FAISS loses recall under strict selectors."""

_NUM_PROBES = 32
_TRAIN_PER_LIST = 64
_BLOCK = 16_384
_TIE_MARGIN = 1e-5
"""Two ways of summing a dot product in float32 differ by less than this."""
_CODED_MARGIN = 2**-11 + _TIE_MARGIN
"""Scores of vectors that FAISS keeps as float16 differ from exact ones by less: half a unit in the last place."""


class Nearest(NamedTuple):
    """Best rows of one query, best first; equal scores in the order of rows."""

    scores: NDArray[np.float32]
    rows: NDArray[np.int64]


class NearestVectors:
    """Searches some rows of one array of stored vectors."""

    def __init__(self, vectors: NDArray[np.float16], members: NDArray[np.int64], cache: Path | None) -> None:
        """Prepares a search.

        Args:
            vectors: (M, D), memory-mapped.
            members: rows of `vectors` that can be found, ascending; others never appear.
            cache: where `write_cache` may have left a trained index for just these members.

        Raises:
            ConfigError: FAISS is not installed.
        """
        self._vectors = vectors
        self._members = members
        self._is_flat = len(members) <= FLAT_MAX_VECTORS
        index = None if self._is_flat or cache is None else _read_cache(cache, vectors, members)
        # Without its cache a large part is still searched exactly, only slower.
        self._is_flat = index is None
        self._index: Any = _flat_index(vectors, members) if index is None else index
        self._margin = _TIE_MARGIN if len(members) <= FLAT_MAX_VECTORS else _CODED_MARGIN

    def search(self, query: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Nearest:
        """The `k` rows nearest to one query (D,), fewer when fewer are allowed.

        Args:
            allowed: (M,) rows that may be returned; None allows every member.
        """
        mask = None if allowed is None else allowed[self._members]
        count = len(self._members) if mask is None else int(np.count_nonzero(mask))
        k = min(k, count)
        if k == 0:
            return Nearest(np.zeros(0, np.float32), np.zeros(0, np.int64))
        if count <= SCAN_MAX_VECTORS or 4 * k >= count:
            return scan(self._vectors, self._allowed(mask), query, k)
        return self._search_faiss(query, k, mask, count)

    def _allowed(self, mask: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        return self._members if mask is None else self._members[mask]

    def _search_faiss(self, query: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None, count: int) -> Nearest:
        wanted = min(count, 2 * k + 64)
        parameters = self._parameters(mask, count)
        while True:
            # With one query OpenMP's own threads cost more than they bring.
            with _openmp_threads(1):
                scores, positions = self._index.search(query[None], wanted, params=parameters)
            found = positions[0][positions[0] >= 0]
            best = rank(self._vectors, self._members[found], query, k)
            if len(found) < k:
                # The visited lists hold too few of the allowed rows.
                return scan(self._vectors, self._allowed(mask), query, k)
            is_complete = len(found) < wanted or wanted == count
            # Rows cut off here may tie with the last row kept, or beat it: look further until they cannot.
            if is_complete or scores[0][-1] < best.scores[-1] - self._margin:
                return best
            wanted = min(count, 4 * wanted)

    def _parameters(self, mask: NDArray[np.bool_] | None, count: int) -> Any:
        faiss = load_faiss()
        selector = None
        if mask is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        if self._is_flat:
            return faiss.SearchParameters(sel=selector)
        # A selector thins every list: visit as many more lists as it leaves out.
        probes = min(self._index.nlist, -(-_NUM_PROBES * len(self._members) // count))
        return faiss.SearchParametersIVF(sel=selector, nprobe=probes)


def load_faiss() -> Any:
    """The FAISS module, imported when it is first needed: clients and `--help` work without it.

    Raises:
        ConfigError: it is not installed, or twice.
    """
    _require_one_faiss()
    try:
        import faiss
    except ImportError as error:
        raise missing_extra(f"FAISS cannot be imported ({error}); the extra `gpu` brings it for GPUs", "cpu") from error
    # The hints that FAISS ships describe its C++ signatures, not the Python ones that wrap them.
    return faiss


@functools.cache
def _require_one_faiss() -> None:
    """Passes unless both forms of FAISS are installed: they overwrite each other's files."""
    names = ("faiss-cpu", "faiss-gpu")
    if all(any(importlib.metadata.distributions(name=name)) for name in names):
        raise ConfigError("faiss-cpu and faiss-gpu are both installed; uninstall both, then install one")


def scan(vectors: NDArray[np.float16], rows: NDArray[np.int64], query: NDArray[np.float32], k: int) -> Nearest:
    """The `k` nearest of some rows by looking at every one."""
    if len(rows) <= k:
        return rank(vectors, rows, query, k)
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = _unit(to_single(vectors[rows[start : start + _BLOCK]]))
        scores[start : start + _BLOCK] = block @ query
    threshold = np.partition(scores, len(rows) - k)[len(rows) - k]
    return rank(vectors, rows[scores >= threshold - _TIE_MARGIN], query, k)


def rank(vectors: NDArray[np.float16], rows: NDArray[np.int64], query: NDArray[np.float32], k: int) -> Nearest:
    """The `k` nearest of some rows by exact cosine, best first, ties in the order of rows."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        scores[start : start + _BLOCK] = cosines(to_single(vectors[rows[start : start + _BLOCK]]), query)
    order = np.lexsort((rows, -scores))[:k]
    return Nearest(scores[order], rows[order])


def cosines(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine of each stored vector (n, D) with a unit query (D,)."""
    exact = vectors.astype(np.float64)
    # einsum adds each row in the same order; a matrix product's order depends on the row's place.
    dots = np.einsum("nd,d->n", exact, query.astype(np.float64))
    norms = np.sqrt(np.einsum("nd,nd->n", exact, exact))
    scores: NDArray[np.float32] = (dots / np.maximum(norms, 1e-12)).astype(np.float32)
    return scores


def write_cache(cache: Path, vectors: NDArray[np.float16], members: NDArray[np.int64]) -> None:
    """Trains and writes the FAISS file of a large array; small ones need none."""
    if len(members) <= FLAT_MAX_VECTORS:
        return
    index = _ivf_index(vectors, members)
    temporary = temporary_path(cache)
    try:
        _write_index(index, temporary)
        sync_file(temporary)
        note = {"sha256": sha256_of(temporary), "members": _members_key(vectors, members)}
        os.replace(temporary, cache)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    write_file(_note_path(cache), json.dumps(note).encode())


def has_cache(cache: Path, vectors: NDArray[np.float16], members: NDArray[np.int64]) -> bool:
    """Whether `write_cache` has nothing left to do: every byte of the file is as it was written."""
    return len(members) <= FLAT_MAX_VECTORS or _is_intact(cache, vectors, members)


def _write_index(index: Any, file: Path) -> None:
    faiss = load_faiss()
    try:
        faiss.write_index(index, str(file))
    except RuntimeError as error:
        # FAISS says "write error" for a full disk and everything else.
        raise OSError(errno.EIO, f"FAISS cannot write: {error}", str(file)) from error


def _read_cache(cache: Path, vectors: NDArray[np.float16], members: NDArray[np.int64]) -> Any:
    # FAISS trusts what it reads: only bytes that this package wrote are handed to it.
    return load_faiss().read_index(str(cache)) if _is_intact(cache, vectors, members) else None


def _is_intact(cache: Path, vectors: NDArray[np.float16], members: NDArray[np.int64]) -> bool:
    try:
        note = json.loads(_note_path(cache).read_bytes())
        if not isinstance(note, dict) or note.get("members") != _members_key(vectors, members):
            return False
        return note.get("sha256") == sha256_of(cache)
    except (OSError, ValueError):
        return False


def _note_path(cache: Path) -> Path:
    return cache.with_name(cache.name + ".json")


def _members_key(vectors: NDArray[np.float16], members: NDArray[np.int64]) -> str:
    return f"{len(members)} of {len(vectors)}x{vectors.shape[1]}"


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    vectors /= np.maximum(norms, 1e-12)[:, None]
    return vectors


def _add(index: Any, vectors: NDArray[np.float16], members: NDArray[np.int64]) -> Any:
    for start in range(0, len(members), _BLOCK):
        index.add(_unit(to_single(vectors[members[start : start + _BLOCK]])))
    return index


def _flat_index(vectors: NDArray[np.float16], members: NDArray[np.int64]) -> Any:
    faiss, width = load_faiss(), vectors.shape[1]
    if len(members) <= FLAT_MAX_VECTORS:
        index = faiss.IndexFlatIP(width)
    else:
        index = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    return _add(index, vectors, members)


def _ivf_index(vectors: NDArray[np.float16], members: NDArray[np.int64]) -> Any:
    faiss = load_faiss()
    # FAISS advises between sqrt(M) and 16 sqrt(M) lists with 39 vectors or more to train each. Training grows
    # with the square of the lists, so few: the lists that are visited stay short enough.
    num_lists = max(1, min(1 << round(np.log2(2 * np.sqrt(len(members)))), len(members) // 39))
    factory = f"IVF{num_lists},SQfp16"
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).choice(
        members, min(len(members), _TRAIN_PER_LIST * num_lists), replace=False, shuffle=False
    )
    with _openmp_threads(os.cpu_count() or 1):
        index.train(_unit(to_single(vectors[np.sort(sample)])))
        return _add(index, vectors, members)


@contextmanager
def _openmp_threads(count: int) -> Iterator[None]:
    """Gives FAISS so many threads and then restores the number: torch reads the same setting."""
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
