"""EgoNCE++ against the reference's numbers and against one written with loops."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from henasy.errors import InputError
from henasy.losses.egonce import infonce
from henasy.losses.egoncepp import egoncepp, shared_nouns

NUM_CLIPS, NUM_SWAPS, WIDTH = 4, 3, 6


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden_dir / "losses_small.npz"))


def random_batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    shapes = ((NUM_CLIPS, WIDTH), (NUM_CLIPS, WIDTH), (NUM_CLIPS, NUM_SWAPS, WIDTH))
    video, text, swapped = (torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes)
    return video, text, swapped


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def by_loops(
    video: Tensor,
    text: Tensor,
    swapped: Tensor,
    positives: Tensor,
    has_swap: Tensor,
    temperature: float,
    spared: frozenset[tuple[int, int]] = frozenset(),
) -> tuple[float, float]:
    """(text to video, video to text), one exponential at a time; clips are not told from `spared` (clip, caption)."""
    to_video, to_text = [], []
    for row in range(len(text)):
        mass = [math.exp(cosine(text[row], clip) / temperature) for clip in video]
        right = sum(value for value, is_positive in zip(mass, positives[row], strict=True) if is_positive)
        to_video.append(-math.log(right / sum(mass)))
    for clip in range(len(video)):
        mass = [math.exp(cosine(video[clip], caption) / temperature) for caption in text]
        own = [
            math.exp(cosine(video[clip], caption) / temperature)
            for caption, is_there in zip(swapped[clip], has_swap[clip], strict=True)
            if is_there
        ]
        others = [value for caption, value in enumerate(mass) if (clip, caption) not in spared]
        to_text.append(-math.log(mass[clip] / (sum(others) + sum(own))))
    return float(np.mean(to_video)), float(np.mean(to_text))


def test_egoncepp_equals_reference_with_its_parts_and_gradients(golden: dict[str, np.ndarray]) -> None:
    names = {"video": "pp_video", "text_pos": "pp_text_pos", "text_neg": "pp_text_neg"}
    inputs = {name: torch.tensor(golden[key], requires_grad=True) for name, key in names.items()}
    num_clips, width = inputs["video"].shape
    positives = (torch.tensor(golden["pp_sim_noun"]) > 0) | torch.eye(num_clips, dtype=torch.bool)
    swapped = inputs["text_neg"].reshape(num_clips, -1, width)
    got = egoncepp(inputs["video"], inputs["text_pos"], swapped, positives, temperature=0.05)
    got.total.backward()
    assert got.total.item() == pytest.approx(golden["egoncepp_t0p05"].item(), rel=1e-9)
    assert got.total.item() == pytest.approx(golden["egoncepp_readme_t0p05"].item(), rel=1e-9)
    assert got.text_to_video.item() == pytest.approx(golden["egoncepp_t2v_part"].item(), rel=1e-9)
    assert got.video_to_text.item() == pytest.approx(golden["egoncepp_v2t_part"].item(), rel=1e-9)
    for name, value in inputs.items():
        np.testing.assert_allclose(value.grad.numpy(), golden[f"pp_grad_{name}"], rtol=1e-7, atol=1e-12)


def test_egoncepp_without_swaps_equals_reference(golden: dict[str, np.ndarray]) -> None:
    video, text = torch.tensor(golden["pp_video"]), torch.tensor(golden["pp_text_pos"])
    positives = (torch.tensor(golden["pp_sim_noun"]) > 0) | torch.eye(len(video), dtype=torch.bool)
    got = egoncepp(video, text, text.new_zeros(len(text), 0, text.shape[1]), positives, temperature=0.05)
    assert got.total.item() == pytest.approx(golden["egoncepp_no_negatives_t0p05"].item(), rel=1e-9)


@pytest.mark.parametrize("temperature", [0.05, 0.07, 1.0])
def test_egoncepp_equals_loops(temperature: float) -> None:
    video, text, swapped = random_batch()
    nouns = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0]])
    has_swap = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 0]]).bool()
    got = egoncepp(video, text, swapped, shared_nouns(nouns), has_swap=has_swap, temperature=temperature)
    expected = by_loops(video, text, swapped, shared_nouns(nouns), has_swap, temperature)
    assert (got.text_to_video.item(), got.video_to_text.item()) == pytest.approx(expected, rel=1e-12)
    assert got.total.item() == pytest.approx(sum(expected), rel=1e-12)


def test_egoncepp_compares_a_clip_with_its_own_swaps_only() -> None:
    video, text, swapped = random_batch()
    alone = torch.eye(NUM_CLIPS, dtype=torch.bool)
    before = egoncepp(video, text, swapped, alone)
    swapped[0] = text[1]  # what clip 0 must not be called; clip 1's own caption is not touched by that
    after = egoncepp(video, text, swapped, alone)
    assert after.video_to_text != before.video_to_text
    assert after.text_to_video == before.text_to_video


def test_masked_swaps_carry_neither_value_nor_gradient() -> None:
    video, text, swapped = random_batch()
    alone = torch.eye(NUM_CLIPS, dtype=torch.bool)
    swapped.requires_grad_(True)
    has_swap = torch.zeros(NUM_CLIPS, NUM_SWAPS, dtype=torch.bool)
    got = egoncepp(video, text, swapped, alone, has_swap=has_swap)
    got.total.backward()
    assert got.total.item() == pytest.approx(infonce(video, text, temperature=0.05).total.item(), rel=1e-12)
    assert swapped.grad is not None
    assert not swapped.grad.any()


def test_shared_nouns_of_rows_without_nouns_is_the_diagonal() -> None:
    assert torch.equal(shared_nouns(torch.zeros(3, 5)), torch.eye(3, dtype=torch.bool))
    assert shared_nouns(torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 0]])).tolist() == [
        [True, True, True],
        [True, True, False],
        [True, False, True],
    ]


def test_one_clip_without_swaps_has_nothing_to_tell_apart() -> None:
    video, text, _ = random_batch()
    got = egoncepp(video[:1], text[:1], text.new_zeros(1, 0, WIDTH), torch.ones(1, 1, dtype=torch.bool))
    assert got.total.item() == 0.0


def test_a_value_that_is_not_a_number_shows_in_the_loss() -> None:
    video, text, swapped = random_batch()
    video[1, 2] = torch.nan
    assert torch.isnan(egoncepp(video, text, swapped, torch.eye(NUM_CLIPS, dtype=torch.bool)).total)


def test_half_precision_is_computed_in_float32() -> None:
    video, text, swapped = (part.to(torch.bfloat16) for part in random_batch())
    assert egoncepp(video, text, swapped, torch.eye(NUM_CLIPS, dtype=torch.bool)).total.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"swapped": torch.zeros(NUM_CLIPS * NUM_SWAPS, WIDTH)}, r"swapped: shape \(12, 6\); .*grouped by clip"),
        ({"swapped": torch.zeros(NUM_CLIPS, NUM_SWAPS, WIDTH + 1)}, r"swapped: shape \(4, 3, 7\)"),
        ({"text": torch.zeros(NUM_CLIPS - 1, WIDTH)}, r"text: shape \(3, 6\) for clips \(4, 6\)"),
        ({"video": torch.zeros(0, WIDTH), "text": torch.zeros(0, WIDTH)}, r"N > 0"),
        ({"positives": torch.zeros(NUM_CLIPS, NUM_CLIPS, dtype=torch.bool)}, "positives: .*itself true"),
        ({"has_swap": torch.ones(NUM_CLIPS, 1, dtype=torch.bool)}, r"has_swap: shape \(4, 1\)"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(change: dict[str, Tensor], message: str) -> None:
    video, text, swapped = random_batch()
    inputs = {"video": video, "text": text, "swapped": swapped, "positives": torch.eye(NUM_CLIPS, dtype=torch.bool)}
    with pytest.raises(InputError, match=message):
        egoncepp(**(inputs | change))


def test_clips_are_not_told_from_captions_that_are_true_of_them() -> None:
    video, text, swapped = random_batch(4)
    positives, has_swap = torch.eye(NUM_CLIPS, dtype=torch.bool), torch.ones(NUM_CLIPS, NUM_SWAPS, dtype=torch.bool)
    is_same_action = positives.clone()
    is_same_action[0, 2] = is_same_action[2, 0] = is_same_action[1, 3] = True
    got = egoncepp(video, text, swapped, positives, is_same_action=is_same_action, temperature=0.1)
    spared = frozenset({(0, 2), (2, 0), (1, 3)})
    expected = by_loops(video, text, swapped, positives, has_swap, 0.1, spared)
    assert (got.text_to_video.item(), got.video_to_text.item()) == pytest.approx(expected, rel=1e-12)
