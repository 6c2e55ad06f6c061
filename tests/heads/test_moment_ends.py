"""The head for the ends of moments: its numbers against torch and plain loops, what it learns, how it is kept."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.checkpoint.folder import MOMENT_ENDS, read_checkpoint, save_checkpoint
from henasy.checkpoint.locate import locate_checkpoint
from henasy.errors import CheckpointError, ConfigError, InputError, TrainingError
from henasy.heads.moment_ends import REACH, EndsConfig, EndsHead, assignment_features
from henasy.heads.moment_ends_file import SPACE, read_ends_head, require_place, save_ends_head
from henasy.heads.moment_ends_training import (
    EndsNetwork,
    EndsTraining,
    NarratedVideo,
    end_targets,
    plan_pieces,
    train_ends,
)
from henasy.video.plan import ClipPlan

CONFIG = EndsConfig(num_frames=2, grid=(3, 4), num_entities=3, clip_s=2.0, stride_s=1.0, hidden=16)


def random_assignment(num_clips: int, seed: int = 0) -> NDArray[np.uint8]:
    shape = (num_clips, CONFIG.num_frames, CONFIG.num_patches)
    return np.random.default_rng(seed).integers(CONFIG.num_entities, size=shape).astype(np.uint8)


def random_network(config: EndsConfig = CONFIG) -> EndsNetwork:
    torch.manual_seed(1)
    network = EndsNetwork(config).eval()
    weights = {
        **network.state_dict(),
        "mean": torch.rand(config.num_features),
        "scale": torch.rand(config.num_features),
    }
    network.load_state_dict(weights)
    return network


def head_of(network: EndsNetwork, config: EndsConfig = CONFIG) -> EndsHead:
    return EndsHead(config, {name: value.numpy() for name, value in network.state_dict().items()})


def waving_video(seed: int, num_clips: int = 120) -> NarratedVideo:
    """An entity that lies in one corner, and in another during the actions."""
    rng = np.random.default_rng(seed)
    starts_s = np.arange(num_clips) * 1.0
    first_s = np.arange(3, num_clips - 8, 9) + rng.uniform(0, 2, len(range(3, num_clips - 8, 9)))
    spans = np.stack([first_s, first_s + rng.uniform(2, 5, len(first_s))], axis=1)
    times_s = starts_s[:, None] + np.array([0.5, 1.5])
    is_acting = ((times_s[..., None] >= spans[:, 0]) & (times_s[..., None] < spans[:, 1])).any(axis=-1)
    assignment = np.zeros((num_clips, 2, 12), np.uint8)
    assignment[..., :2] = 1
    assignment[is_acting, :2], assignment[is_acting, 10:] = 0, 1
    return NarratedVideo(starts_s, assignment, spans)


def test_features_are_sums_over_the_patches_of_an_entity() -> None:
    assignment = random_assignment(2)
    found = assignment_features(assignment, CONFIG)
    assert found.shape == (2, CONFIG.num_features)
    for clip in range(2):
        expected = []
        for frame in range(2):
            rows = []
            for patch, entity in enumerate(assignment[clip, frame].tolist()):
                y, x = patch // 4 / 2 - 0.5, patch % 4 / 3 - 0.5
                rows.append((entity, np.array([1, y, x, y * y, x * x, y * x]) / 12))
            expected.append([[sum(v[k] for e, v in rows if e == entity) for entity in range(3)] for k in range(6)])
        both = assignment[clip]
        changed = [np.mean((both[0] == entity) != (both[1] == entity)) for entity in range(3)]
        np.testing.assert_allclose(found[clip], [*np.ravel(expected), *changed], rtol=1e-5, atol=1e-6)


def test_numpy_says_what_torch_says() -> None:
    network, assignment = random_network(), random_assignment(30)
    starts_s = np.arange(30.0)
    scores = head_of(network).scores(starts_s, starts_s + 2, assignment)
    features = (torch.from_numpy(assignment_features(assignment, CONFIG)) - network.mean) / network.scale
    with torch.no_grad():
        expected = network(features[None])[0].numpy()
    # Sums over up to 80 terms in another order.
    np.testing.assert_allclose(scores.starts, expected[..., 0].ravel(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores.ends, expected[..., 1].ravel(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores.times_s[:5], [0.625, 0.875, 1.125, 1.375, 1.625])


def test_a_clip_depends_on_its_neighbours_within_reach_alone() -> None:
    head, assignment, starts_s = head_of(random_network()), random_assignment(40), np.arange(40.0)
    whole = head.scores(starts_s, starts_s + 2, assignment)
    some = np.r_[10 - REACH : 11 + REACH, 30 - REACH : 31 + REACH]
    part = head.scores(starts_s[some], starts_s[some] + 2, assignment[some])
    for middle in (10, 30):
        is_there = [
            np.isin(np.round(one.times_s, 3), np.round(middle + 0.625 + 0.25 * np.arange(4), 3))
            for one in (whole, part)
        ]
        assert is_there[0].sum() == is_there[1].sum() == 4
        np.testing.assert_allclose(part.ends[is_there[1]], whole.ends[is_there[0]], rtol=1e-4, atol=1e-5)


def test_clips_off_the_raster_say_nothing() -> None:
    head, assignment = head_of(random_network()), random_assignment(6)
    starts_s = np.array([0.0, 1.0, 2.0, 3.0, 3.6, 4.0])
    ends_s = starts_s + np.array([2.0, 2.0, 2.0, 2.0, 2.0, 1.2])
    scores = head.scores(starts_s, ends_s, assignment)
    alone = head.scores(starts_s[:4], ends_s[:4], assignment[:4])
    np.testing.assert_allclose(scores.times_s, alone.times_s)
    np.testing.assert_allclose(scores.starts, alone.starts)
    assert len(head.scores(starts_s[4:], ends_s[4:], assignment[4:]).times_s) == 0
    with pytest.raises(InputError, match=r"assignment: has shape \(6, 2, 12\), needed is \(5, 2, 12\)"):
        head.scores(starts_s[:5], ends_s[:5], assignment)


def test_targets_are_highest_in_the_cell_of_an_end() -> None:
    targets = end_targets(CONFIG, np.arange(4.0), np.array([[1.125, 3.2]]))
    # Cells of the first clip have their middles at 0.625, 0.875, 1.125 and 1.375 s.
    np.testing.assert_allclose(
        targets[0, :, 0], np.exp(-0.5 * (np.array([-0.5, -0.25, 0, 0.25]) / 0.2) ** 2), rtol=1e-5
    )
    assert np.unravel_index(targets[..., 1].argmax(), (4, 4)) == (2, 2)
    assert not end_targets(CONFIG, np.arange(4.0), np.zeros((0, 2))).any()


def test_training_finds_the_ends_of_unseen_actions_and_repeats() -> None:
    videos = [waving_video(seed) for seed in range(4)]
    training = EndsTraining(num_rounds=50, batch_size=4, piece_clips=30)
    network = train_ends(CONFIG, videos, training)
    unseen = waving_video(9)
    scores = head_of(network).scores(unseen.starts_s, unseen.starts_s + 2, unseen.assignment)
    for column, log_odds in enumerate((scores.starts, scores.ends)):
        errors_s = []
        for end_s in unseen.spans[:, column]:
            is_near = np.abs(scores.times_s - end_s) < 1.5
            errors_s.append(abs(scores.times_s[is_near][log_odds[is_near].argmax()] - end_s))
        # Frames a second apart leave an end half a second of play.
        assert np.median(errors_s) < 0.4
    short = replace(training, num_rounds=3)
    network, again = train_ends(CONFIG, videos, short), train_ends(CONFIG, videos, short)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_training_refuses_what_it_cannot_learn_from() -> None:
    video = waving_video(0)
    with pytest.raises(InputError, match="none of 1 has an action"):
        train_ends(CONFIG, [video._replace(spans=np.zeros((0, 2)))])
    with pytest.raises(InputError, match="clips of video 0 do not start every 1 s"):
        train_ends(CONFIG, [video._replace(starts_s=video.starts_s * 2)])
    with pytest.raises(InputError, match=r"assignment of video 0 has shape \(120, 2, 11\)"):
        train_ends(CONFIG, [video._replace(assignment=video.assignment[..., :11])])
    with pytest.raises(ConfigError, match="num_rounds is 0, must be at least 1"):
        EndsTraining(num_rounds=0)


@pytest.mark.parametrize(
    ("num_clips", "rows", "length"),
    [
        ([120, 1, 64, 63], [0, 2], 64),
        ([40, 1, 9, 6], [0], 40),
        ([20, 1, 19, 7], [0, 2], 19),
        ([7], [0], 7),
    ],
)
def test_short_videos_do_not_shorten_the_pieces_of_the_others(
    num_clips: list[int], rows: list[int], length: int
) -> None:
    videos = [NarratedVideo(np.arange(num), random_assignment(num), np.zeros((0, 2))) for num in num_clips]
    assert plan_pieces(videos, EndsTraining()) == (rows, length)


def test_a_video_of_one_clip_changes_nothing_of_what_is_learnt() -> None:
    training, said = EndsTraining(num_rounds=2, batch_size=4, piece_clips=30), list[str]()
    short = waving_video(1)
    short = NarratedVideo(short.starts_s[:1], short.assignment[:1], np.array([[0.7, 1.2]]))
    alone = train_ends(CONFIG, [waving_video(0)], training)
    both = train_ends(CONFIG, [waving_video(0), short], training, said.append)
    assert said[0] == "1 of 2 videos have fewer than 30 clips: left out"
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(both.state_dict()[name], value, rtol=0, atol=0)


def test_training_refuses_too_few_clips_and_ends() -> None:
    video = waving_video(0)
    one = NarratedVideo(video.starts_s[:1], video.assignment[:1], np.array([[0.7, 1.2]]))
    with pytest.raises(InputError, match="longest of 2 has 1 clips, needed are 7"):
        train_ends(CONFIG, [one, one])
    with pytest.raises(InputError, match="4 starts and ends lie in the clips of 1, needed are 5"):
        # The cells of 120 clips of 2 s, one a second, begin at 0.5 s and end at 120.5 s.
        train_ends(CONFIG, [video._replace(spans=np.array([[0.0, 4.0], [9.0, 12.0], [118.0, 121.0]]))])


def test_training_that_diverges_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"the loss of step .* is (nan|inf), must be finite|weights are not finite"):
        train_ends(CONFIG, [waving_video(0)], EndsTraining(num_rounds=4, piece_clips=30, learning_rate=1e30))
    broken = waving_video(0)
    broken.spans[0, 0] = np.nan
    with pytest.raises(TrainingError, match="the loss of step 1 of"):
        train_ends(CONFIG, [broken], EndsTraining(num_rounds=4, piece_clips=120))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grid": (3, 0)}, "grid is 0, must be an integer above 0"),
        ({"grid": 12}, "grid is 12, must be two integers"),
        ({"hidden": True}, "hidden is True"),
        ({"stride_s": float("nan")}, "stride_s is nan, must be a number of seconds above 0"),
    ],
)
def test_sizes_are_checked(change: dict[str, object], said: str) -> None:
    values = {"num_frames": 2, "grid": (3, 4), "num_entities": 3, "clip_s": 2.0, "stride_s": 1.0}
    with pytest.raises(ConfigError, match=said):
        EndsConfig(**{**values, **change})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Encoder]:
    """A copy of the shipped checkpoint without its head, and its encoder."""
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    shutil.copytree(locate_checkpoint("henasy-tiny"), folder, ignore=shutil.ignore_patterns(MOMENT_ENDS))
    return folder, load_encoder(folder)


def save_random(folder: Path, encoder: Encoder, **facts: str) -> EndsConfig:
    config = EndsConfig(
        num_frames=encoder.num_frames,
        grid=encoder.grid,
        num_entities=encoder.num_entities,
        clip_s=2.0,
        stride_s=1.0,
        hidden=8,
    )
    save_ends_head(folder, config, random_network(config).state_dict(), {SPACE: encoder.space_id, **facts})
    return config


def test_a_head_lies_in_the_folder_of_its_checkpoint(tiny: tuple[Path, Encoder]) -> None:
    folder, encoder = tiny
    assert read_ends_head(folder, encoder, ClipPlan()) is None
    config = save_random(folder, encoder)
    head = read_ends_head(folder, encoder, ClipPlan())
    assert head is not None
    assert head.config == config
    weights = (folder / MOMENT_ENDS / "head.safetensors").read_bytes()
    assert head.digest == hashlib.sha256(weights).hexdigest()[:16]
    assert load_encoder(folder).space_id == encoder.space_id
    assert read_ends_head(folder, encoder, ClipPlan(stride_s=0.5)) is None
    # Other weights in the folder leave no head behind that was trained on these.
    save_checkpoint(folder, read_checkpoint(folder))
    assert read_ends_head(folder, encoder, ClipPlan()) is None


def test_a_head_that_does_not_fit_is_refused(tiny: tuple[Path, Encoder]) -> None:
    folder, encoder = tiny
    save_random(folder, encoder, **{SPACE: "0123456789abcdef"})
    with pytest.raises(CheckpointError, match=r"trained in space 0123456789abcdef.*henasy-train moments"):
        read_ends_head(folder, encoder, ClipPlan())
    save_random(folder, encoder)
    settings = folder / MOMENT_ENDS / "head.json"
    values = json.loads(settings.read_text())
    for change, said in (
        ({"grid": [3, 4]}, "over a grid of \\(3, 4\\), the checkpoint has 8 over \\(12, 12\\)"),
        ({"hidden": 9}, "of another shape"),
        ({"hidden": 0}, "not the sizes of a head: hidden is 0"),
        ({"depth": 2}, "not the sizes of a head"),
        ({"grid": 3}, "not the sizes of a head"),
    ):
        settings.write_text(json.dumps({**values, "config": {**values["config"], **change}}))
        with pytest.raises(CheckpointError, match=said):
            read_ends_head(folder, encoder, ClipPlan())
    settings.write_text(json.dumps({**values, "kind": "moment_ends-0"}))
    with pytest.raises(CheckpointError, match="of kind 'moment_ends-0', must be 'moment_ends-1'"):
        read_ends_head(folder, encoder, ClipPlan())
    shutil.rmtree(folder / MOMENT_ENDS)


def test_a_damaged_head_is_refused_with_what_to_do(tiny: tuple[Path, Encoder]) -> None:
    folder, encoder = tiny
    save_random(folder, encoder)
    weights, settings = (folder / MOMENT_ENDS / name for name in ("head.safetensors", "head.json"))
    whole = weights.read_bytes()
    remedy = "train it again with `henasy-train moments`, or remove the folder"
    weights.write_bytes(whole[:100])
    with pytest.raises(CheckpointError, match=f"weights cannot be read: .*; {remedy}"):
        read_ends_head(folder, encoder, ClipPlan())
    weights.write_bytes(whole)
    settings.unlink()
    with pytest.raises(CheckpointError, match=rf"has head\.safetensors and no head\.json; {remedy}"):
        read_ends_head(folder, encoder, ClipPlan())
    weights.unlink()
    assert read_ends_head(folder, encoder, ClipPlan()) is None
    shutil.rmtree(folder / MOMENT_ENDS)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_place(tmp_path)
    (tmp_path / MOMENT_ENDS).write_text("mine")
    with pytest.raises(CheckpointError, match="moment_ends is no folder"):
        require_place(tmp_path)
    (tmp_path / MOMENT_ENDS).unlink()
    (tmp_path / MOMENT_ENDS).mkdir()
    (tmp_path / MOMENT_ENDS / "head.json").write_text("{}")
    require_place(tmp_path)
    # Root may write anywhere, so that the answer of the system is given here.
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != tmp_path)
    with pytest.raises(CheckpointError, match="may not be written"):
        require_place(tmp_path)
