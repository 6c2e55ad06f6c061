import numpy as np
import pytest
from local_build import PLAN, SETTINGS, ColourEncoder, write_clip

from henasy.errors import VideoError
from henasy.index.layout import MAX_UNIT_CLIPS
from henasy.index.staging import RefusedRows
from henasy.video import ClipBatch, ClipPlan, RefusedClips
from indexer.progress import Rate
from indexer.units import (
    DecodeConfig,
    WorkUnit,
    assemble_unit,
    decode_unit,
    encode_batch,
    num_units,
    refuse_unit,
    units_of,
)

CONFIG = DecodeConfig(num_frames=2, batch_clips=4)


def unit_of(num_clips: int, first: int = 0, file: str = "/nowhere.mp4") -> WorkUnit:
    spans = tuple((0.5 * row, 0.5 * row + 1) for row in range(first, first + num_clips))
    return WorkUnit("v1", first // 8, file, first, spans)


def batch_of(rows: list[int], colour: int = 0) -> ClipBatch:
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    frames[1] = colour
    spans = np.array([[0.5 * row, 0.5 * row + 1] for row in rows])
    return ClipBatch(
        spans=spans,
        clip_rows=np.array(rows),
        frames=frames,
        frame_times_s=np.array([0.0, 1.0]),
        frame_rows=np.array([[0, 1]] * len(rows)),
    )


@pytest.mark.parametrize(("num_clips", "sizes"), [(1, [1]), (512, [512]), (513, [512, 1]), (1100, [512, 512, 76])])
def test_units_cover_every_clip_once(num_clips: int, sizes: list[int]) -> None:
    plan = ClipPlan(clip_s=1.0, stride_s=1.0, num_frames=2)
    units = units_of("v1", "/a.mp4", float(num_clips), plan)
    assert [len(unit.spans) for unit in units] == sizes
    assert [unit.first for unit in units] == [MAX_UNIT_CLIPS * number for number in range(len(sizes))]
    assert len(units) == num_units(num_clips)
    spans = np.array([span for unit in units for span in unit.spans])
    np.testing.assert_array_equal(spans, plan.spans(float(num_clips)))


def test_second_unit_decodes_its_own_part_of_the_video(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = str(write_clip(tmp_path / "a.mp4", 8.0, seed=3))
    spans = PLAN.spans(8.0)
    whole = WorkUnit("v1", 0, file, 0, tuple(map(tuple, spans.tolist())))
    half = WorkUnit("v1", 1, file, 8, tuple(map(tuple, spans[8:].tolist())))
    encoded = []
    for unit in (whole, half):
        pieces = [encode_batch(ColourEncoder(), item, SETTINGS, unit.first) for item in decode_unit(unit, CONFIG)]
        encoded.append(assemble_unit(unit, pieces, [], SETTINGS).rows)
    np.testing.assert_array_equal(encoded[1].clip_rows, np.arange(8, len(spans)))
    np.testing.assert_array_equal(encoded[1].clip, encoded[0].clip[8:])
    np.testing.assert_array_equal(encoded[1].spans, spans[8:])


def test_rows_keep_their_identity_whatever_the_order_of_batches() -> None:
    pieces = [
        encode_batch(ColourEncoder(), batch_of(rows, colour=10 * rows[0]), SETTINGS, first=8)
        for rows in ([4, 5], [0, 3], [1, 2])
    ]
    unit = assemble_unit(unit_of(6, first=8), pieces, [], SETTINGS)
    assert unit.rows.clip_rows.tolist() == [8, 9, 10, 11, 12, 13]
    order = [(1, 0), (2, 0), (2, 1), (1, 1), (0, 0), (0, 1)]
    for row, (piece, at) in enumerate(order):
        np.testing.assert_array_equal(unit.rows.clip[row], pieces[piece].clip[at])


def test_refused_clips_become_runs_in_the_video_plan() -> None:
    refused = [RefusedClips(np.array([5, 1, 2]), "corrupt"), RefusedClips(np.array([0]), "lost")]
    pieces = [encode_batch(ColourEncoder(), batch_of([3, 4]), SETTINGS, first=8)]
    unit = assemble_unit(unit_of(6, first=8), pieces, refused, SETTINGS)
    assert unit.refused == (RefusedRows(8, 9, "lost"), RefusedRows(9, 11, "corrupt"), RefusedRows(13, 14, "corrupt"))


def test_clips_that_a_decoder_forgets_are_not_forgotten() -> None:
    pieces = [encode_batch(ColourEncoder(), batch_of([0, 1]), SETTINGS, first=0)]
    unit = assemble_unit(unit_of(4), pieces, [], SETTINGS)
    assert unit.refused == (RefusedRows(2, 4, "the decoder ended without these clips"),)


def test_refused_unit_has_no_rows() -> None:
    unit = refuse_unit(unit_of(4, first=8), "hung", SETTINGS)
    assert len(unit.rows) == 0
    assert unit.refused == (RefusedRows(8, 12, "hung"),)


@pytest.mark.parametrize("error", [VideoError("/nowhere.mp4: cut"), ValueError("odd"), MemoryError(), IndexError()])
def test_decoder_that_fails_half_way_refuses_the_rest(error: Exception) -> None:
    def read(*args: object, **options: object):  # type: ignore[no-untyped-def]
        yield batch_of([0, 1])
        raise error

    first, second = decode_unit(unit_of(4), CONFIG, read)
    assert isinstance(first, ClipBatch)
    assert isinstance(second, RefusedClips)
    assert second.rows.tolist() == [2, 3]
    assert second.reason == (str(error).removeprefix("/nowhere.mp4: ") or type(error).__name__)


def test_rate_counts_clips_and_refusals() -> None:
    units = [unit_of(8), unit_of(4, first=8)]
    rate = Rate(units)
    assert (rate.total_clips, rate.left_s) == (12, None)
    rate.finish(refuse_unit(units[1], "hung", SETTINGS))
    assert (rate.clips, rate.refused) == (4, 4)
    rate.advance(units[0].key, 6)
    # The unit began anew, as after a crash of its decoder.
    rate.advance(units[0].key, 2)
    assert (rate.clips, rate.refused) == (6, 4)
    assert rate.left_s == pytest.approx(rate.elapsed_s, rel=0.5)
