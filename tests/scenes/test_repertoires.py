"""Archives that are rendered must stay valid: both repertoires give what they gave when they were first rendered.

The numbers are of archives made before there was a second repertoire, and when the second one was trained on.
"""

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest

from henasy.scenes.archive import ArchiveConfig, read_config, video_path, write_archive
from henasy.scenes.repertoire import REPERTOIRES
from henasy.scenes.truth import Truth

WORKTOP = ArchiveConfig(seed=3, num_videos=2, video_s=9.0, width_px=96, height_px=64, fps=8, repertoire="worktop")
HOUSEHOLD = ArchiveConfig(
    seed=31, num_videos=1, video_s=24.0, width_px=228, height_px=128, fps=8, repertoire="household"
)
WORKTOP_DIGESTS = {
    "archive.json": "ebc366403dedda1c9ede4a3be56d9688b8cb59959308fe57991feb5edd200aee",
    "narrations.csv": "d16c19117eaedb754e2fe8fd9f5ac99b9b67d59a97097f24e56a1983a3374464",
    "taxonomy/noun_taxonomy.csv": "942567e3e69c365e5a560ac5959df3fd564d2ec7c3774c308092e424b9e823de",
    "taxonomy/verb_taxonomy.csv": "55c9c1f18d354853bc5b3e9546388f17a9df3615cdae5366b297c70157433f6d",
}
HOUSEHOLD_DIGESTS = {
    "narrations.csv": "5a1845f111fb6756ba33698324c0ad657ff3b5d4049b55da258db4103aac2d07",
    "taxonomy/noun_taxonomy.csv": "278d3ecf46e31d4f6fd13cf3b3833e7962844c844bf291047932934941682394",
    "taxonomy/verb_taxonomy.csv": "00ef5714c08d76c2d0da64c07de8e5e59d0958db25ffb3e953707a66161cc3ad",
}
WORKTOP_PIXELS = {
    0: [598, 497, 505, 148, 69, 263, 304],
    12: [1002, 583, 116, 94, 61, 680, 0],
    30: [1082, 588, 135, 64, 69, 752, 0],
}
WORKTOP_BRIGHTNESS = {
    0: [[141, 121, 112, 137], [158, 150, 140, 136], [89, 84, 122, 146], [88, 124, 143, 124]],
    60: [[157, 154, 146, 122], [142, 65, 104, 120], [130, 71, 86, 108], [118, 123, 140, 151]],
}
HOUSEHOLD_PIXELS = {
    4: [1239, 2198, 1843, 974, 0, 0, 0, 0, 0, 989, 1156],
    40: [1268, 1896, 2104, 985, 0, 0, 0, 0, 0, 1428, 798],
    80: [1379, 2610, 2273, 1067, 0, 0, 0, 0, 0, 2105, 605],
}
HOUSEHOLD_BRIGHTNESS = {
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


def test_archives_without_a_repertoire_are_what_they_were(tmp_path: Path) -> None:
    write_archive(WORKTOP, tmp_path)
    assert {name: digest(tmp_path / name) for name in WORKTOP_DIGESTS} == WORKTOP_DIGESTS
    assert read_config(tmp_path) == WORKTOP
    check_pixels(tmp_path, WORKTOP, WORKTOP_PIXELS)
    check_brightness(tmp_path, WORKTOP, WORKTOP_BRIGHTNESS)


def test_household_archives_are_what_was_trained_on(tmp_path: Path) -> None:
    write_archive(HOUSEHOLD, tmp_path)
    assert {name: digest(tmp_path / name) for name in HOUSEHOLD_DIGESTS} == HOUSEHOLD_DIGESTS
    check_pixels(tmp_path, HOUSEHOLD, HOUSEHOLD_PIXELS)
    check_brightness(tmp_path, HOUSEHOLD, HOUSEHOLD_BRIGHTNESS)


@pytest.mark.parametrize("name", sorted(REPERTOIRES))
def test_a_repertoire_has_distinct_labels_and_words(name: str) -> None:
    repertoire = REPERTOIRES[name]  # type: ignore[index]
    for rows in (repertoire.nouns, repertoire.verbs):
        labels = [row.label for row in rows]
        words = [word for row in rows for word in row.words]
        assert labels == sorted(set(labels))
        assert len(words) == len(set(words))
    labels = [verb.label for verb in repertoire.verbs]
    assert all(verb.also_true <= set(labels) - {verb.label} for verb in repertoire.verbs)
