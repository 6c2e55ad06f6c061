"""The report of a run: one file that stands alone, says what the run says, and shows the right clips and masks."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.table import Table
from small_world import GRID, WordEncoder, unit_vector, write_video

from henasy.checkpoint.encoder import ClipEncoding
from henasy.evaluation.annotations.egomcq import EgoMcq, McqQuestion
from henasy.evaluation.annotations.epic100 import EpicClip, EpicRetrieval
from henasy.evaluation.encoding.frame_rules import EK100_FRAMES, Span
from henasy.evaluation.pages.details import (
    COLOURS,
    Candidate,
    Chart,
    Details,
    ItemPicture,
    Line,
    Met,
    QueryItem,
    Wanted,
    found_within,
    sorted_scores,
)
from henasy.evaluation.pages.html_report import NUM_SHOWN, Page, write_page, write_report
from henasy.evaluation.pages.item_pictures import item_pictures
from henasy.evaluation.pages.mcq_details import mcq_details
from henasy.evaluation.pages.mir_details import mir_details
from henasy.evaluation.pages.svg_chart import HEIGHT_PX, WIDTH_PX, svg_chart
from henasy.evaluation.tasks.published import PublishedRow
from henasy.evaluation.tasks.result import BenchmarkResult
from henasy.video.video_files import videos_by_id

_VOID = {"meta", "br", "img"}


class Checked(HTMLParser):
    """Fails on tags that do not close, and collects addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def result_of(scores: dict[str, float]) -> BenchmarkResult:
    return BenchmarkResult(
        title="EgoTest, percent",
        heading="a <test>",
        columns=tuple(scores),
        scores=scores,
        facts={"model": "M & N", "warning": "<b>"},
        published=(PublishedRow("Paper", ("12.30", None)),),
    )


def item(number: int) -> QueryItem:
    candidates = tuple(
        Candidate(label=f"clip {number}.{at}", similarity=0.5, is_right=at == 6, span=Span(f"v{number}", at, at + 1))
        for at in range(7)
    )
    return QueryItem(text=f"query <{number}>", kind="inter", score=number / 100, candidates=candidates)


def draw(wanted: Sequence[Wanted]) -> list[ItemPicture]:
    return [
        ItemPicture(f"data:image/jpeg;base64,{one.span.video_id}", (Met("mug", 0.25),))
        if one.span.start_s
        else ItemPicture("", (), "no frame")
        for one in wanted
    ]


def test_a_report_stands_alone_and_shows_both_ends(tmp_path: Path) -> None:
    details = Details(
        score_name="margin",
        items=tuple(item(number) for number in range(50)),
        charts=(Chart(title="a", x_label="b", y_label="c", lines=(sorted_scores("d", [0.1, 0.9, 0.5]),)),),
    )
    path = tmp_path / "report.html"
    write_report(path, result_of({"first": 0.5, "second": float("nan")}), details, draw)
    text = path.read_text()
    parser = Checked()
    parser.feed(text)
    assert not parser.open
    assert parser.addresses
    assert all(address.startswith("data:") for address in parser.addresses)
    assert "<title>EgoTest, percent - henasy</title>" in text
    assert "<h1>EgoTest, percent</h1>" in text
    assert '<p class="remark">a &lt;test&gt;</p>' in text
    assert "<td>12.30</td><td>-</td>" in text
    assert "<td>50.00</td><td>-</td>" in text
    assert "M &amp; N" in text
    assert "<b></dd>" not in text
    shown = [int(number) for number in re.findall(r"query &lt;(\d+)&gt; <span", text)]
    assert shown == [*range(49, 49 - NUM_SHOWN, -1), *range(NUM_SHOWN)]
    # Five figures each, the last of them the right clip although six others are closer.
    first = text.split('<div class="item">')[1]
    assert first.count("<figure") == 5
    assert "clip 49.6" in first
    assert "clip 49.4" not in first
    assert first.count('class="right"') == 1
    assert "no frame" in first
    assert f'<i class="key" style="background: rgb{COLOURS[0]}"></i>mug 0.25' in first


def test_a_report_of_few_queries_shows_none_twice(tmp_path: Path) -> None:
    for count in (0, 1, 2, 5):
        details = Details(score_name="s", items=tuple(item(number) for number in range(count)), charts=())
        write_report(tmp_path / "r.html", result_of({"a": 1.0, "b": 0.0}), details)
        assert (tmp_path / "r.html").read_text().count('<div class="item">') == count
    write_report(tmp_path / "r.html", result_of({"a": 1.0, "b": 0.0}))
    assert "Curves" not in (tmp_path / "r.html").read_text()


