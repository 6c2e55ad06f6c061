"""EgoHOIBench and the comparison of phrasings, from files to numbers: a small archive, random weights, features."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.checkpoint.encoder import load_encoder
from henasy.evaluation.annotations.egohoi import COLUMNS, FILE_NAME, load_egohoi
from henasy.evaluation.queries.forms import as_sentence
from henasy.evaluation.tasks.report import RENDERED_HEADING
from henasy.text.wording import as_narration
from henasy.video.decode import find_decoder
from henasy.video.reference_frames import lavila_frame_ids


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def swaps_file(path: Path, num_items: int, video: str = "v") -> Path:
    negatives = {kind: ",".join(f"#C C {kind} {at}" for at in range(10)) for kind in ("verb", "noun")}
    rows = [
        f"{video}\t{row}.0\t{row}.9\t#C C opens box {row}\t[1]\t[2]\t{negatives['verb']}\t{negatives['noun']}"
        for row in range(num_items)
    ]
    path.write_text("\n".join(["\t".join(COLUMNS), *rows]) + "\n")
    return path


def saved(folder: Path, clips: np.ndarray, captions: np.ndarray) -> tuple[Path, Path]:
    np.save(folder / "clips.npy", clips)
    np.save(folder / "captions.npy", captions)
    return folder / "clips.npy", folder / "captions.npy"


def test_features_give_golden_accuracies(tmp_path: Path, golden_dir: Path, run_script: Any) -> None:
    golden = np.load(golden_dir / "egohoi_small.npz")
    annotations = swaps_file(tmp_path / FILE_NAME, 30)
    files = saved(tmp_path, np.ones((30, 1)), golden["sims"][..., None])
    out = tmp_path / "scores.json"
    arguments = ("--annotations", annotations, "--features", *files, "--similarity", "dot", "--json", out)
    result = run_script("egohoibench.py", *arguments)
    assert result.exit_code == 0, result.output
    assert "LaViLa++" in result.output
    assert RENDERED_HEADING not in result.output
    written = json.loads(out.read_text())
    for name in ("verb", "noun", "action"):
        assert 100 * written[name] == pytest.approx(float(golden[f"lavila_{name}"]), rel=1e-12)
    assert written["facts"]["scored"] == "30 of 30 items"


def test_cosine_and_dot_differ_and_ties_are_told(tmp_path: Path, run_script: Any) -> None:
    annotations = swaps_file(tmp_path / FILE_NAME, 2)
    captions = np.zeros((2, 21, 2))
    # the true caption has the better direction, a verb swap the greater length
    captions[:, 0], captions[:, 1:], captions[:, 3] = (1, 0), (0.5, 0.5), (8, 8)
    files = saved(tmp_path, np.array([[1.0, 0.0], [1.0, 0.0]]), captions)
    for similarity, verb in (("cosine", 1.0), ("dot", 0.0)):
        out = tmp_path / "scores.json"
        arguments = ("--annotations", annotations, "--features", *files, "--similarity", similarity, "--json", out)
        assert run_script("egohoibench.py", *arguments).exit_code == 0
        written = json.loads(out.read_text())
        assert (written["verb"], written["noun"], written["action"]) == (verb, 1.0, verb)
    captions[:] = (1, 0)
    files = saved(tmp_path, np.array([[1.0, 0.0], [1.0, 0.0]]), captions)
    result = run_script("egohoibench.py", "--annotations", annotations, "--features", *files)
    assert "2 items have a swap exactly as close" in result.output


def broken(change: str) -> tuple[np.ndarray, np.ndarray]:
    clips, captions = np.ones((3, 4)), np.ones((3, 21, 4))
    if change == "count":
        clips = clips[:2]
    elif change == "captions":
        captions = captions[:, :20]
    elif change == "width":
        captions = captions[..., :3]
    else:
        captions[2, 5, 0] = np.nan
    return clips, captions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("count", r"has shape \(2, 4\), must be \(3, d\): a row per item"),
        ("captions", r"has shape \(3, 20, 4\), must be \(3, 21, d\): a row per item, one per caption"),
        ("width", "video features are 4 wide, text features 3"),
        ("nan", r"NaN or infinity in row \(2, 5\)"),
    ],
)
def test_wrong_features_are_refused(change: str, message: str, tmp_path: Path, run_script: Any) -> None:
    annotations = swaps_file(tmp_path / FILE_NAME, 3)
    result = run_script("egohoibench.py", "--annotations", annotations, "--features", *saved(tmp_path, *broken(change)))
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output


def clip_of(encoder: Any, video: Path, start_s: float, end_s: float, fps: int) -> np.ndarray:
    first = round(start_s * fps)
    ids = lavila_frame_ids(first, first + max(int((end_s - start_s) * fps), 4), 4)
    runs = find_decoder("pyav")(video, (np.array(ids) + 0.5) / fps, lambda: None)
    frames = [run.image for run in runs for _ in range(run.first, run.last)]
    return np.asarray(encoder.encode_clips(np.stack(frames), np.arange(4)[None]).clip[0])


def test_rendered_swaps_equal_a_naive_loop(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path, cache: Path
) -> None:
    out = tmp_path / "scores.json"
    result = run_script("egohoibench.py", "--archive", small_archive, "--model", random_checkpoint, "--json", out)
    assert result.exit_code == 0, result.output
    assert RENDERED_HEADING in result.output
    assert "LaViLa" not in result.output

    encoder = load_encoder(random_checkpoint)
    right = []
    for item in load_egohoi(next(cache.rglob(FILE_NAME))).items:
        video = small_archive / "videos" / f"{item.span.video_id}.mp4"
        clip = clip_of(encoder, video, item.span.start_s, item.span.end_s, 8)
        scores = encoder.encode_texts(list(item.captions)) @ clip
        right.append([scores[1:11].max() <= scores[0], scores[11:].max() <= scores[0], scores.argmax() == 0])
    written = json.loads(out.read_text())
    assert [written[name] for name in ("verb", "noun", "action")] == pytest.approx(np.mean(right, axis=0))


def test_missing_videos_stop_the_run_unless_allowed(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    videos = sorted(path.stem for path in (small_archive / "videos").glob("*.mp4"))
    annotations = tmp_path / FILE_NAME
    there, gone = swaps_file(annotations, 3, videos[0]).read_text(), swaps_file(annotations, 2, "gone").read_text()
    annotations.write_text(there + gone.split("\n", 1)[1])
    real = ("--annotations", annotations, "--videos", small_archive / "videos", "--model", random_checkpoint)
    result = run_script("egohoibench.py", *real)
    assert result.exit_code == 1
    assert "1 annotated videos are not there: gone" in result.output
    result = run_script("egohoibench.py", *real, "--allow-missing")
    assert result.exit_code == 0, result.output
    assert "scored: 3 of 5 items" in result.output
    assert "not the whole published set, which has 29,651 items" in result.output


def as_asked(narration: str) -> str:
    """What the way "narration" asks: a narration without its tag, and the tag put on again if that is sure."""
    return as_narration(as_sentence(narration))


def respoken(cached: Path, folder: Path) -> tuple[Path, Path]:
    """The cached annotations of EgoMCQ and EgoHOIBench with every text as it is asked."""
    questions = json.loads(next(cached.rglob("egomcq.json")).read_text())
    for question in questions.values():
        question["query"]["clip_text"] = as_asked(question["query"]["clip_text"])
    mcq, swaps = folder / "egomcq.json", folder / FILE_NAME
    mcq.write_text(json.dumps(questions))
    heading, *lines = next(cached.rglob(FILE_NAME)).read_text().splitlines()
    texts = [heading.split("\t").index(name) for name in ("clip_text", "verb_neg", "noun_neg")]
    rows = [line.split("\t") for line in lines]
    for row in rows:
        for column in texts:
            row[column] = ",".join(map(as_asked, row[column].split(",")))
    swaps.write_text("\n".join([heading, *("\t".join(row) for row in rows)]) + "\n")
    return mcq, swaps


def test_phrasing_measures_every_way(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path, cache: Path
) -> None:
    out = tmp_path / "rows.json"
    arguments = ("--archive", small_archive, "--validation", small_archive, "--model", random_checkpoint)
    page = tmp_path / "page.html"
    result = run_script("phrasing.py", *arguments, "--json", out, "--report", page)
    assert result.exit_code == 0, result.output
    assert "<h1>ways to put a query, percent</h1>" in page.read_text()
    assert f'<p class="remark">{RENDERED_HEADING}</p>' in page.read_text()
    assert "<td>order, narration</td>" in page.read_text()
    assert RENDERED_HEADING in result.output
    written = json.loads(out.read_text())
    # narrations are tagged, so "narration" is what the benchmarks themselves measure, but for texts that may also name
    # things once their tag is gone ("hands over the jar"), which are asked as they are
    mcq, swaps = respoken(cache, tmp_path)
    for script, annotations, measures in (
        ("egomcq.py", mcq, ("inter", "intra")),
        ("egohoibench.py", swaps, ("verb", "noun", "action")),
    ):
        real = ("--annotations", annotations, "--videos", small_archive / "videos", "--model", random_checkpoint)
        result = run_script(script, *real, "--json", tmp_path / "one")
        assert result.exit_code == 0, result.output
        alone = json.loads((tmp_path / "one").read_text())
        for name in measures:
            assert written[f"narration/{name}"] == pytest.approx(alone[name], abs=1e-9)

    # with the same annotations as real ones, halves of the videos take the archives' place
    real = ("--annotations", next(cache.rglob("egomcq.json")), "--videos", small_archive / "videos")
    swaps = ("--swaps", next(cache.rglob(FILE_NAME)))
    result = run_script("phrasing.py", *real, *swaps, "--model", random_checkpoint)
    assert result.exit_code == 0, result.output
    assert "every second video" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--swaps", "x.tsv"), "--swaps: goes with --annotations"),
        (("--annotations", "a", "--videos", "b", "--model", "m", "--validation", "d"), "--validation: goes with rend"),
        (("--annotations", "a"), "--annotations: needs --videos and --model"),
    ],
)
def test_phrasing_refuses_options(run_script: Any, arguments: tuple[str, ...], message: str) -> None:
    result = run_script("phrasing.py", *arguments)
    assert result.exit_code == 1
    assert message in result.output
