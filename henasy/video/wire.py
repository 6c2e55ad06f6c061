"""Messages between a process and its decoding child: a JSON header and the bytes of arrays. No pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

_LENGTH_BYTES = 4
_MAX_HEADER_BYTES = 64 * 1024 * 1024

Arrays = Mapping[str, NDArray[np.generic]]


class Message(NamedTuple):
    """One message as it was received."""

    kind: str
    values: dict[str, object]
    arrays: dict[str, NDArray[np.generic]]


def write_message(
    write: Callable[[memoryview], None], kind: str, values: Mapping[str, object], arrays: Arrays | None = None
) -> None:
    """Send one message; `write` must take all the bytes it is given."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    described = [[name, array.dtype.str, list(array.shape)] for name, array in contiguous.items()]
    header = json.dumps({"kind": kind, "values": dict(values), "arrays": described}).encode()
    write(memoryview(len(header).to_bytes(_LENGTH_BYTES, "little") + header))
    for array in contiguous.values():
        if array.size:
            write(array.reshape(-1).view(np.uint8).data)


def read_message(read_into: Callable[[memoryview], None]) -> Message:
    """Receive one message; `read_into` must fill the buffer it is given, or raise."""
    length = int.from_bytes(_read(read_into, _LENGTH_BYTES), "little")
    if length > _MAX_HEADER_BYTES:
        raise ValueError(f"a message header of {length} bytes: the streams are out of step")
    header = json.loads(bytes(_read(read_into, length)))
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, dtype, shape in header["arrays"]:
        array = np.empty(math.prod(shape), dtype=np.dtype(dtype))
        if array.size:
            read_into(array.view(np.uint8).data)
        arrays[name] = array.reshape(shape)
    return Message(header["kind"], cast(dict[str, object], header["values"]), arrays)


def _read(read_into: Callable[[memoryview], None], length: int) -> bytearray:
    buffer = bytearray(length)
    read_into(memoryview(buffer))
    return buffer
