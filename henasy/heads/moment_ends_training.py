"""Training what tells where actions start and end, on videos whose actions are narrated; minutes on a CPU.

N clips of a video, T frames, K patches per frame, F features, C cells of a clip, B pieces of a batch, L clips of one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from henasy.errors import ConfigError, InputError, TrainingError
from henasy.heads.moment_ends import CELLS, KERNEL, OUT_KERNEL, REACH, EndsConfig, assignment_features

_SPREAD_S = 0.2
"""How far from an end a cell is still half right: frames are half a second apart."""
_LEAST_SCALE = 1e-2
"""Of a feature, in the spread of all."""
_TINY = 1e-4
_DROPPED = 0.3
_LOG_EVERY = 100
LEAST_CLIPS = 2 * REACH + 1
"""Of a video that anything is learnt from: in a shorter one no clip is seen with all that is said of it depends on."""
LEAST_ENDS = 5
"""Starts and ends together. Fewer are known by heart in a few steps and teach nothing."""


class NarratedVideo(NamedTuple):
    """The clips of one video and the actions in it."""

    starts_s: NDArray[np.float64]
    """(N,) all on the plan's raster: multiples of the stride"""
    assignment: NDArray[np.uint8]
    """(N, T, K)"""
    spans: NDArray[np.float64]
    """(M, 2) start and end of every action"""


@dataclass(frozen=True, kw_only=True)
class EndsTraining:
    """How a head is trained."""

    num_rounds: int = 100
    """How often every clip is seen."""
    batch_size: int = 16
    """Pieces of videos in a step."""
    piece_clips: int = 64
    """Length of a piece."""
    learning_rate: float = 3e-3
    """At its peak."""
    weight_decay: float = 0.05
    noise: float = 0.3
    """Spread of what is added to the features, in theirs: few videos are soon known by heart."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_rounds", "batch_size", "piece_clips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")


class EndsNetwork(nn.Module):
    """What `EndsHead` computes, for training: (B, L, F) features with mean 0 and spread 1 to (B, L, C, 2) log odds."""

    def __init__(self, config: EndsConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(config.num_features))
        self.register_buffer("scale", torch.ones(config.num_features))
        self.first = nn.Linear(config.num_features, config.hidden)
        self.second = nn.Conv1d(config.hidden, config.hidden, KERNEL, padding=KERNEL // 2)
        self.last = nn.Conv1d(config.hidden, 2 * CELLS, OUT_KERNEL, padding=OUT_KERNEL // 2)
        self.dropout = nn.Dropout(_DROPPED)

    def forward(self, features: Tensor) -> Tensor:
        """Log odds of start and end in each cell."""
        hidden = self.dropout(F.relu(self.first(features))).transpose(1, 2)
        hidden = self.dropout(F.relu(self.second(hidden)))
        outputs = self.last(hidden).transpose(1, 2)
        return torch.unflatten(outputs, 2, (CELLS, 2))


class PiecePlan(NamedTuple):
    """Which videos pieces are drawn from."""

    rows: list[int]
    """Of the videos that are as long as a piece."""
    num_clips: int
    """Length of a piece."""


def plan_pieces(videos: Sequence[NarratedVideo], training: EndsTraining) -> PiecePlan:
    """Pieces as long as the training wants, without the videos that are shorter.

    Where all are shorter, a piece has the length of that video at which the most clips are learnt from at a time, one
    piece of each video that is long enough.

    Raises:
        InputError: no video has that many clips.
    """
    lengths = [len(video.starts_s) for video in videos]
    workable = [length for length in lengths if length >= LEAST_CLIPS]
    if not workable:
        raise InputError(
            "videos", f"the longest of {len(videos)} has {max(lengths, default=0)} clips, needed are {LEAST_CLIPS}"
        )
    num_clips = training.piece_clips
    if max(workable) < num_clips:
        num_clips = max(workable, key=lambda length: length * sum(other >= length for other in workable))
    return PiecePlan([row for row, length in enumerate(lengths) if length >= num_clips], num_clips)


class _Lesson(NamedTuple):
    features: Tensor
    """(N, F)"""
    targets: Tensor
    """(N, C, 2)"""


def train_ends(
    config: EndsConfig,
    videos: Sequence[NarratedVideo],
    training: EndsTraining = EndsTraining(),
    report: Callable[[str], None] = lambda line: None,
) -> EndsNetwork:
    """A head's network, trained on these videos; the same to the bit for the same input on one machine.

    Videos shorter than a piece are left out, see `plan_pieces`.

    Raises:
        InputError: no video has an action or clips enough, there are fewer than `LEAST_ENDS` ends in them, or clips
            are off the raster or of other sizes than the config's.
        TrainingError: a loss or a weight is not finite.
    """
    lessons = [_lesson(config, video, row) for row, video in enumerate(videos)]
    plan = plan_pieces(videos, training)
    if len(plan.rows) < len(videos):
        report(
            f"{len(videos) - len(plan.rows)} of {len(videos)} videos have fewer than {plan.num_clips} clips: left out"
        )
    lessons = [lessons[row] for row in plan.rows]
    _require_ends(config, [videos[row] for row in plan.rows])
    torch.manual_seed(training.seed)
    network = EndsNetwork(config)
    lessons = _scaled(network, lessons)
    num_clips = sum(len(lesson.features) for lesson in lessons)
    num_steps = max(1, num_clips // (training.batch_size * plan.num_clips)) * training.num_rounds
    optimizer = torch.optim.AdamW(network.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, total_steps=num_steps)
    rng = np.random.default_rng(training.seed)
    network.train()
    for step in range(1, num_steps + 1):
        batch = _drawn(lessons, training.batch_size, plan.num_clips, rng)
        noisy = batch.features + training.noise * torch.randn_like(batch.features)
        loss = F.binary_cross_entropy_with_logits(network(noisy), batch.targets)
        if not loss.isfinite():
            raise TrainingError(f"the loss of step {step} of {num_steps} is {loss.item()}, must be finite")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % _LOG_EVERY == 0 or step == num_steps:
            report(f"step {step} of {num_steps}: loss {loss.item():.4f}")
    _require_finite(network)
    return network.eval()


def end_targets(config: EndsConfig, starts_s: NDArray[np.float64], spans: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, C, 2) how near each cell of each clip is to a start and to an end, 1 at it."""
    first_s = (config.clip_s - config.stride_s + config.cell_s) / 2
    times_s = starts_s[:, None] + first_s + np.arange(CELLS) * config.cell_s
    if not len(spans):
        return np.zeros((*times_s.shape, 2), np.float32)
    away = (times_s[:, :, None, None] - spans) / _SPREAD_S
    return np.asarray(np.exp(-0.5 * away**2).max(axis=2), np.float32)


