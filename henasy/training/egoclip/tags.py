"""EgoClip's tags, `[192, 115, 12]`: read without evaluating them, and kept as flat numbers with offsets."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_LITERAL = r"^\s*\[\s*(\d{1,6}\s*(,\s*\d{1,6}\s*)*,?\s*)?\]\s*$"


class Tags(NamedTuple):
    """Some numbers for each of N rows, without an object for any of them."""

    values: NDArray[np.int32]
    """All rows' numbers, one row behind the other."""
    offsets: NDArray[np.int64]
    """(N + 1,) where each row's numbers begin, and the end."""

    def of(self, row: int) -> NDArray[np.int32]:
        """The numbers of one row."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def multi_hot(self, rows: NDArray[np.int64], width: int) -> NDArray[np.float32]:
        """(n, width) 1 where a row has a number."""
        hot = np.zeros((len(rows), width), np.float32)
        for out, row in enumerate(rows):
            hot[out, self.of(int(row))] = 1.0
        return hot


def is_list_literal(texts: pa.Array) -> NDArray[np.bool_]:
    """(N,) whether each text is a Python list of whole numbers, `[]` included."""
    matches = pc.match_substring_regex(texts, _LITERAL)
    return np.asarray(pc.fill_null(matches, False).to_numpy(zero_copy_only=False), dtype=bool)


def parse_tags(texts: pa.Array) -> Tags:
    """The numbers of texts that are all list literals; see `is_list_literal`."""
    inner = pc.replace_substring_regex(texts, r"[\[\]\s]", "")
    parts = pc.split_pattern(pc.utf8_trim(inner, ","), ",")
    lengths = pc.list_value_length(parts).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.list_flatten(parts)
    is_number = pc.not_equal(flat, "")  # splitting "" gives one empty text
    values = pc.cast(pc.filter(flat, is_number), pa.int32()).to_numpy(zero_copy_only=False)
    lengths[np.asarray(pc.equal(inner, "").to_numpy(zero_copy_only=False), dtype=bool)] = 0
    return Tags(values, np.concatenate([[0], np.cumsum(lengths)]))
