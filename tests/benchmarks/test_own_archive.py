"""Own queries and judgements from files to numbers, with an index, a server, a kept ranking, and people's marks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.checkpoint.encoder import load_encoder
from henasy.evaluation.own.rendered import RenderedOwn, narrated_judgements, rendered_own_archive
from henasy.evaluation.rendered.layouts import read_rendered_clips
from henasy.evaluation.tasks.report import RENDERED_HEADING
from henasy.index import Index
from henasy.search.engine import Engine
from henasy.search.request import SearchRequest


@pytest.fixture(scope="module")
def own(
    small_archive: Path, random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RenderedOwn]:
    """Queries, judgements and an index of the small archive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield rendered_own_archive(small_archive, str(random_checkpoint), "cpu")


def files_of(own: RenderedOwn) -> tuple[object, ...]:
    return "--queries", own.queries, "--qrels", own.qrels


def naive_recall(own: RenderedOwn, small_archive: Path, model: Path, top_k: int) -> float:
    """Share of narrations of each query's action that some of the first hits overlap, one hit for one narration."""
    engine = Engine(Index.open(own.index_folder), load_encoder(model))
    clips = read_rendered_clips(small_archive)
    queries, judgements = narrated_judgements(clips)
    recalls = []
    for query_id, text in queries.items():
        open_spans = [one.doc for one in judgements if one.query_id == query_id]
        num_relevant, num_found, num_kept = len(open_spans), 0, 0
        found: list[Any] = []
        for hit in engine.search(SearchRequest(queries=(text,), top_k=100)).results[0].hits:

            def overlap(doc: Any, hit: Any = hit) -> float:
                common = min(doc.span[1], hit.span.end_s) - max(doc.span[0], hit.span.start_s)
                return common / (max(doc.span[1], hit.span.end_s) - min(doc.span[0], hit.span.start_s))

            of_video = [doc for doc in open_spans if doc.video == hit.video.path and overlap(doc) > 0]
            repeats = [doc for doc in found if doc.video == hit.video.path and overlap(doc) > 0]
            if not of_video and repeats:
                continue
            num_kept += 1
            if of_video and num_kept <= top_k:
                num_found += 1
            if of_video:
                best = max(of_video, key=overlap)
                open_spans.remove(best)
                found.append(best)
        recalls.append(num_found / num_relevant)
    return float(np.mean(recalls))


