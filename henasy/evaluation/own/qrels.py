"""Own queries and judgements: a queries file, and a qrels file of TREC's form.

queries: one `query_id<TAB>text` per line; a first line `query_id<TAB>text` is a header. Two queries may have the same
text: ids keep them apart. qrels: `query_id 0 document relevance` per line, white space between, documents as in
`henasy.evaluation.own.doc_ids`; relevance is 0 (looked at, wrong) or higher (right, more so). Blank lines and lines
that begin with `#` are passed over.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.own.doc_ids import DocSpan, format_doc_id, parse_doc_id

_MAX_RELEVANCE = 100


class Judgement(NamedTuple):
    """How relevant one piece of video is to one query."""

    query_id: str
    doc: DocSpan
    relevance: int
    """0 for not relevant."""
    line: int = 0
    """In its file; 0 when it comes from none."""

    def __str__(self) -> str:
        return f"{self.query_id} 0 {format_doc_id(self.doc)} {self.relevance}"


class _Line(NamedTuple):
    path: Path
    number: int
    text: str

    def error(self, message: str) -> AnnotationError:
        return AnnotationError(f"{self.path}, line {self.number}: {message}")


def load_queries(path: Path) -> dict[str, str]:
    """The text of every query by its id, in the order of the file.

    Raises:
        NotFoundError: if the file is missing.
        AnnotationError: if a line is not `query_id<TAB>text`, an id is repeated, or there is no query.
    """
    queries: dict[str, str] = {}
    for line in _lines(path):
        fields = line.text.split("\t")
        if len(fields) != 2:
            raise line.error(f"{len(fields)} tab-separated fields, must be 2: query_id<TAB>text")
        query_id, text = fields[0].strip(), fields[1].strip()
        if line.number == 1 and (query_id, text) == ("query_id", "text"):
            continue
        if not query_id or any(char.isspace() for char in query_id):
            raise line.error(f"query_id is {query_id!r}, must be one word")
        if not text:
            raise line.error(f"the text of query {query_id!r} is blank")
        if query_id in queries:
            raise line.error(f"query_id {query_id!r} was there before; ids must differ, texts need not")
        queries[query_id] = text
    if not queries:
        raise AnnotationError(f"{path}: holds no query")
    return queries


def load_qrels(path: Path, queries: Mapping[str, str]) -> list[Judgement]:
    """The judgements of a qrels file, in its order.

    Raises:
        NotFoundError: if the file is missing.
        AnnotationError: if a line is not of TREC's form, names an unknown query, judges a document twice, or has a
            relevance that is no whole number from 0; or if nothing is judged relevant.
    """
    judgements = read_judgements(path, queries)
    if not any(judgement.relevance for judgement in judgements):
        raise AnnotationError(f"{path}: none of its {len(judgements)} judgements has a relevance above 0")
    return judgements


def read_judgements(path: Path, queries: Mapping[str, str]) -> list[Judgement]:
    """As `load_qrels`, of a file that may be empty or hold nothing relevant yet."""
    first_line: dict[tuple[str, DocSpan], int] = {}
    judgements = []
    for line in _lines(path):
        judgement = _judgement(line)
        if judgement.query_id not in queries:
            raise line.error(f"query {judgement.query_id!r} is not in the queries file")
        before = first_line.setdefault((judgement.query_id, judgement.doc), line.number)
        if before != line.number:
            raise line.error(f"{format_doc_id(judgement.doc)} was judged for {judgement.query_id!r} in line {before}")
        judgements.append(judgement)
    return judgements


def format_queries(queries: Mapping[str, str]) -> str:
    """The content of a queries file.

    Raises:
        InputError: if a text holds a tab or a line break.
    """
    for query_id, text in queries.items():
        if len(text.splitlines()) > 1 or "\t" in text:
            raise InputError("query", f"{query_id!r} has a tab or a line break in its text: {text!r}")
    return "".join(f"{query_id}\t{text}\n" for query_id, text in queries.items())


def format_judgements(judgements: Sequence[Judgement]) -> str:
    """The content of a qrels file."""
    return "".join(f"{judgement}\n" for judgement in judgements)


def _judgement(line: _Line) -> Judgement:
    fields = line.text.split()
    if len(fields) != 4:
        raise line.error(f"{len(fields)} fields, must be 4: query_id 0 document relevance")
    query_id, _, name, relevance = fields
    if not (relevance.isascii() and relevance.isdigit() and len(relevance) <= 3 and int(relevance) <= _MAX_RELEVANCE):
        raise line.error(f"relevance is {relevance!r}, must be a whole number from 0 to {_MAX_RELEVANCE}")
    try:
        return Judgement(query_id, parse_doc_id(name), int(relevance), line.number)
    except InputError as error:
        raise line.error(str(error)) from error


def _lines(path: Path) -> Iterator[_Line]:
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: is not UTF-8: {error}") from error
    for number, text in enumerate(content.split("\n"), 1):
        if text.strip() and not text.startswith("#"):
            yield _Line(path, number, text.rstrip("\r"))
