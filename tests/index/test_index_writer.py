import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from henasy.errors import ConfigError, IndexBusyError, InputError, NotFoundError, SpaceMismatchError
from henasy.index import (
    ClipRows,
    Index,
    IndexSettings,
    IndexWriter,
    RefusedRecord,
    StagedUnit,
    VideoRecord,
    logical_digest,
    nearest,
)
from henasy.index.videos import videos_from_parquet, videos_to_parquet
from henasy.video.plan import ClipPlan

RowsOf = Callable[[int, int], ClipRows]
RecordOf = Callable[..., VideoRecord]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "index"


def put(
    root: Path,
    settings: IndexSettings,
    rows_of: RowsOf,
    records: list[VideoRecord],
    *,
    new: list[VideoRecord],
    fold_clips: int = 0,
    replaced: frozenset[str] = frozenset(),
) -> int:
    with IndexWriter(root, settings, fold_clips=fold_clips) as writer:
        for record in new:
            rows = rows_of(record.modified_ns, record.num_clips)
            writer.stage(StagedUnit(video_id=record.video_id, unit=0, rows=rows))
        return writer.publish(records, [], replaced=replaced)


def test_nothing_is_visible_before_publishing(root: Path, settings: IndexSettings, rows_of: RowsOf) -> None:
    with IndexWriter(root, settings) as writer:
        writer.stage(StagedUnit(video_id="video01", unit=0, rows=rows_of(1, 3)))
        with pytest.raises(NotFoundError, match="nothing was published yet"):
            Index.open(root)


def test_staged_units_outlive_their_writer(root: Path, settings: IndexSettings, rows_of: RowsOf) -> None:
    with IndexWriter(root, settings) as writer:
        writer.stage(StagedUnit(video_id="video01", unit=2, rows=rows_of(1, 3)))
    with IndexWriter(root, settings) as writer:
        assert {key: note.num_clips for key, note in writer.staged().items()} == {("video01", 2): 3}


def test_damaged_staged_unit_is_made_again(root: Path, settings: IndexSettings, rows_of: RowsOf) -> None:
    with IndexWriter(root, settings) as writer:
        writer.stage(StagedUnit(video_id="video01", unit=0, rows=rows_of(1, 3)))
        writer.stage(StagedUnit(video_id="video01", unit=1, rows=rows_of(1, 3)))
    file = sorted((root / "staging").iterdir())[0]
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with IndexWriter(root, settings) as writer:
        assert set(writer.staged()) == {("video01", 1)}


def test_units_of_another_plan_are_not_taken_for_ours(root: Path, settings: IndexSettings, rows_of: RowsOf) -> None:
    with IndexWriter(root, settings) as writer:
        writer.stage(StagedUnit(video_id="video01", unit=0, rows=rows_of(1, 3)))
    other = dataclasses.replace(settings, plan=ClipPlan(stride_s=0.5, num_frames=2))
    with IndexWriter(root, other) as writer:
        assert not writer.staged()


def test_added_videos_join_those_that_are_there(
    root: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf
) -> None:
    first, second = record_of(1, 5), record_of(2, 4)
    assert put(root, settings, rows_of, [first], new=[first]) == 1
    assert put(root, settings, rows_of, [first, second], new=[second]) == 2
    index = Index.open(root)
    assert [record.video_id for record in index.videos] == ["video01", "video02"]
    np.testing.assert_array_equal(index.stored_rows("video02").clip, rows_of(2, 4).clip)
    np.testing.assert_array_equal(index.stored_rows("video01").clip, rows_of(1, 5).clip)
    assert len(list((root / "parts").iterdir())) == 2
    assert not list((root / "staging").iterdir())


@pytest.mark.parametrize("fold_clips", [0, 100])
def test_removed_video_is_gone_from_every_answer(
    root: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf, fold_clips: int
) -> None:
    records = [record_of(number, 6) for number in range(4)]
    put(root, settings, rows_of, records, new=records, fold_clips=fold_clips)
    kept = [records[0], records[2], records[3]]
    put(root, settings, rows_of, kept, new=[], fold_clips=fold_clips)
    index = Index.open(root)
    has_tombstones = bool(list((root / "generations" / "000002").glob("tombstones-*")))
    assert has_tombstones == (fold_clips == 0)
    assert index.num_clips == 18
    assert index.rows_of_video("video02") == range(6, 12)
    np.testing.assert_array_equal(index.clip_vectors(np.arange(6, 12)), rows_of(2, 6).clip.astype(np.float32))
    query = rows_of(1, 6).clip[:1].astype(np.float32)
    found = index.search_clips(query, 100)
    assert sorted(found.rows[0].tolist()) == list(range(18))
    entities = index.search_entities(query, 100).rows[0]
    valid = np.concatenate([rows_of(number, 6).is_valid for number in (0, 2, 3)]).reshape(-1)
    assert sorted(entities[entities >= 0].tolist()) == np.flatnonzero(valid).tolist()
    assert index.num_valid_entities == valid.sum()