def test_an_archive_scores_as_a_naive_loop(
    run_script: Any, own: RenderedOwn, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    result = run_script("own_archive.py", "score", own.index_folder, *files_of(own), "--json", out)
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    assert written["R@10"] == pytest.approx(naive_recall(own, small_archive, random_checkpoint, 10))
    assert written["R@100"] == pytest.approx(naive_recall(own, small_archive, random_checkpoint, 100))
    assert written["facts"]["space"] == load_encoder(random_checkpoint).space_id


def test_without_a_command_rendered_scenes_are_scored(
    run_script: Any,
    small_archive: Path,
    random_checkpoint: Path,
    own: RenderedOwn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(own.queries.parents[3]))
    out, page = tmp_path / "scores.json", tmp_path / "page.html"
    arguments = ("--archive", small_archive, "--model", random_checkpoint, "--json", out, "--report", page)
    result = run_script("own_archive.py", *arguments, "--measure", "AP", "--measure", "Judged@10")
    assert result.exit_code == 0, result.output
    assert RENDERED_HEADING in result.output
    assert set(json.loads(out.read_text())) == {"AP", "Judged@10", "facts"}
    assert page.read_text().count("data:image/jpeg") > 10
    # Only relevant pieces are known of rendered scenes, so that nothing is known to be wrong.
    assert 'class="right"' in page.read_text()
    assert 'class="wrong"' not in page.read_text()


def test_a_ranking_that_was_kept_scores_as_its_index(run_script: Any, own: RenderedOwn, tmp_path: Path) -> None:
    run, kept, direct = tmp_path / "kept.run", tmp_path / "kept.json", tmp_path / "direct.json"
    first = run_script("own_archive.py", "score", own.index_folder, *files_of(own), "--run", run, "--json", direct)
    assert first.exit_code == 0, first.output
    again = run_script("own_archive.py", "score", run, *files_of(own), "--json", kept)
    assert again.exit_code == 0, again.output
    numbers = [json.loads(path.read_text()) for path in (kept, direct)]
    assert {**numbers[0], "facts": None} == {**numbers[1], "facts": None}
    compared = run_script("own_archive.py", "compare", run, own.index_folder, *files_of(own), "--tolerance", "0")
    assert compared.exit_code == 0, compared.output
    assert "not significantly lower" in compared.output


def test_a_worse_ranking_ends_with_3(run_script: Any, own: RenderedOwn, tmp_path: Path) -> None:
    good, bad, out = tmp_path / "good.run", tmp_path / "bad.run", tmp_path / "comparison.json"
    lines = [line.split() for line in own.qrels.read_text().splitlines()]
    good.write_text("".join(f"{query} Q0 {doc} 1 {-row} x\n" for row, (query, _, doc, _) in enumerate(lines)))
    bad.write_text("".join(f"{query} Q0 elsewhere@1-2 1 0.5 x\n" for query in {line[0] for line in lines}))
    result = run_script("own_archive.py", "compare", good, bad, *files_of(own), "--json", out)
    assert result.exit_code == 3, result.output
    written = json.loads(out.read_text())
    assert written["has_fallen"]
    assert written["measures"]["AP"]["baseline"] == 1
    assert written["measures"]["AP"]["candidate"] == 0
    assert written["measures"]["AP"]["p"] < 0.001
    assert "are videos named as hits name them" in result.output
    better = run_script("own_archive.py", "compare", bad, good, *files_of(own))
    assert better.exit_code == 0, better.output


def test_a_fall_within_chance_needs_a_tolerance(run_script: Any, tmp_path: Path) -> None:
    queries, qrels = tmp_path / "q.tsv", tmp_path / "qrels"
    queries.write_text("a\tone\nb\ttwo\nc\tthree\n")
    qrels.write_text("a 0 v@0-1 1\nb 0 v@0-1 1\nc 0 v@0-1 1\n")
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_text("a Q0 v@0-1 1 1 x\nb Q0 v@0-1 1 1 x\n")
    after.write_text("a Q0 v@0-1 1 1 x\n")
    files = ("--queries", queries, "--qrels", qrels)
    assert run_script("own_archive.py", "compare", before, after, *files).exit_code == 0
    assert run_script("own_archive.py", "compare", before, after, *files, "--tolerance", "0.4").exit_code == 0
    fell = run_script("own_archive.py", "compare", before, after, *files, "--tolerance", "0.3")
    assert fell.exit_code == 3
    assert "may be chance" in fell.output


def test_a_server_answers_as_its_index(run_script: Any, own: RenderedOwn, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from service.serve_cli import main; main()"]
    arguments = ["--index", str(own.index_folder), "--port", "0"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            result = run_script(
                "own_archive.py", "compare", own.index_folder, address, *files_of(own), "--tolerance", "0"
            )
            queries, qrels = tmp_path / "q.tsv", tmp_path / "qrels"
            queries.write_text("a\tone\n")
            qrels.write_text("a 0 nowhere.mp4@0-1 1\n")
            lost = run_script("own_archive.py", "score", address, "--queries", queries, "--qrels", qrels)
        finally:
            server.terminate()
    assert result.exit_code == 0, result.output
    assert "not significantly lower" in result.output
    assert "1 judged videos are in no index that was asked: nowhere.mp4" in lost.output
    away = run_script("own_archive.py", "score", address, "--queries", queries, "--qrels", qrels)
    assert away.exit_code == 1
    assert "UNAVAILABLE" in away.output


def test_missing_videos_stop_the_run_unless_allowed(run_script: Any, own: RenderedOwn, tmp_path: Path) -> None:
    qrels = tmp_path / "qrels"
    qrels.write_text(own.qrels.read_text() + "q001 0 lost.mp4@1-2 1\n")
    arguments = ("score", own.index_folder, "--queries", own.queries, "--qrels", qrels)
    stopped = run_script("own_archive.py", *arguments)
    assert stopped.exit_code == 1
    assert "1 judged videos are in no index that was asked: lost.mp4; --allow-missing scores the rest" in stopped.output
    allowed = run_script("own_archive.py", *arguments, "--allow-missing")
    assert allowed.exit_code == 0, allowed.output
    assert "1 judged videos are missing" in allowed.output
    qrels.write_text("q001 0 lost.mp4@1-2 1\n")
    nothing = run_script("own_archive.py", *arguments, "--allow-missing")
    assert nothing.exit_code == 1
    assert "no relevant judgement is of a video that the archive holds" in nothing.output


def test_a_piece_past_the_end_of_its_video_is_named(run_script: Any, own: RenderedOwn, tmp_path: Path) -> None:
    qrels = tmp_path / "qrels"
    first = own.qrels.read_text().split()[2].split("@")[0]
    qrels.write_text(f"q001 0 {first}@1-999 1\n")
    result = run_script("own_archive.py", "score", own.index_folder, "--queries", own.queries, "--qrels", qrels)
    assert result.exit_code == 1
    assert "line 1" in result.output
    assert "ends at 999 s, must be within the video's 14 s" in result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no hit"),
        ("q001 Q0 v@1-2 1 nan x\n", "score is nan, must be a finite number"),
        ("q001 Q0 v@1-2 1 0.5\n", "5 fields, must be 6"),
        ("q001 Q0 v 1 0.5 x\n", "'v' has no times"),
        ("zzz Q0 v@1-2 1 0.5 x\n", "query 'zzz' is not in the queries file"),
        ("q001 Q0 v@1-2 1 0.5 x\nq001 Q0 v@1-2 2 0.4 x\n", "line 2: v@1-2 was there before"),
    ],
)
def test_bad_rankings_are_named(run_script: Any, own: RenderedOwn, tmp_path: Path, content: str, message: str) -> None:
    run = tmp_path / "a.run"
    run.write_text(content)
    result = run_script("own_archive.py", "score", run, *files_of(own))
    assert result.exit_code == 1
    assert message in result.output


def test_other_mistakes_are_named(run_script: Any, own: RenderedOwn, tmp_path: Path) -> None:
    nowhere = run_script("own_archive.py", "score", tmp_path / "none", *files_of(own))
    assert "no such index, server or run file" in nowhere.output
    measure = run_script("own_archive.py", "score", own.index_folder, *files_of(own), "--measure", "P@0")
    assert "'P@0' is none of nDCG, AP, RR" in measure.output
    by = run_script("own_archive.py", "compare", "a", "b", *files_of(own), "--by", "P@3")
    assert "'P@3' is none of the measures" in by.output
    iou = run_script("own_archive.py", "score", own.index_folder, *files_of(own), "--min-iou", "1.5")
    assert "1.5 is not from 0 to 1" in iou.output
    deep = run_script("own_archive.py", "score", own.index_folder, *files_of(own), "--top-k", "5", "--measure", "P@10")
    assert "P@10 looks at more hits than --top-k 5 asks for" in deep.output
    names = ("--run", tmp_path / "x.run", "--json", tmp_path / "x.run.json")
    same = run_script("own_archive.py", "score", own.index_folder, *files_of(own), *names)
    assert "is where the facts of --run" in same.output
    assert {nowhere.exit_code, measure.exit_code, by.exit_code, iou.exit_code, deep.exit_code, same.exit_code} == {1}


def test_default_measures_look_no_deeper_than_the_hits(run_script: Any, own: RenderedOwn, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    result = run_script("own_archive.py", "score", own.index_folder, *files_of(own), "--top-k", "5", "--json", out)
    assert result.exit_code == 0, result.output
    assert set(json.loads(out.read_text())) == {"AP", "RR", "P@5", "facts"}


def test_options_of_a_search_are_refused_where_nothing_is_searched(
    run_script: Any, own: RenderedOwn, kept: Path
) -> None:
    for arguments in (("score", kept), ("compare", kept, kept)):
        target = run_script("own_archive.py", *arguments, *files_of(own), "--target", "moments")
        assert "--target: moments: a kept ranking was made already" in target.output
        device = run_script("own_archive.py", *arguments, *files_of(own), "--device", "cuda")
        assert "--device: cuda: only an index encodes its texts here" in device.output
        assert {target.exit_code, device.exit_code} == {1}


@pytest.mark.parametrize("tolerance", ["nan", "-0.1", "1.5", "inf"])
def test_a_tolerance_that_is_none_is_refused(run_script: Any, own: RenderedOwn, tolerance: str) -> None:
    result = run_script("own_archive.py", "compare", "a", "b", *files_of(own), "--tolerance", tolerance)
    assert result.exit_code == 1
    assert f"--tolerance: {float(tolerance)} is not from 0 to 1" in result.output


@pytest.fixture
def kept(run_script: Any, own: RenderedOwn, tmp_path: Path) -> Path:
    """A ranking of the index with five hits per query, kept when only the first query was judged."""
    run, qrels = tmp_path / "kept.run", tmp_path / "few.qrels"
    qrels.write_text("".join(line for line in own.qrels.read_text().splitlines(True) if line.startswith("q001 ")))
    arguments = ("--queries", own.queries, "--qrels", qrels, "--top-k", "5", "--run", run)
    result = run_script("own_archive.py", "score", own.index_folder, *arguments)
    assert result.exit_code == 0, result.output
    return run


def test_a_kept_ranking_is_judged_as_its_index(run_script: Any, own: RenderedOwn, kept: Path, tmp_path: Path) -> None:
    # Of all queries, also those that nobody had judged when it was kept, and by paths as well as by ids.
    numbers = []
    for system in (kept, own.index_folder):
        out = tmp_path / "out.json"
        scored = run_script("own_archive.py", "score", system, *files_of(own), "--top-k", "5", "--json", out)
        assert scored.exit_code == 0, scored.output
        numbers.append(json.loads(out.read_text()))
    assert {**numbers[0], "facts": None} == {**numbers[1], "facts": None}
    for fact in ("index", "model", "space", "plan", "target"):
        assert numbers[0]["facts"][fact] == numbers[1]["facts"][fact]
    deep = run_script("own_archive.py", "score", kept, *files_of(own))
    assert deep.exit_code == 1
    assert "--top-k: 100 hits are asked for" in deep.output
    assert "kept with 5" in deep.output


def test_a_kept_ranking_does_not_hide_bad_judgements(run_script: Any, own: RenderedOwn, tmp_path: Path) -> None:
    first = own.qrels.read_text().split()[2].split("@")[0]
    run, qrels = tmp_path / "bad.run", tmp_path / "bad.qrels"
    qrels.write_text(f"q001 0 {first}@0-1 1\nq001 0 lost.mp4@1-2 1\n")
    arguments = ("--queries", own.queries, "--qrels", qrels)
    made = run_script("own_archive.py", "score", own.index_folder, *arguments, "--allow-missing", "--run", run)
    assert made.exit_code == 0, made.output
    lost = run_script("own_archive.py", "score", run, *arguments)
    assert lost.exit_code == 1
    assert "1 judged videos are in no index that was asked: lost.mp4" in lost.output
    qrels.write_text(f"q001 0 {first}@1-999 1\n")
    late = run_script("own_archive.py", "score", run, *arguments)
    assert late.exit_code == 1
    assert "ends at 999 s, must be within the video's 14 s" in late.output


def test_a_kept_ranking_of_other_queries_or_contents_is_refused(
    run_script: Any, own: RenderedOwn, kept: Path, tmp_path: Path
) -> None:
    queries = tmp_path / "q.tsv"
    arguments = ("score", kept, "--queries", queries, "--qrels", own.qrels, "--top-k", "5")
    lines = own.queries.read_text().splitlines()
    queries.write_text("\n".join(["q001\tanother text", *lines[1:]]))
    changed = run_script("own_archive.py", *arguments)
    assert "when the run was kept, now it is 'another text'" in changed.output
    queries.write_text("\n".join([*lines, "new\tnever asked"]))
    unasked = run_script("own_archive.py", *arguments)
    assert "1 queries were not asked when the run was kept: new; keep it again" in unasked.output
    kept.write_text(kept.read_text() + "q001 Q0 v@1-2 9 -0.5 x\n")
    edited = run_script("own_archive.py", "score", kept, *files_of(own), "--top-k", "5")
    assert "is of another ranking than kept.run" in edited.output
    assert {changed.exit_code, unasked.exit_code, edited.exit_code} == {1}


def test_a_ranking_from_elsewhere_says_what_is_not_known(run_script: Any, tmp_path: Path) -> None:
    queries, qrels, run = tmp_path / "q.tsv", tmp_path / "qrels", tmp_path / "a.run"
    queries.write_text("a\tone\nb\ttwo\n")
    qrels.write_text("a 0 v@0-1 1\nb 0 w@0-1 1\n")
    run.write_text("a Q0 v@0-1 1 1 x\n")
    result = run_script("own_archive.py", "score", run, "--queries", queries, "--qrels", qrels)
    assert result.exit_code == 0, result.output
    assert "what was searched, how deep, and which videos it held" in result.output
    assert "1 of 2 queries: b; not asked, or none found" in result.output
    assert "of 2 judged videos no length is known, judgements past their end pass: v, w" in result.output


def test_judging_at_the_terminal_asks_about_each_place_once(
    run_script: Any, own: RenderedOwn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, qrels = tmp_path / "q.tsv", tmp_path / "qrels"
    queries.write_text("a\topens the bottle\n")
    arguments = ("judge", own.index_folder, "--queries", queries, "--qrels", qrels, "--top-k", "3")
    answers = iter(["?", "y", "n", "x"])
    asked: list[str] = []

    def prompt(text: str, **_: object) -> str:
        asked.append(text)
        return next(answers)

    monkeypatch.setattr("click.prompt", prompt)
    first = run_script("own_archive.py", *arguments)
    assert first.exit_code == 0, first.output
    lines = qrels.read_text().splitlines()
    assert [line.split()[3] for line in lines] == ["1", "0"][: len(lines)]
    num_asked = len(asked)
    answers = iter(["x"] * 9)
    again = run_script("own_archive.py", *arguments)
    assert again.exit_code == 0, again.output
    assert not set(asked[num_asked:]) & set(asked[:2])
