"""Hits as a person reads them."""

import io

from rich.console import Console

from henasy.search.hits import Hit, QueryResult, Span, VideoRef
from service.show import print_table


def test_a_file_name_with_control_characters_stays_on_its_line() -> None:
    path = "a\tb\x1b[31mc\n.mp4"
    video = VideoRef(
        video_id="v", path=path, file=f"/videos/{path}", duration_s=2.0, width_px=8, height_px=8, is_online=True
    )
    hit = Hit(rank=1, score=0.5, video=video, span=Span(start_s=0.0, end_s=2.0))
    written = io.StringIO()

    print_table(Console(file=written, width=100), QueryResult(query="open it", hits=(hit,)))

    row = written.getvalue().splitlines()[2]
    assert row.split() == ["1", "0.500", r"a\tb\x1b[31mc\n.mp4", "0.0-2.0", "s"]
