"""What may be asked: each wrong value is named with its field."""

import numpy as np
import pytest

from henasy.errors import InputError
from henasy.index.select import Filters
from henasy.search.request import SearchRequest, Target


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": ("",)}, "query: '' has no visible character"),
        ({"queries": (" \n\t\u200f",)}, "has no visible character"),
        ({"queries": ("a" * 100_000,)}, "has 100000 characters, at most 1000"),
        ({"queries": ("mug", "")}, r"queries\[1\]"),
        ({"queries": ()}, "0 given, 1 to 64"),
        ({"queries": ("mug",) * 65}, "65 given, 1 to 64"),
        ({"top_k": 0}, r"top_k: 0 is not in 1\.\.1000"),
        ({"top_k": -1}, "top_k: -1 is not in"),
        ({"top_k": 10**9}, "top_k: 1000000000 is not in"),
        ({"queries": ("mug",) * 11, "top_k": 1000}, "above 10000 hits"),
        ({"top_k": 101, "is_explained": True}, "above 100 explained hits"),
        ({"min_score": float("nan")}, "min_score: nan"),
        ({"min_score": 1.5}, "min_score: 1.5"),
        ({"max_hits_per_video": 0}, "max_hits_per_video: 0"),
        ({"max_hits_per_video": 2, "target": Target.VIDEOS}, "each hit is a video already"),
        ({"queries": ("\ud800 mug",)}, "surrogate"),
        ({"queries": "mug"}, "queries: str given, must be a tuple of texts"),
        ({"queries": (b"mug",)}, "query: bytes given, must be a text"),
        ({"queries": ("mug", None)}, r"queries\[1\]: NoneType given, must be a text"),
        ({"top_k": True}, "top_k: True is not a whole number"),
        ({"top_k": np.True_}, "top_k: np.True_ is not a whole number"),
        ({"top_k": "5"}, "top_k: '5' is not a whole number"),
        ({"top_k": 5.0}, "top_k: 5.0 is not a whole number"),
        ({"top_k": None}, "top_k: None is not a whole number"),
        ({"max_hits_per_video": True}, "max_hits_per_video: True is not a whole number"),
        ({"min_score": "0.5"}, "min_score: '0.5' is not a number from -1 to 1"),
        ({"min_score": True}, "min_score: True is not a number"),
        ({"target": "frames"}, "target: 'frames' is none of clips, videos, moments, entities"),
        ({"target": 1}, "target: 1 is none of clips"),
        ({"wording": "loud"}, "wording: 'loud' is none of bare"),
        ({"is_explained": 1}, "is_explained: 1 is neither True nor False"),
        ({"filters": {"video_ids": ("v",)}}, "filters: dict given, must be Filters"),
        ({"has_overlapping": True}, "has_overlapping: is for target entities, not for clips: overlapping clips are"),
        ({"has_overlapping": True, "target": "videos"}, "not for videos"),
        ({"has_overlapping": True, "target": "moments"}, "not for moments: moments never overlap"),
    ],
)
def test_bad_requests_name_field_and_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchRequest(**{"queries": ("mug",), **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"video_ids": "video1"}, "video_ids: 'video1' is not a tuple"),
        ({"path_globs": (b"*.mp4",)}, r"path_globs: b'\*.mp4' is not a text"),
        ({"start_s": "3"}, "start_s: '3' is not a finite number of seconds"),
        ({"end_s": True}, "end_s: True is not a finite number"),
        ({"start_s": float("inf")}, "start_s: inf is not a finite number"),
        ({"equals": {"room": "kitchen"}}, "equals.room: 'kitchen' is not a tuple"),
        ({"ranges": {"take": ("1", 2)}}, "ranges.take: '1' is not a finite number"),
        ({"ranges": {"take": (1, float("nan"))}}, "ranges.take: nan is not a finite number"),
    ],
)
def test_bad_filters_name_field_and_value(filters: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Filters(**filters)  # type: ignore[arg-type]
