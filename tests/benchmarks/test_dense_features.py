"""Features of whole videos: where they lie, that they are the encoder's own, what is kept and what is listed."""

from pathlib import Path

import numpy as np
import pytest

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.errors import ConfigError, InputError
from henasy.evaluation.encoding.dense import DenseFeatures, PlanRule, RateRule, Window, compute_dense, dense_features
from henasy.video.clips import ClipBatch, read_clips
from henasy.video.plan import ClipPlan, frame_times
from henasy.video.reference_frames import egovlp_frame_ids

ARRAYS = ("spans", "clip", "is_encoded", "entities", "is_valid")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "henasy" / "dense"


@pytest.fixture(scope="module")
def encoder(random_checkpoint: Path) -> Encoder:
    return load_encoder(random_checkpoint)


@pytest.fixture(scope="module")
def videos(small_archive: Path) -> list[Path]:
    return sorted((small_archive / "videos").iterdir())


class Refusing:
    """An encoder that may be asked what it is, and nothing else."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> object:
        if name == "encode_clips":
            raise AssertionError("encoded again")
        return getattr(self._encoder, name)


def assert_same(ours: DenseFeatures, theirs: DenseFeatures) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    assert ours.duration_s == theirs.duration_s


def test_features_are_those_of_the_clips_of_an_index(encoder: Encoder, videos: list[Path]) -> None:
    found = dense_features(encoder, [Window("a", videos[0])], PlanRule(), has_entities=True).features["a"]
    spans = ClipPlan().spans(14.0)
    np.testing.assert_array_equal(found.spans, spans)
    assert found.is_encoded.all()
    for row in (0, 7, len(spans) - 1):
        (batch,) = read_clips(videos[0], spans[row : row + 1], encoder.num_frames)
        assert isinstance(batch, ClipBatch)
        alone = encoder.encode_clips(batch.frames, batch.frame_rows)
        np.testing.assert_allclose(found.clip[row], alone.clip[0], atol=1e-5)
        np.testing.assert_array_equal(found.is_valid[row], alone.is_valid[0])
        np.testing.assert_allclose(found.entities[row], alone.entities[0], atol=1e-5)


@pytest.mark.parametrize("duration_s", [480.0, 281.6, 17.3, 2.2])
def test_rate_rule_takes_the_reference_s_frames(duration_s: float) -> None:
    num_sampled = int(duration_s * 1.87 * 4)
    ids = np.array(egovlp_frame_ids(0, round(duration_s * 30), num_sampled))
    wanted = ids[: num_sampled // 4 * 4].reshape(-1, 4)
    times_s = frame_times(RateRule().spans(duration_s, 4), 4)
    assert times_s.shape == wanted.shape
    # the reference counts whole frames of a nominal 30 a second, and rounds down twice
    assert np.abs(times_s * 30 - (wanted + 0.5)).max() < 1.5


def test_rate_rule_of_a_short_window_is_one_span() -> None:
    assert RateRule().spans(0.3, 4).tolist() == [[0.0, 0.3]]


def test_rate_rule_refuses() -> None:
    with pytest.raises(ConfigError, match="features_per_s"):
        RateRule(features_per_s=0)


def test_windows_look_at_their_part_of_the_video(encoder: Encoder, videos: list[Path]) -> None:
    part, _ = compute_dense(encoder, Window("a", videos[0], 4.0, 10.0), PlanRule())
    whole, _ = compute_dense(encoder, Window("a", videos[0]), PlanRule())
    assert part.spans[0].tolist() == [0, 2]
    assert part.duration_s == 6
    np.testing.assert_allclose(part.clip, whole.clip[4 : 4 + len(part.clip)], atol=1e-5)


@pytest.mark.parametrize("has_entities", [False, True])
def test_the_second_run_reads_what_the_first_kept(encoder: Encoder, videos: list[Path], has_entities: bool) -> None:
    windows = [Window("a", videos[0], 1.0, 9.0), Window("b", videos[1])]
    first = dense_features(encoder, windows, RateRule(), has_entities=has_entities)
    again = dense_features(Refusing(encoder), windows, RateRule(), has_entities=has_entities)  # type: ignore[arg-type]
    assert first.features["a"].entities.shape[1] == (encoder.num_entities if has_entities else 0)
    for uid in ("a", "b"):
        assert_same(again.features[uid], first.features[uid])


def test_features_with_entities_serve_those_without(encoder: Encoder, videos: list[Path]) -> None:
    with_entities = dense_features(encoder, [Window("a", videos[0])], PlanRule(), has_entities=True).features["a"]
    # a window that is the whole video is the same window, whatever it is called
    renamed = Window("whole", videos[0], 0.0, 14.0)
    without = dense_features(Refusing(encoder), [renamed], PlanRule()).features["whole"]  # type: ignore[arg-type]
    np.testing.assert_array_equal(without.clip, with_entities.clip)
    assert without.entities.shape == (len(without.clip), 0, encoder.width)


def test_a_damaged_entry_is_made_again(encoder: Encoder, videos: list[Path], cache: Path) -> None:
    window = Window("a", videos[0])
    first = dense_features(encoder, [window], PlanRule()).features["a"]
    # the arrays are maps of the files that are damaged below
    kept, _ = compute_dense(encoder, window, PlanRule())
    assert_same(first, kept)
    (array,) = cache.glob("*/*/clip.npy")
    array.write_bytes(array.read_bytes()[:200])
    assert_same(dense_features(encoder, [window], PlanRule()).features["a"], kept)
    assert_same(dense_features(Refusing(encoder), [window], PlanRule()).features["a"], kept)  # type: ignore[arg-type]


def test_another_rule_or_no_cache_leaves_entries_alone(encoder: Encoder, videos: list[Path], cache: Path) -> None:
    window = Window("a", videos[0])
    dense_features(encoder, [window], PlanRule(), is_caching=False)
    assert not cache.exists()
    for rule in (PlanRule(), PlanRule(stride_s=2.0), RateRule()):
        dense_features(encoder, [window], rule)
    assert len(list(cache.glob("*/*/clip.npy"))) == 3


def test_an_interrupted_run_goes_on_after_the_last_whole_window(
    encoder: Encoder, videos: list[Path], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    windows = [Window(path.stem, path) for path in videos[:3]]
    encode, calls = encoder.encode_clips, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(encoder, "encode_clips", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dense_features(encoder, windows, PlanRule())
    assert len(list(cache.glob("*/*/clip.npy"))) == 1
    refusing = Refusing(encoder)
    dense_features(refusing, windows[:1], PlanRule())  # type: ignore[arg-type]
    assert len(dense_features(encoder, windows, PlanRule()).features) == 3


def test_what_cannot_be_read_is_listed(encoder: Encoder, videos: list[Path], tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"no video" * 100)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(videos[1].read_bytes()[: videos[1].stat().st_size // 2])
    windows = [
        Window("good", videos[0]),
        Window("noise", noise),
        Window("gone", tmp_path / "gone.mp4"),
        Window("late", videos[0], 20.0, 30.0),
        Window("long", videos[0], 0.0, 30.0),
        Window("cut", cut),
    ]
    found = dense_features(encoder, windows, PlanRule())
    assert "good" in found.features
    assert {"noise", "gone", "late", "long"} <= set(found.refused)
    assert "lasts 14.000 s, the window is 0.000 to 30.0 s" in found.refused["long"]
    # half a file is refused as a whole or span by span, as the container allows, and never silently
    assert "cut" in found.refused or (not found.features["cut"].is_encoded.all() and "cut" in found.faults)
    assert len(found.listed()) == 5


def test_windows_end_with_their_video_if_the_annotation_is_a_little_late(encoder: Encoder, videos: list[Path]) -> None:
    found, _ = compute_dense(encoder, Window("a", videos[0], 10.0, 15.9), PlanRule())
    assert found.duration_s == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([("a", 0.0, None), ("a", 1.0, None)], "'a' occurs twice"),
        ([("a", 3.0, 3.0)], "3.0 to 3.0"),
        ([("a", -1.0, 3.0)], "-1.0 to 3.0"),
        ([("a", 0.0, float("nan"))], "nan"),
    ],
)
def test_windows_refuse(encoder: Encoder, windows: list[tuple[str, float, float | None]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dense_features(encoder, [Window(uid, Path("x.mp4"), start, end) for uid, start, end in windows], PlanRule())
