"""What a benchmark is to score, from the options of its command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from henasy.checkpoint.shipped import SHIPPED
from henasy.errors import InputError

Similarity = Literal["cosine", "dot"]
DEFAULT_DEVICE = "cpu"


class AnnotatedVideos(NamedTuple):
    """Files in the layout of a benchmark."""

    annotations: Path
    videos: Path


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """Embeddings that somebody else made, in the order of the annotations."""

    annotations: Path
    video_features: Path
    text_features: Path
    similarity: Similarity


@dataclass(frozen=True, kw_only=True)
class VideoSource:
    """Videos to encode with a model."""

    annotations: Path
    videos: Path
    model: str
    device: str
    num_frames: int | None
    """Frames per clip; None for the checkpoint's own number."""
    is_allowing_missing: bool
    """Whether to go on without videos that are missing or cannot be read."""
    is_rendered: bool = False
    """Whether these are rendered scenes."""
    similarity: Similarity = "cosine"
    """Whether embeddings are L2-normalised before they are compared."""
    is_cached: bool = True
    """Whether embeddings may come from the cache and are kept there."""


@dataclass(frozen=True, kw_only=True)
class RenderedSource:
    """A rendered archive, encoded with a model; None renders one into the cache."""

    archive: Path | None
    model: str
    device: str
    num_frames: int | None
    similarity: Similarity = "cosine"
    is_cached: bool = True

    def as_videos(self, annotations: Path, videos: Path) -> VideoSource:
        """The same once the archive's benchmark files are there."""
        return VideoSource(
            annotations=annotations,
            videos=videos,
            model=self.model,
            device=self.device,
            num_frames=self.num_frames,
            is_allowing_missing=False,
            is_rendered=True,
            similarity=self.similarity,
            is_cached=self.is_cached,
        )


Source = FeatureSource | VideoSource | RenderedSource


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """The options as the user gave them."""

    annotations: Path | None
    videos: Path | None
    model: str | None
    device: str
    num_frames: int | None
    features: tuple[Path, Path] | None
    similarity: Similarity
    archive: Path | None
    is_allowing_missing: bool
    is_cached: bool = True


def choose_source(options: SourceOptions) -> Source:
    """The one source that the options describe.

    Raises:
        InputError: if options are missing or exclude each other.
    """
    if options.features is not None:
        if options.annotations is None:
            raise InputError("--features", "needs --annotations, whose order the rows follow")
        refuse_idle(
            "--features",
            {
                **encoding_options(options),
                "model": options.model,
                "device": given_device(options),
                "allow_missing": options.is_allowing_missing,
            },
        )
        return FeatureSource(
            annotations=options.annotations,
            video_features=options.features[0],
            text_features=options.features[1],
            similarity=options.similarity,
        )
    if options.annotations is None and options.videos is None:
        return _rendered_source(options)
    if options.annotations is None or options.videos is None or options.model is None:
        raise InputError("--annotations", "needs --videos and --model beside it, or --features")
    refuse_idle("--annotations", {"archive": options.archive})
    return VideoSource(
        annotations=options.annotations,
        videos=options.videos,
        model=options.model,
        device=options.device,
        num_frames=options.num_frames,
        is_allowing_missing=options.is_allowing_missing,
        similarity=options.similarity,
        is_cached=options.is_cached,
    )


def span_videos(options: SourceOptions) -> VideoSource:
    """The videos to encode for spans in long videos: the user's own, or the rendered ones of ten minutes.

    Raises:
        InputError: if options are missing or exclude each other.
    """
    source = choose_source(options)
    if not isinstance(source, RenderedSource):
        assert isinstance(source, VideoSource)
        return source
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered.spans import rendered_span_layout

    layout = rendered_span_layout(options.archive)
    return source.as_videos(layout.annotations, layout.videos)


def refuse_idle(option: str, others: Mapping[str, object]) -> None:
    """Passes when no option is given that would have no effect beside `option`.

    Args:
        option: as the command line writes it.
        others: by name with `_` for `-`, what was given; None, False and an empty tuple are not given.

    Raises:
        InputError: one is.
    """
    for name, value in others.items():
        if value not in (None, False, ()):
            raise InputError(option, f"cannot be used together with --{name.replace('_', '-')}")


def required_annotations(option: str, options: SourceOptions, why: str) -> Path:
    """The annotations, without which `option` means nothing.

    Raises:
        InputError: they are not given; `why` says what they are for.
    """
    if options.annotations is None:
        raise InputError(option, f"needs --annotations, {why}")
    return options.annotations


def encoding_options(options: SourceOptions) -> dict[str, object]:
    """What was given of the options that only say how videos are encoded, by name."""
    return {
        "videos": options.videos,
        "archive": options.archive,
        "frames": options.num_frames,
        "no_cache": not options.is_cached,
    }


def given_device(options: SourceOptions) -> str | None:
    """The device, if it is not the default."""
    return None if options.device == DEFAULT_DEVICE else options.device


def _rendered_source(options: SourceOptions) -> RenderedSource:
    refuse_idle("rendered scenes", {"allow_missing": options.is_allowing_missing})
    model = options.model or SHIPPED
    # Loads torch, which somebody else's features need not. A wrong name must show before minutes of rendering.
    from henasy.checkpoint.encoder import require_device
    from henasy.checkpoint.locate import locate_checkpoint

    require_device(options.device)
    locate_checkpoint(model)
    return RenderedSource(
        archive=options.archive,
        model=model,
        device=options.device,
        num_frames=options.num_frames,
        similarity=options.similarity,
        is_cached=options.is_cached,
    )
