"""HelpingHands' boxes of hands and active objects, read from pickles that are not trusted.

A pickle is a program: it may name any function of any module and call it. Here only a handful of names are known, and
none of them means the function of that name: each stands for a small class below that holds numbers and nothing else.

`<video_uid>/<chunk>.handobj.pkl` holds {start of the clip in s: {"info": {"height", "width"}, 0..3: {"hand_dets",
"obj_dets"}}}; detections are (n, 5 or more) arrays, xyxy in px and a score, or None.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError

NUM_FRAMES, NUM_EACH = 4, 2
MAX_FILE_BYTES = 2**30
_KINDS = ("hand_dets", "obj_dets")


class ClipBoxes(NamedTuple):
    """The boxes of one clip."""

    start_s: float
    boxes: NDArray[np.float32]
    """(4 frames, 2 hands then 2 objects, 4) xyxy as shares of the frame, best scored first; all zeros where absent."""


def read_handobj(path: Path) -> list[ClipBoxes]:
    """The clips of one pickle, by start.

    Raises:
        AnnotationError: the file is no such pickle, names anything but arrays of numbers, or a clip is malformed.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise AnnotationError(f"{path}: {path.stat().st_size} bytes; at most {MAX_FILE_BYTES} are read")
    try:
        content = _Reader(io.BytesIO(path.read_bytes())).load()
        if not isinstance(content, dict):
            raise AnnotationError(f"holds a {type(content).__name__}, not a mapping of clips")
        sizes = [entry["info"] for entry in content.values() if isinstance(entry, dict) and "info" in entry]
        clips = [_clip(start, entry, sizes[0] if sizes else None) for start, entry in content.items()]
        return sorted(clips, key=lambda clip: clip.start_s)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise AnnotationError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error


def _clip(start: object, entry: object, usual_info: object) -> ClipBoxes:
    """The boxes of an entry; its frame's size is that of the file's first entry if it says none, as the source does."""
    start_s = _number(start, "a clip's start")
    info = entry.get("info", usual_info) if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(info, Mapping):
        raise AnnotationError(f"clip {start_s}: no mapping with 'info'")
    size = [_number(info.get(name), f"clip {start_s}: {name}") for name in ("width", "height")]
    if min(size) <= 0:
        raise AnnotationError(f"clip {start_s}: width and height are {size}")
    boxes = np.zeros((NUM_FRAMES, len(_KINDS) * NUM_EACH, 4), np.float32)
    for frame in range(NUM_FRAMES):
        found = entry.get(frame) or {}
        for kind, name in enumerate(_KINDS):
            best = _best(found.get(name), f"clip {start_s}, frame {frame}, {name}")
            boxes[frame, kind * NUM_EACH : kind * NUM_EACH + len(best)] = best / np.array([*size, *size])
    return ClipBoxes(start_s, np.clip(boxes, 0.0, 1.0))


def _best(detections: object, where: str) -> NDArray[np.float64]:
    """The at most two boxes (n, 4) of the highest scores."""
    if detections is None:
        return np.zeros((0, 4))
    held = _plain(detections)
    if not isinstance(held, np.ndarray) or held.dtype.kind not in "fiu":
        raise AnnotationError(f"{where}: {type(held).__name__}, not an array of numbers")
    if held.size == 0:
        return np.zeros((0, 4))
    if held.ndim != 2 or held.shape[1] < 5 or not bool(np.isfinite(held[:, :5]).all()):
        raise AnnotationError(f"{where}: shape {held.shape}; needs finite rows of xyxy and a score")
    order = np.argsort(-held[:, 4], kind="stable")[:NUM_EACH]
    return held[order, :4].astype(np.float64)


def _plain(value: object) -> object:
    if isinstance(value, _Array):
        return value.numbers()
    return np.array([_plain(item) for item in value]) if isinstance(value, list | tuple) else value


def _number(value: object, name: str) -> float:
    held = value.item() if isinstance(value, np.generic) else value
    if isinstance(held, bool) or not isinstance(held, int | float) or not np.isfinite(held):
        raise AnnotationError(f"{name} is {str(value)[:40]!r}; it must be a finite number")
    return float(held)


class _DType:
    """Stands for numpy.dtype: the code of a plain number."""

    def __init__(self, code: str = "", *_: object) -> None:
        if not (
            isinstance(code, str) and code.strip("<>=|") in {f"{k}{n}" for k in "fiu" for n in (1, 2, 4, 8)} | {"b1"}
        ):
            raise AnnotationError(f"an array of type {str(code)[:40]!r}; only numbers are read")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise AnnotationError(f"a byte order {str(state[1])[:10]!r}")
        self.code = state[1] + self.code.strip("<>=|")


class _Array:
    """Stands for numpy.ndarray: bytes with a shape."""

    shape: tuple[int, ...] = (0,)
    dtype = _DType("f8")
    is_fortran = False
    raw = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.is_fortran, self.raw = state
        if not (isinstance(self.dtype, _DType) and isinstance(self.raw, bytes) and isinstance(self.shape, tuple)):
            raise AnnotationError("an array that does not hold plain numbers")

    def numbers(self) -> NDArray[Any]:
        """The array itself."""
        order = "F" if self.is_fortran else "C"
        held: NDArray[Any] = np.frombuffer(self.raw, np.dtype(self.dtype.code)).reshape(self.shape, order=order)  # type: ignore[call-overload]
        return held


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(raw: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", bytes(raw)))
    return array


def _scalar(dtype: _DType, raw: bytes) -> Any:
    return np.frombuffer(raw, np.dtype(dtype.code))[0].item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise AnnotationError(f"bytes in encoding {encoding!r}")
    return text.encode("latin1")


_KNOWN = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}
"""What numpy's pickles name, by module and name, and what stands for it here."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name.

        Raises:
            AnnotationError: the pickle names anything else; nothing of it has been called.
        """
        if (module, name) not in _KNOWN:
            raise AnnotationError(f"the pickle names {module}.{name}; only arrays, dicts, lists and numbers are read")
        return _KNOWN[module, name]

    def persistent_load(self, pid: object) -> Any:
        """Refuses references to objects outside of the file."""
        raise AnnotationError(f"the pickle refers to {str(pid)[:40]!r} outside of itself")
