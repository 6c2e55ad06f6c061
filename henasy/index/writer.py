"""The one writer of an index: stages units, then publishes them as one new generation."""

import datetime
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from types import MappingProxyType, TracebackType

from henasy.errors import NotFoundError
from henasy.index import layout
from henasy.index.assemble import PartPlan, plan_parts, write_parts
from henasy.index.caches import write_caches
from henasy.index.generation import (
    Generation,
    generation_files,
    publish_generation,
    read_current,
    read_generation,
)
from henasy.index.lock import WriterLock
from henasy.index.manifest import Manifest, PartEntry
from henasy.index.nearest import load_faiss
from henasy.index.settings import IndexSettings
from henasy.index.staging import StagedNote, StagedUnit, Staging
from henasy.index.sweep import sweep
from henasy.index.videos import RefusedRecord, VideoRecord, VideoTable

_FOLD_CLIPS = 20_000
"""Parts smaller than this join the next new part, so that many small builds leave few parts."""


class IndexWriter:
    """Holds the lock of an index until closed. Nothing is visible to readers before `publish` returns."""

    def __init__(
        self, path: str | Path, settings: IndexSettings | None = None, *, fold_clips: int = _FOLD_CLIPS
    ) -> None:
        """Opens an index for writing, or begins one.

        Args:
            path: folder of the index; made when it is missing.
            settings: what its rows are; None takes what the index says.
            fold_clips: parts with fewer clips are merged into the next new part.

        Raises:
            IndexBusyError: another writer holds the index.
            SpaceMismatchError: the index holds another space or plan, or clips of another decoder.
            NotFoundError: no settings were given and there is no index.
            IndexFormatError: the index is damaged.
            ConfigError: FAISS is not installed; better told now than after hours of encoding.
        """
        load_faiss()
        self.root = Path(path)
        self._fold_clips = fold_clips
        if settings is None:
            read_current(self.root)
        self._lock = WriterLock(self.root)
        try:
            self._generation = _live_generation(self.root)
            self.settings = _agreed(self._generation, settings, self.root)
            sweep(self.root)
            self._staging = Staging(self.root, self.settings)
            self._staged = {unit.key: unit.note for unit in self._staging.units()}
        except BaseException:
            self._lock.release()
            raise

    @property
    def videos(self) -> VideoTable:
        """The videos of the live generation."""
        return VideoTable([]) if self._generation is None else self._generation.videos

    @property
    def refused(self) -> tuple[RefusedRecord, ...]:
        """What the live generation says could not be read."""
        return () if self._generation is None else self._generation.refused

    def staged(self) -> Mapping[tuple[str, int], StagedNote]:
        """(video_id, unit) -> note, of the units that wait to be published and need not be made again."""
        return MappingProxyType(self._staged)

    def stage(self, unit: StagedUnit) -> None:
        """Makes a finished unit durable.

        Raises:
            InputError: its arrays do not fit the index.
            OSError: the disk is full or fails; earlier units are untouched.
        """
        self._staging.write(unit)
        self._staged[unit.key] = unit.note

    def publish(
        self,
        videos: Iterable[VideoRecord],
        refused: Iterable[RefusedRecord],
        *,
        replaced: Set[str] = frozenset(),
        is_staging_kept: bool = False,
    ) -> int:
        """Makes the given videos the content of the index; returns the live generation's number.

        Rows come from the generation before for videos that it holds, else from staged units; videos that are
        not given are dropped. When nothing differs from the live generation, none is made; FAISS files of it that
        are missing or damaged are made again all the same.

        Args:
            replaced: videos whose rows come from staged units although the generation before holds them.
            is_staging_kept: keep the staged units of videos that are not given.

        Raises:
            NotFoundError: a new video has no staged unit.
            OSError: the disk is full or fails; the live generation stays as it was.
        """
        table, refused = VideoTable(videos), tuple(refused)
        plan = plan_parts(self.root, self._generation, table, self._staged, self._fold_clips, replaced)
        if self._is_live(plan, table, refused):
            self._write_caches(plan.kept)
        else:
            self._generation = self._write(plan, table, refused)
        assert self._generation is not None
        self._clear_staging(is_kept=is_staging_kept)
        sweep(self.root)
        return self._generation.manifest.generation

    def close(self) -> None:
        """Lets the next writer in."""
        self._lock.release()

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_live(self, plan: PartPlan, table: VideoTable, refused: tuple[RefusedRecord, ...]) -> bool:
        live = self._generation
        if live is None or plan.sources or tuple(plan.kept) != live.manifest.parts:
            return False
        return list(table) == list(live.videos) and refused == live.refused

    def _write(self, plan: PartPlan, table: VideoTable, refused: tuple[RefusedRecord, ...]) -> Generation:
        number = 1 if self._generation is None else self._generation.manifest.generation + 1
        written = write_parts(self.root, number, plan.sources, self._staging, self.settings)
        parts = (*plan.kept, *written)
        self._write_caches(parts)
        files = generation_files(table, refused, plan.dropped)
        manifest = Manifest(
            generation=number,
            settings=self.settings,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            parts=parts,
            files=tuple(file for file, _ in files),
        )
        publish_generation(self.root, manifest, files)
        return Generation(manifest, table, refused, plan.dropped)

    def _write_caches(self, parts: Iterable[PartEntry]) -> None:
        for entry in parts:
            write_caches(self.root, entry, self.settings)

    def _clear_staging(self, *, is_kept: bool) -> None:
        if not is_kept:
            self._staging.clear()
            self._staged.clear()
        for key in [key for key in self._staged if key[0] in self.videos]:
            self._staging.delete(*key)
            del self._staged[key]


def _live_generation(root: Path) -> Generation | None:
    if not (root / layout.CURRENT).exists():
        return None
    return read_generation(root, read_current(root))


def _agreed(live: Generation | None, settings: IndexSettings | None, root: Path) -> IndexSettings:
    if live is None:
        if settings is None:
            raise NotFoundError(f"{root}: nothing was published yet")
        return settings
    if settings is not None:
        live.manifest.settings.require_same(settings)
    return live.manifest.settings