def _lesson(config: EndsConfig, video: NarratedVideo, row: int) -> _Lesson:
    wanted = (len(video.starts_s), config.num_frames, config.num_patches)
    if video.assignment.shape != wanted:
        raise InputError("videos", f"assignment of video {row} has shape {video.assignment.shape}, needed is {wanted}")
    if len(video.starts_s) > 1 and not np.allclose(np.diff(video.starts_s), config.stride_s):
        raise InputError("videos", f"clips of video {row} do not start every {config.stride_s:g} s")
    features = assignment_features(video.assignment, config)
    return _Lesson(torch.from_numpy(features), torch.from_numpy(end_targets(config, video.starts_s, video.spans)))


def _require_ends(config: EndsConfig, videos: list[NarratedVideo]) -> None:
    if not any(len(video.spans) for video in videos):
        raise InputError("videos", f"none of {len(videos)} has an action, so there is no end to learn from")
    num_ends = sum(_num_ends(config, video) for video in videos)
    if num_ends < LEAST_ENDS:
        raise InputError(
            "videos", f"{num_ends} starts and ends lie in the clips of {len(videos)}, needed are {LEAST_ENDS}"
        )


def _num_ends(config: EndsConfig, video: NarratedVideo) -> int:
    """Starts and ends of actions that lie in a cell; those at a video's border do not."""
    first_s = float(video.starts_s[0]) + (config.clip_s - config.stride_s) / 2
    last_s = first_s + len(video.starts_s) * config.stride_s
    return int(((video.spans >= first_s) & (video.spans <= last_s)).sum())


def _require_finite(network: EndsNetwork) -> None:
    wrong = [name for name, value in network.state_dict().items() if not value.isfinite().all()]
    if wrong:
        raise TrainingError(f"trained weights are not finite: {', '.join(wrong)}")


def _scaled(network: EndsNetwork, lessons: list[_Lesson]) -> list[_Lesson]:
    """The lessons as the network takes them; it is told how."""
    features = torch.cat([lesson.features for lesson in lessons])
    # What hardly ever differs would be blown up where it does.
    floor = _LEAST_SCALE * float(features.std()) + _TINY
    mean, scale = features.mean(dim=0), features.std(dim=0).clamp(min=floor)
    network.load_state_dict({**network.state_dict(), "mean": mean, "scale": scale})
    return [lesson._replace(features=(lesson.features - mean) / scale) for lesson in lessons]


def _drawn(lessons: list[_Lesson], num_pieces: int, num_clips: int, rng: np.random.Generator) -> _Lesson:
    """(B, L, ...) pieces of videos, each as likely as it has clips; none has fewer than a piece."""
    lengths = np.array([len(lesson.features) for lesson in lessons])
    pieces = []
    for row in rng.choice(len(lessons), num_pieces, p=lengths / lengths.sum()).tolist():
        first = int(rng.integers(lengths[row] - num_clips + 1))
        pieces.append([column[first : first + num_clips] for column in lessons[row]])
    return _Lesson(*(torch.stack(column) for column in zip(*pieces, strict=True)))