def test_digest_does_not_depend_on_history(
    tmp_path: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf
) -> None:
    records = [record_of(number, 3 + number) for number in range(4)]
    put(tmp_path / "at once", settings, rows_of, records, new=records)
    winding = tmp_path / "winding"
    put(winding, settings, rows_of, records[2:], new=records[2:])
    put(winding, settings, rows_of, records[:3], new=records[:2], fold_clips=50)
    put(winding, settings, rows_of, records, new=[records[3]])
    digests = {logical_digest(Index.open(tmp_path / name)) for name in ("at once", "winding")}
    assert len(digests) == 1
    put(winding, settings, rows_of, records[1:], new=[])
    assert logical_digest(Index.open(winding)) not in digests


def test_digest_sees_a_single_bit(
    tmp_path: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf
) -> None:
    digests = set()
    for name in ("none", "clip", "entities", "is_valid", "patch_share", "assignment", "spans"):
        rows = rows_of(1, 3)
        if name != "none":
            array = getattr(rows, name)
            array.reshape(-1)[:1] = 0.5 if array.dtype.kind == "f" else 1 - array.reshape(-1)[:1]
        with IndexWriter(tmp_path / name, settings) as writer:
            writer.stage(StagedUnit(video_id="video01", unit=0, rows=rows))
            writer.publish([record_of(1, 3)], [])
        digests.add(logical_digest(Index.open(tmp_path / name)))
    assert len(digests) == 7


def test_small_parts_are_folded_into_the_next(
    root: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf
) -> None:
    records = [record_of(number, 5) for number in range(5)]
    for count in range(1, 6):
        put(root, settings, rows_of, records[:count], new=[records[count - 1]], fold_clips=12)
    # Parts of 5 and 10 clips are folded, one of 15 is left alone.
    assert sorted(part.num_clips for part in _parts(root)) == [10, 15]
    assert Index.open(root).num_clips == 25


def _parts(root: Path):  # type: ignore[no-untyped-def]
    from henasy.index.generation import read_current, read_generation

    return read_generation(root, read_current(root)).manifest.parts


def test_replaced_video_takes_its_rows_from_staging(
    root: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf
) -> None:
    records = [record_of(1, 5), record_of(2, 5)]
    put(root, settings, rows_of, records, new=records)
    again = dataclasses.replace(records[0], modified_ns=77)
    put(root, settings, rows_of, [again, records[1]], new=[again], replaced=frozenset({"video01"}))
    index = Index.open(root)
    np.testing.assert_array_equal(index.stored_rows("video01").clip, rows_of(77, 5).clip)
    assert index.num_clips == 10


def test_publishing_what_is_there_makes_no_generation(
    root: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf
) -> None:
    records = [record_of(1, 5)]
    put(root, settings, rows_of, records, new=records)
    assert put(root, settings, rows_of, records, new=[]) == 1
    changed = [dataclasses.replace(records[0], is_online=False)]
    assert put(root, settings, rows_of, changed, new=[]) == 2
    assert not Index.open(root).videos.get("video01").is_online


def test_refusals_are_kept_with_their_reason(root: Path, settings: IndexSettings) -> None:
    refused = [
        RefusedRecord(
            file="/videos/a\nb.mp4", size_bytes=0, modified_ns=5, video_id="", clip_rows=None, reason="empty"
        ),
        RefusedRecord(file="/videos/ü.mp4", size_bytes=9, modified_ns=6, video_id="v", clip_rows=(3, 9), reason="cut"),
    ]
    with IndexWriter(root, settings) as writer:
        writer.publish([], refused)
    index = Index.open(root)
    assert index.refused == tuple(refused)
    assert index.num_clips == 0
    assert index.search_clips(np.ones((1, 16), np.float32), 5).rows.shape == (1, 0)


def test_new_video_without_rows_is_refused(root: Path, settings: IndexSettings, record_of: RecordOf) -> None:
    with IndexWriter(root, settings) as writer, pytest.raises(NotFoundError, match=r"video01.*neither"):
        writer.publish([record_of(1, 3)], [])


def test_rows_that_do_not_fit_are_refused(root: Path, settings: IndexSettings, rows_of: RowsOf) -> None:
    rows = rows_of(1, 3)
    bad = {
        "clip": np.zeros((3, 8), np.float16),
        "assignment": np.zeros((3, 2, 14), np.uint8),
        "patch_share": np.full((3, 4), np.nan, np.float32),
        "clip_rows": np.array([0, 2, 1]),
    }
    with IndexWriter(root, settings) as writer:
        for name, array in bad.items():
            unit = StagedUnit(video_id="v", unit=0, rows=dataclasses.replace(rows, **{name: array}))
            with pytest.raises(InputError, match=name):
                writer.stage(unit)
        assert not writer.staged()


