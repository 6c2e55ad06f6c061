"""henasy-serve and henasy-search as their users start them, with a random checkpoint and a real video."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from small_world import record, write_index
from spoiled_decoder import set_fate, spoil_decoders

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import save_checkpoint
from henasy.checkpoint.random_weights import random_checkpoint
from henasy.commands.archive import main as archive_main
from henasy.commands.model import main as model_main
from henasy.commands.train import main as train_main
from henasy.index.rows import ClipRows
from henasy.index.settings import IndexSettings
from henasy.index.staging import StagedUnit
from henasy.index.writer import IndexWriter
from henasy.video.clips import ClipBatch, read_clips
from henasy.video.plan import ClipPlan
from service.client import HenasyClient
from service.search_cli import main as search_main
from service.serve_cli import main as serve_main
from service.status import DeadlinePassedError

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "random-tiny"
    save_checkpoint(folder, random_checkpoint("tiny", "henasy", seed=0))
    return folder


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """An index of one video of four seconds, made by the checkpoint."""
    root = tmp_path_factory.mktemp("archive")
    encoder = load_encoder(model, micro_batch=1)
    plan = ClipPlan(num_frames=encoder.num_frames)
    video = replace(record(root, 0, 3, is_file=True), duration_s=4.0, path="kitchen 0/video-0.mp4")
    spans = plan.spans(video.duration_s)
    batch = next(iter(read_clips(video.file, spans, plan.num_frames)))
    assert isinstance(batch, ClipBatch)
    encoded = encoder.encode_clips(batch.frames, batch.frame_rows)
    settings = IndexSettings(
        kind=encoder.kind,
        space_id=encoder.space_id,
        model=str(model),
        plan=plan,
        width=encoder.width,
        num_entities=encoder.num_entities,
        grid=encoder.grid,
    )
    rows = ClipRows(
        clip_rows=batch.clip_rows,
        spans=batch.spans,
        clip=encoded.clip.astype(np.float16),
        entities=encoded.entities.astype(np.float16),
        is_valid=encoded.is_valid,
        patch_share=encoded.patch_share,
        assignment=encoded.assignment,
    )
    with IndexWriter(root / "index", settings) as writer:
        writer.stage(StagedUnit(video_id=video.video_id, unit=0, rows=rows))
        writer.publish([video], [])
    return root / "index"


@pytest.fixture(scope="module")
def server(index: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address and process of a henasy-serve."""
    paths = [str(REPOSITORY), str(REPOSITORY / "protos" / "generated"), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-c", "from service.serve_cli import main; main()", "--index", str(index), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("henasy-serve: ready at 127.0.0.1:")
    yield line.split()[-1], process
    process.kill()
    process.wait()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(search_main, [str(argument) for argument in arguments])


def test_server_and_index_give_the_same_json(server: tuple[str, subprocess.Popen[str]], index: Path) -> None:
    arguments = ("opens the drawer", "a mug", "--target", "entities", "--explain", "--json", "--top-k", 3)
    answers = [json.loads(run(*arguments, *where).output) for where in (("--server", server[0]), ("--index", index))]
    assert answers[0]["results"] == answers[1]["results"]
    assert [result["query"] for result in answers[0]["results"]] == ["opens the drawer", "a mug"]
    hit = answers[0]["results"][0]["hits"][0]
    assert hit["video"]["path"] == "kitchen 0/video-0.mp4"
    assert len(hit["entity"]["regions"]) == 4
    assert {match["phrase"] for match in hit["explanation"]["phrases"]} == {"opens the drawer", "drawer"}


def test_one_place_is_asked(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = run("drawer", "--server", "127.0.0.1:1", "--index", index)
    assert (both.exit_code, both.output) == (1, f"henasy-search: --server: 127.0.0.1:1 and --index {index}: give one\n")
    assert "--model: henasy-tiny needs --index" in run("drawer", "--model", "henasy-tiny").output
    monkeypatch.setenv("HENASY_INDEX", str(index))
    assert run("drawer").exit_code == 0
    assert "no henasy-serve answers at 127.0.0.1:1" in run("drawer", "--server", "127.0.0.1:1").output


def test_table_names_hits_and_phrases(server: tuple[str, subprocess.Popen[str]]) -> None:
    result = run("opens the drawer", "--server", server[0], "--explain", "--group", 2)
    assert result.exit_code == 0
    assert '"opens the drawer"' in result.output
    assert result.output.count("video-0") == 2
    assert "drawer -> entity" in result.output
    empty = run("opens the drawer", "--server", server[0], "--where", "room=attic")
    assert (empty.exit_code, "no hit" in empty.output) == (0, True)


def test_wording_reaches_the_search(index: Path) -> None:
    def scores(*options: object) -> list[float]:
        result = json.loads(run("open the drawer", "--index", index, "--json", *options).output)["results"][0]
        return [hit["score"] for hit in result["hits"]]

    assert scores() == scores("--wording", "narration")
    assert len({tuple(scores("--wording", wording)) for wording in ("bare", "narration", "both")}) == 3
    assert run("open the drawer", "--index", index, "--wording", "loud").exit_code == 2


def test_filters_reach_the_search(server: tuple[str, subprocess.Popen[str]]) -> None:
    def num_hits(*options: object) -> int:
        result = run("mug", "--server", server[0], "--json", *options)
        assert result.exit_code == 0, result.output
        return len(json.loads(result.output)["results"][0]["hits"])

    assert num_hits() == 3
    assert num_hits("--start-s", 3.5) == 1
    assert num_hits("--video", "video0", "--end-s", 1) == 1
    assert num_hits("--where", "take=0..1", "--where", "room=cellar") == 3
    assert num_hits("--where", "take=1..") == 0
    assert [num_hits("--where", f"tidy={value}") for value in ("false", "False", "true")] == [3, 3, 0]
    assert num_hits("--path", "kitchen 1/*") == 0


def test_pictures_are_drawn(server: tuple[str, subprocess.Popen[str]], index: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    result = run("mug", "--server", server[0], "--target", "entities", "--top-k", 2, "--picture", pictures)
    assert result.exit_code == 0
    files = sorted(pictures.iterdir())
    assert files[0].name == "query-1-hit-001.png"
    with Image.open(files[0]) as image:
        assert image.size == (4 * 360 + 3 * 4, 240 + 22)
    elsewhere = run("mug", "--server", server[0], "--picture", pictures, "--videos", tmp_path)
    assert elsewhere.exit_code == 1
    assert "no video is here" in elsewhere.output


def test_a_decoder_that_dies_is_told_in_one_line(
    server: tuple[str, subprocess.Popen[str]], index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_decoders(tmp_path / "site", monkeypatch)
    video = index.parent / "kitchen 0" / "video-0.mp4"
    set_fate(video, "crash")
    result = run("mug", "--server", server[0], "--json", "--picture", tmp_path / "pictures")
    set_fate(video, "")
    assert result.exit_code == 1
    assert result.stderr == f"henasy-search: {video}: the decoding process was killed by SIGSEGV\n"


def test_moments_are_shown_with_their_clips(index: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    result = run("open the drawer", "--index", index, "--target", "moments", "--json", "--picture", pictures)
    hits = json.loads(result.output)["results"][0]["hits"]
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))
    for hit in hits:
        assert hit["span"]["start_s"] < hit["span"]["end_s"] <= 4.0
        assert all(clip["span"]["end_s"] > hit["span"]["start_s"] for clip in hit["clips"])
    assert len(list(pictures.glob("*.png"))) == len(hits) > 0
    table = run("open the drawer", "--index", index, "--target", "moments").output
    assert "best clip" in table
    assert f"{hits[0]['span']['start_s']:.2f}-{hits[0]['span']['end_s']:.2f} s" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((" ",), "query: ' ' has no visible character"),
        (("mug", "--top-k", 0), "top_k: 0 is not in 1..1000"),
        (("mug", "--min-score", "nan"), "min_score: nan"),
        (("mug", "--where", "room"), "--where: 'room' is not COLUMN=VALUE"),
        (("mug", "--where", "lens=1"), "metadata.lens: no such column; there are: room, take, tidy"),
        (("mug", "--video", "video9"), "'video9' is not in the index"),
    ],
)
def test_bad_input_is_told_in_one_line(
    server: tuple[str, subprocess.Popen[str]], arguments: tuple[object, ...], message: str
) -> None:
    result = run(*arguments, "--server", server[0])
    assert result.exit_code == 1
    assert result.output.startswith("henasy-search: ")
    assert message in result.output
    assert result.output.count("\n") == 1


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    result = run("mug", "--server", "127.0.0.1:1", "--timeout", 2)
    message = "no henasy-serve answers at 127.0.0.1:1; start one with henasy-serve --index DIR"
    assert (result.exit_code, result.stderr) == (1, f"henasy-search: {message}\n")
    result = run("mug", "--index", tmp_path)
    assert (result.exit_code, "no index is here" in result.output) == (1, True)


def test_timeouts_are_above_zero_and_named(server: tuple[str, subprocess.Popen[str]]) -> None:
    for timeout in ("0", "-1"):
        result = run("mug", "--server", server[0], "--timeout", timeout)
        assert (result.exit_code, "x>0" in result.stderr) == (2, True)
    with HenasyClient(server[0], timeout_s=1e-6) as client, pytest.raises(DeadlinePassedError, match="within 1e-06 s"):
        client.search("mug")


def test_white_space_in_a_query_leaves_the_table_whole(server: tuple[str, subprocess.Popen[str]]) -> None:
    result = run("opens\tthe\n drawer", "--server", server[0])
    assert result.exit_code == 0
    assert '"opens the drawer"' in result.output


@pytest.mark.parametrize("main", [search_main, serve_main, archive_main, model_main, train_main])
def test_commands_tell_their_version(main: click.Command) -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert (result.exit_code, result.output.strip()) == (0, version("henasy"))


def test_only_this_projects_loggers_tell_what_they_do() -> None:
    code = """
import logging
from service.serve_cli import _log_to_stderr
_log_to_stderr()
for name in ("service.live", "henasy.index", "faiss.loader"):
    logging.getLogger(name).info("told")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert [line.split()[3] for line in found.stderr.splitlines()] == ["service.live:", "henasy.index:"]


def test_errors_of_the_system_are_told_in_one_line(
    server: tuple[str, subprocess.Popen[str]], index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "pictures"
    result = run("mug", "--server", server[0], "--top-k", 1, "--json", "--picture", folder)
    assert result.exit_code == 1
    assert result.stderr.startswith("henasy-search: ")
    assert f"Not a directory: '{folder}'" in result.stderr
    assert result.stderr.count("\n") == 1

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/weights")

    monkeypatch.setattr("henasy.checkpoint.encoder.load_encoder", refuse)
    for main, arguments in ((search_main, ["mug"]), (serve_main, ["--port", "0"])):
        result = CliRunner().invoke(main, [*arguments, "--index", str(index)])
        assert (result.exit_code, type(result.exception)) == (1, SystemExit)
        assert result.stderr.splitlines()[-1].endswith(": [Errno 13] Permission denied: '/weights'")
        assert "Traceback" not in result.output


def test_serve_refuses_an_index_of_another_model(tmp_path: Path, model: Path) -> None:
    other = write_index(tmp_path)
    result = CliRunner().invoke(serve_main, ["--index", str(other), "--model", str(model), "--port", "0"])
    assert result.exit_code == 1
    assert "was made by model words in space words-32" in result.output
    result = CliRunner().invoke(serve_main, ["--index", str(tmp_path / "none")])
    assert (result.exit_code, "no index is here" in result.output) == (1, True)


def test_searching_through_a_server_needs_no_faiss(server: tuple[str, subprocess.Popen[str]]) -> None:
    code = f"""
import sys
sys.modules["faiss"] = None
from service.search_cli import main
main(["mug", "--server", {server[0]!r}, "--json"])
"""
    paths = [str(REPOSITORY), str(REPOSITORY / "protos" / "generated")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
    assert len(json.loads(output)["results"][0]["hits"]) == 3


def test_the_client_needs_no_torch() -> None:
    code = "import sys, service.client; print(sorted({'torch', 'ray', 'pycocotools'} & set(sys.modules)))"
    paths = [str(REPOSITORY), str(REPOSITORY / "protos" / "generated")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "[]"


def test_sigterm_finishes_calls_and_ends_with_success(server: tuple[str, subprocess.Popen[str]]) -> None:
    """The last test of this module: it ends the server that the others ask."""
    address, process = server
    with HenasyClient(address) as client, ThreadPoolExecutor(4) as pool:
        client.index()
        calls = [pool.submit(client.explain, "opens the drawer", "video0", 0.0) for _ in range(4)]
        calls[0].result(20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        for call in calls:
            # Accepted calls are answered; a call that came too late is refused, never cut off.
            error = call.exception(5)
            assert error is None or "UNAVAILABLE" in str(error)
