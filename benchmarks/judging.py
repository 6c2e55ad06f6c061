"""Asking a person at a terminal which hits are right."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from henasy.evaluation.own.doc_ids import DocSpan
from henasy.evaluation.own.feedback import append_judgements
from henasy.evaluation.own.found_spans import FoundSpan
from henasy.evaluation.own.qrels import Judgement

_GRADES = {"y": 1, "n": 0, **{str(grade): grade for grade in range(10)}}
_HELP = "y right, n wrong, 0-9 a grade, s skip, q next query, x end"


def judge_at_terminal(
    queries: Mapping[str, str],
    found: Mapping[str, Sequence[FoundSpan]],
    known: Sequence[Judgement],
    qrels: Path,
    ask: Callable[[str], str] = lambda text: click.prompt(text, default="s", show_default=False),
) -> int:
    """The number of judgements that were added; each is in the file before the next is asked for.

    A hit that overlaps a judged piece of the same query is not asked about again. Videos are named by their ids, or by
    their paths where the file names them so.
    """
    judged = list(known)
    names = {one.doc.video for one in known}
    num_before = len(judged)
    for query_id, text in queries.items():
        open_hits = [hit for hit in found[query_id] if not _is_known(query_id, hit, judged)]
        click.echo(f'\n{query_id}  "{text}"  {len(open_hits)} of {len(found[query_id])} hits to judge')
        for hit in open_hits:
            if _is_known(query_id, hit, judged):
                continue
            answer = _answer(hit, ask)
            if answer == "x":
                return len(judged) - num_before
            if answer == "q":
                break
            if answer in _GRADES:
                doc = DocSpan(hit.path if hit.path in names else hit.video_id, (hit.start_s, hit.end_s))
                judged.append(Judgement(query_id, doc, _GRADES[answer]))
                append_judgements(qrels, judged[-1:])
    return len(judged) - num_before


def _answer(hit: FoundSpan, ask: Callable[[str], str]) -> str:
    while True:
        answer = (
            ask(f"  {hit.score:.3f}  {hit.path}  {hit.start_s:.1f}-{hit.end_s:.1f} s  [y/n/0-9/s/q/x]").strip().lower()
        )
        if answer in (*_GRADES, "s", "q", "x"):
            return answer
        click.echo(f"  {_HELP}")


def _is_known(query_id: str, hit: FoundSpan, judged: Sequence[Judgement]) -> bool:
    return any(
        one.query_id == query_id
        and one.doc.video in (hit.video_id, hit.path)
        and one.doc.overlap(hit.start_s, hit.end_s) > 0
        for one in judged
    )
