"""Archives that are rendered must stay valid: the same settings give what henasy-tiny was trained on."""

import hashlib
from pathlib import Path

import av
import numpy as np

from henasy.scenes.archive import ArchiveConfig, video_path, write_archive
from henasy.scenes.household.story import HOUSEHOLD
from henasy.scenes.truth import Truth

CONFIG = ArchiveConfig(seed=31, num_videos=1, video_s=24.0, width_px=228, height_px=128, fps=8)
DIGESTS = {
    "narrations.csv": "5a1845f111fb6756ba33698324c0ad657ff3b5d4049b55da258db4103aac2d07",
    "taxonomy/noun_taxonomy.csv": "278d3ecf46e31d4f6fd13cf3b3833e7962844c844bf291047932934941682394",
    "taxonomy/verb_taxonomy.csv": "00ef5714c08d76c2d0da64c07de8e5e59d0958db25ffb3e953707a66161cc3ad",
}
PIXELS = {
    4: [1239, 2198, 1843, 974, 0, 0, 0, 0, 0, 989, 1156],
    40: [1268, 1896, 2104, 985, 0, 0, 0, 0, 0, 1428, 798],
    80: [1379, 2610, 2273, 1067, 0, 0, 0, 0, 0, 2105, 605],
}
BRIGHTNESS = {
    8: [[91, 90, 92, 98], [176, 177, 112, 110], [163, 149, 125, 135], [175, 184, 173, 190]],
    160: [[93, 92, 87, 93], [188, 123, 154, 120], [203, 141, 189, 78], [175, 176, 179, 135]],
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_pixels(folder: Path, config: ArchiveConfig, expected: dict[int, list[int]]) -> None:
    """Sizes of all masks; a pixel here or there may be rounded otherwise on another processor."""
    ids = Truth.open(folder, config.video_uid(0)).ids
    for row, counts in expected.items():
        found = np.bincount(ids[row].ravel(), minlength=len(counts) + 1)[1 : len(counts) + 1]
        assert np.abs(found - counts).max() <= 2


def check_brightness(folder: Path, config: ArchiveConfig, expected: dict[int, list[list[int]]]) -> None:
    with av.open(str(video_path(folder, config.video_uid(0)))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for number, means in expected.items():
        frame = frames[number]
        height, width = frame.shape[0] // 4, frame.shape[1] // 4
        found = frame.reshape(4, height, 4, width, 3).mean(axis=(1, 3, 4))
        assert np.abs(found - np.array(means)).max() <= 2.0


def test_archives_are_what_was_trained_on(tmp_path: Path) -> None:
    write_archive(CONFIG, tmp_path)
    assert {name: digest(tmp_path / name) for name in DIGESTS} == DIGESTS
    check_pixels(tmp_path, CONFIG, PIXELS)
    check_brightness(tmp_path, CONFIG, BRIGHTNESS)


def test_the_repertoire_has_distinct_labels_and_words() -> None:
    for rows in (HOUSEHOLD.nouns, HOUSEHOLD.verbs):
        labels = [row.label for row in rows]
        words = [word for row in rows for word in row.words]
        assert labels == sorted(set(labels))
        assert len(words) == len(set(words))
    labels = [verb.label for verb in HOUSEHOLD.verbs]
    assert all(verb.also_true <= set(labels) - {verb.label} for verb in HOUSEHOLD.verbs)
