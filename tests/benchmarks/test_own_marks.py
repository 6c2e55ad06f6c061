"""Hits that people marked become judgements."""

import json
from pathlib import Path
from typing import Any

import pytest


def marked_hit(start_s: float, end_s: float, relevance: object = None, video: str = "v") -> dict[str, object]:
    names = {"video_id": video, "path": f"kitchen/{video}.mp4"}
    hit: dict[str, object] = {"video": names, "span": {"start_s": start_s, "end_s": end_s}}
    return hit if relevance is None else {**hit, "relevance": relevance}


def test_marked_hits_become_judgements_once(run_script: Any, tmp_path: Path) -> None:
    hits, queries, qrels = tmp_path / "hits.json", tmp_path / "q.tsv", tmp_path / "qrels"
    found = [marked_hit(1, 3, 1), marked_hit(2, 4, 1), marked_hit(7, 9, False), marked_hit(20, 22)]
    hits.write_text(json.dumps({"results": [{"query": "open the drawer", "hits": found}]}))
    files = (hits, "--queries", queries, "--qrels", qrels)
    first = run_script("own_archive.py", "marked", *files)
    assert first.exit_code == 0, first.output
    assert queries.read_text() == "q001\topen the drawer\n"
    assert qrels.read_text() == "q001 0 v@7-9 0\nq001 0 v@1-4 1\n"
    again = run_script("own_archive.py", "marked", *files)
    assert "0 judgements added" in again.output
    assert "3 were known, 1 hits have no mark" in again.output
    assert qrels.read_text().count("\n") == 2


def test_marked_hits_call_videos_as_the_file_does(run_script: Any, tmp_path: Path) -> None:
    hits, queries, qrels = tmp_path / "hits.json", tmp_path / "q.tsv", tmp_path / "qrels"
    queries.write_text("a\tone\n")
    qrels.write_text("a 0 kitchen/v.mp4@0-1 1")
    hits.write_text(
        json.dumps({"results": [{"query": "one", "hits": [marked_hit(5, 6, 2), marked_hit(5, 6, 1, "w")]}]})
    )
    result = run_script("own_archive.py", "marked", hits, "--queries", queries, "--qrels", qrels)
    assert result.exit_code == 0, result.output
    assert qrels.read_text().splitlines() == ["a 0 kitchen/v.mp4@0-1 1", "a 0 kitchen/v.mp4@5-6 2", "a 0 w@5-6 1"]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"query": "one", "hits": []}, "results is {'query': 'one', 'hits': []}, of the wrong type"),
        ([{"query": "one", "hits": [marked_hit(1, 2, -1)]}], "relevance is -1, must be a whole number from 0"),
        ([{"query": "one", "hits": [marked_hit(1, 2, 0.5)]}], "relevance is 0.5"),
        ([{"query": "one", "hits": [marked_hit(3, 2, 1)]}], "span 3.0 to 2.0"),
        ([{"query": "one", "hits": [marked_hit(1, float("nan"), 1)]}], "span 1.0 to nan"),
        ([{"query": "one", "hits": [{"relevance": 1}]}], "result 0, hit 0: lacks 'video'"),
        ([{"query": "two", "hits": []}], "is the text of b, c; a key query_id must say which"),
        ([{"query": "two", "query_id": "a", "hits": []}], "query_id 'a' has the text 'one', not 'two'"),
        ([{"query": "one", "hits": [marked_hit(0, 1, 0)]}], "has relevance 1 for query 'a' and is marked 0"),
    ],
)
def test_bad_marks_are_named_and_change_nothing(run_script: Any, tmp_path: Path, results: Any, message: str) -> None:
    hits, queries, qrels = tmp_path / "hits.json", tmp_path / "q.tsv", tmp_path / "qrels"
    queries.write_text("a\tone\nb\ttwo\nc\ttwo\n")
    qrels.write_text("a 0 v@0-1 1\n")
    hits.write_text(json.dumps({"results": results}))
    result = run_script("own_archive.py", "marked", hits, "--queries", queries, "--qrels", qrels)
    assert result.exit_code == 1
    assert message in result.output
    assert qrels.read_text() == "a 0 v@0-1 1\n"