def test_names_that_do_not_fit_beside_the_title_stand_below(tmp_path: Path) -> None:
    def chart(name: str) -> str:
        lines = tuple(Line(f"{name} {row}", np.arange(3.0), np.arange(3.0)) for row in range(3))
        return svg_chart(Chart(title="title", x_label="x", y_label="y", lines=lines))

    short, long = chart("a"), chart("a name of some words")
    assert f'viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}"' in short
    height_px = int(re.findall(rf'viewBox="0 0 {WIDTH_PX} (\d+)"', long)[0])
    places = [int(y) for y in re.findall(r'y="(\d+)"><tspan', long)]
    assert len(set(places)) == 3
    assert HEIGHT_PX < min(places) < max(places) < height_px


def test_a_heading_that_begins_with_the_title_is_not_said_twice(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    whole = replace(result_of({"a": 1.0, "b": 0.0}), heading="EgoTest, percent")
    write_report(path, whole)
    assert 'class="remark"' not in path.read_text()
    write_report(path, replace(whole, heading="EgoTest, percent; not the whole test set"))
    assert '<p class="remark">not the whole test set</p>' in path.read_text()


def test_a_page_shows_the_tables_of_the_terminal(tmp_path: Path) -> None:
    table = Table("name", "two\nlines", title="a <table>")
    table.add_row("one", "1.0\n[0.5, 1.5]", style="bold")
    table.add_row("two <b>", "-", style="dim")
    write_page(tmp_path / "r.html", Page(title="t", tables=(table, Table("other")), facts={"f": 1}))
    text = (tmp_path / "r.html").read_text()
    assert "<caption>a &lt;table&gt;</caption><tr><th>name</th><th>two<br>lines</th></tr>" in text
    assert '<tr class="run"><td>one</td><td>1.0<br>[0.5, 1.5]</td></tr>' in text
    assert "<tr><td>two &lt;b&gt;</td><td>-</td></tr>" in text
    assert text.count("<table>") == 2


@pytest.mark.parametrize("is_log_x", [False, True])
@pytest.mark.parametrize(
    "lines",
    [
        (),
        (Line("flat", np.array([1.0, 2.0]), np.array([5.0, 5.0])),),
        (Line("point", np.array([1.0]), np.array([0.0])), Line("far", np.array([1.0, 9668.0]), np.array([-3.0, 1e-3]))),
    ],
)
def test_charts_stay_inside_their_frame(lines: tuple[Line, ...], is_log_x: bool) -> None:
    svg = svg_chart(Chart(title="t", x_label="x", y_label="y", lines=lines, is_log_x=is_log_x))
    assert "nan" not in svg
    points = [
        tuple(map(float, pair.split(","))) for part in re.findall(r'points="([^"]*)"', svg) for pair in part.split()
    ]
    assert len(points) == sum(len(line.x) for line in lines)
    assert all(0 <= x <= WIDTH_PX and 0 <= y <= HEIGHT_PX for x, y in points)


def test_curves_by_hand() -> None:
    line = found_within("a", [1, 3, np.inf, 10], 10)
    assert dict(zip(line.x.tolist(), line.y.tolist(), strict=True)) == {
        1: 25, 2: 25, 3: 50, 4: 50, 5: 50, 6: 50, 7: 50, 8: 50, 9: 50, 10: 75,
    }  # fmt: skip
    falling = sorted_scores("b", [0.2, 1.0, 0.6])
    np.testing.assert_allclose(falling.y, [100, 60, 20])
    np.testing.assert_allclose(falling.x, [100 / 3, 200 / 3, 100])


def test_questions_are_told_apart_by_the_lead_of_the_right_choice() -> None:
    def question(answer: int, kind: int) -> McqQuestion:
        return McqQuestion(
            text="open", choices=tuple(Span(f"v{at}", 0, 1) for at in range(5)), answer=answer, type=kind
        )

    annotations = EgoMcq(questions=(question(0, 1), question(4, 2), question(1, 2)))
    similarity = np.array([[0.9, 0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.2, 0.3, 0.4], [np.nan] * 5])
    details = mcq_details(annotations, similarity, np.array([True, True, False]))
    assert [one.score for one in details.items] == pytest.approx([0.5, -0.1])
    assert [one.kind for one in details.items] == ["inter", "intra"]
    assert [one.label.split()[0] for one in details.items[1].candidates] == ["v0", "v4", "v3", "v2", "v1"]
    assert [one.is_right for one in details.items[1].candidates] == [False, True, False, False, False]
    inter, intra = details.charts[0].lines
    assert inter.y.tolist() == [100] * 5
    assert intra.y.tolist() == [0, 100, 100, 100, 100]


def test_sentences_show_their_closest_right_clip() -> None:
    clips = tuple(
        EpicClip(
            narration_id=str(row), video_id="v", start_s=row, stop_s=row + 1.0, narration=f"n{row}", verb_class=row,
            noun_classes=(row,),
        )
        for row in range(8)
    )  # fmt: skip
    annotations = EpicRetrieval(clips=clips, sentence_rows=np.array([7, 2]), num_other_wordings=0)
    similarity = np.array([[0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.1], [0.1, 0.2, 0.9, 0.0, 0.0, 0.0, 0.0]]).T
    relevancy = np.array([[0.5, 1.0]] * 6 + [[1.0, 0.25]])
    # Clip 3 was not scored, so that rows of the matrix and of the annotations differ.
    kept = np.array([0, 1, 2, 4, 5, 6, 7])
    details = mir_details(annotations, similarity, relevancy, kept, np.array([0, 1]))
    first, second = details.items
    assert first.text == "n7"
    assert [one.label.split(":")[0] for one in first.candidates] == ["n0", "n1", "n2", "n4", "n5", "n7"]
    assert [one.is_right for one in first.candidates] == [False] * 5 + [True]
    assert second.candidates[0].is_right
    assert second.score == pytest.approx(1.0)
    text_to_video = details.charts[0].lines[0]
    assert text_to_video.y[0] == pytest.approx(50)
    assert text_to_video.y[-1] == pytest.approx(100)


class PictureEncoder(WordEncoder):
    """Entity 1, a mug, owns the left column of patches; the others share the rest."""

    def encode_clips(self, frames: np.ndarray, frame_rows: np.ndarray) -> ClipEncoding:
        count, num_frames = frame_rows.shape
        grid = np.zeros((count, num_frames, *GRID), np.uint8)
        grid[..., 0] = 1
        names = ("hand", "mug", "pan", "towel")
        return ClipEncoding(
            clip=np.zeros((count, self.width), np.float32),
            global_clip=np.zeros((count, self.width), np.float32),
            entities=np.stack([np.stack([unit_vector(name) for name in names])] * count),
            is_valid=np.ones((count, len(names)), bool),
            patch_share=np.zeros((count, len(names)), np.float32),
            assignment=grid.reshape(count, num_frames, -1),
        )


def test_pictures_paint_the_entity_that_the_phrase_met(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", width_px=96, height_px=64)
    spans = [Span("v", 0.0, 2.0), Span("lost", 0.0, 2.0)]
    wanted = [Wanted(span, "the mug") for span in spans]
    found = videos_by_id(tmp_path)
    seen, lost = item_pictures(wanted, PictureEncoder(), EK100_FRAMES, found)  # type: ignore[arg-type]
    assert lost == ItemPicture("", (), "no file of video lost")
    assert [met.phrase for met in seen.met] == ["mug"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(seen.data_uri.split(",")[1]))), np.float32)
    height, width = pixels.shape[:2]
    assert width == 2 * height * 96 // 64
    # The model sees the middle 64 of 96 columns; its left quarter is the mug, in yellow: no blue to speak of.
    scale = height / 64
    mug = pixels[height // 2, round(24 * scale)]
    rest = pixels[height // 2, round(60 * scale)]
    assert mug[0] - mug[2] > 40
    assert abs(rest[0] - rest[2]) < 20


def test_a_dual_encoder_gives_plain_pictures(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4")
    encoder = SimpleNamespace(num_entities=0, num_frames=2)
    (picture,) = item_pictures(
        [Wanted(Span("v", 0.0, 2.0), "the mug")], encoder, EK100_FRAMES, videos_by_id(tmp_path)  # type: ignore[arg-type]
    )  # fmt: skip
    assert picture.data_uri.startswith("data:image/jpeg;base64,")
    assert picture.met == ()