def test_other_space_or_plan_is_refused_by_name(
    root: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf
) -> None:
    put(root, settings, rows_of, [record_of(1, 3)], new=[record_of(1, 3)])
    with pytest.raises(SpaceMismatchError, match=r"holds space space-a .* makes space space-b"):
        IndexWriter(root, dataclasses.replace(settings, space_id="space-b"))
    plan = ClipPlan(stride_s=0.5, num_frames=2)
    with pytest.raises(SpaceMismatchError, match=f"holds plan {settings.plan.plan_id} .*{plan.plan_id}"):
        IndexWriter(root, dataclasses.replace(settings, plan=plan))
    with pytest.raises(SpaceMismatchError, match="holds clips decoded by pyav, this run decodes with decord"):
        IndexWriter(root, dataclasses.replace(settings, decoder="decord"))


def test_units_staged_with_another_decoder_are_not_taken_up(
    root: Path, settings: IndexSettings, rows_of: RowsOf
) -> None:
    other = dataclasses.replace(settings, decoder="decord")
    with IndexWriter(root, settings) as writer:
        writer.stage(StagedUnit(video_id="v", unit=0, rows=rows_of(1, 3)))
    with IndexWriter(root, other) as writer:
        assert not writer.staged()
    with IndexWriter(root, settings) as writer:
        assert list(writer.staged()) == [("v", 0)]
    assert IndexSettings.from_json(other.to_json()) == other
    with pytest.raises(ConfigError, match="decoder: 'ffmpeg' is not one of pyav, decord"):
        dataclasses.replace(settings, decoder="ffmpeg")


def test_table_without_the_times_of_copies_can_be_read(tmp_path: Path, record_of: RecordOf) -> None:
    file = tmp_path / "videos.parquet"
    records = [record_of(1, 3, copies=("/b.mp4", "/c.mp4"), copies_modified_ns=(7, 8)), record_of(2, 3)]
    file.write_bytes(videos_to_parquet(records))
    assert list(videos_from_parquet(file)) == records
    pq.write_table(pq.read_table(file).drop_columns(["copies_modified_ns"]), file)
    assert [record.copies_modified_ns for record in videos_from_parquet(file)] == [(-1, -1), ()]


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_bad_faiss_file_is_made_again_by_a_build_with_nothing_to_do(
    root: Path,
    settings: IndexSettings,
    rows_of: RowsOf,
    record_of: RecordOf,
    monkeypatch: pytest.MonkeyPatch,
    harm: str,
) -> None:
    monkeypatch.setattr(nearest, "FLAT_MAX_VECTORS", 60)
    put(root, settings, rows_of, [record_of(1, 100)], new=[record_of(1, 100)])
    (cache,) = root.glob("parts/*/clips.faiss")
    intact = cache.read_bytes()
    if harm == "missing":
        cache.unlink()
    else:
        cache.write_bytes(intact[:-9] + bytes(9))
    assert put(root, settings, rows_of, [record_of(1, 100)], new=[]) == 1
    assert cache.read_bytes() == intact


def test_second_writer_is_told_who_holds_the_index(root: Path, settings: IndexSettings) -> None:
    message = f"another writer holds the index .process {os.getpid()} on"
    with IndexWriter(root, settings), pytest.raises(IndexBusyError, match=message):
        IndexWriter(root, settings)
    IndexWriter(root, settings).close()


def test_lock_of_a_killed_process_does_not_block(root: Path, settings: IndexSettings) -> None:
    script = (
        "import sys; from pathlib import Path; from henasy.index.lock import WriterLock\n"
        "lock = WriterLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(IndexBusyError, match=f"process {holder.pid}"):
        IndexWriter(root, settings)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    IndexWriter(root, settings).close()


def test_reader_is_not_disturbed_by_later_generations(
    root: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf
) -> None:
    records = [record_of(number, 5) for number in range(6)]
    put(root, settings, rows_of, records[:1], new=records[:1], fold_clips=100)
    old = Index.open(root)
    before = logical_digest(old)
    for count in range(2, 7):
        put(root, settings, rows_of, records[1:count], new=[records[count - 1]], fold_clips=100)
    assert logical_digest(old) == before
    assert old.search_clips(rows_of(0, 5).clip[:1].astype(np.float32), 1).rows.tolist() == [[0]]
    generations = sorted(folder.name for folder in (root / "generations").iterdir())
    assert generations == ["000004", "000005", "000006"]
    used = {part.part_id for part in _parts(root)}
    assert used <= {folder.name for folder in (root / "parts").iterdir()}
    assert len(list((root / "parts").iterdir())) == 3


def test_reader_that_lost_the_race_opens_the_newer_generation(
    root: Path, settings: IndexSettings, rows_of: RowsOf, record_of: RecordOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from henasy.index import reader

    records = [record_of(number, 2) for number in range(6)]
    put(root, settings, rows_of, records[:1], new=records[:1])
    real, reads = reader.read_current, []

    def publish_between(path: Path) -> int:
        number = real(path)
        if not reads:
            for count in range(2, 7):
                put(root, settings, rows_of, records[:count], new=[records[count - 1]])
        reads.append(number)
        return number

    monkeypatch.setattr(reader, "read_current", publish_between)
    assert Index.open(root).generation == 6
    assert reads == [1, 6]
