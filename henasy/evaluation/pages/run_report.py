"""The HTML report of a benchmark's run, and pictures of the clips that the run read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from henasy.evaluation.encoding.frame_rules import EGO4D_FRAMES, FrameSelector, Span
from henasy.evaluation.encoding.source import VideoSource
from henasy.evaluation.pages.details import ItemPicture, Wanted
from henasy.evaluation.pages.html_report import write_report
from henasy.evaluation.tasks.result import BenchmarkResult
from henasy.video.video_files import annotated_videos, videos_by_id


def report_run(path: Path, result: BenchmarkResult) -> None:
    """Writes the report of a run into one file."""
    if result.illustrated is None:
        write_report(path, result)
    else:
        write_report(path, result, result.illustrated.details(), result.illustrated.draw)


def report_runs(path: Path, results: Mapping[str, BenchmarkResult]) -> None:
    """Writes a report of each result: to `path` if there is one, else beside it, `page-<key>.html` for `page.html`."""
    for made, result in results.items():
        report_run(path if len(results) == 1 else path.with_name(f"{path.stem}-{made}{path.suffix}"), result)


def draw_clips(source: VideoSource, selector: FrameSelector, wanted: Sequence[Wanted]) -> Sequence[ItemPicture]:
    """Pictures of clips of a benchmark's videos, with the entities that its model finds."""
    # Loads torch, which a report without pictures needs not.
    from henasy.checkpoint.encoder import load_encoder
    from henasy.evaluation.pages.item_pictures import item_pictures

    encoder = load_encoder(source.model, device=source.device, num_frames=source.num_frames)
    found = annotated_videos(source.videos, (one.span.video_id for one in wanted))
    return item_pictures(wanted, encoder, selector, found)


def draw_in_clips(source: VideoSource, clips: Mapping[str, Span], wanted: Sequence[Wanted]) -> Sequence[ItemPicture]:
    """Pictures of spans on the clocks of clips, from files of the clips where there are such, else of their videos.

    Args:
        source: videos and model.
        clips: by the id that the spans carry, where the clip lies in its video.
        wanted: what to show.
    """
    found = videos_by_id(source.videos)
    placed = []
    for one in wanted:
        span, clip = one.span, clips[one.span.video_id]
        if span.video_id not in found:
            span = Span(clip.video_id, clip.start_s + span.start_s, clip.start_s + span.end_s)
        placed.append(Wanted(span, one.text))
    return draw_clips(source, EGO4D_FRAMES, placed)
