"""EgoNCE against the reference's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from henasy.losses.egonce import cosines, egonce, infonce, positive_pairs

NUM_NOUNS, NUM_VERBS = 582, 118


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden_dir / "losses_small.npz"))


def multi_hot(lists: np.ndarray, width: int) -> torch.Tensor:
    vectors = torch.zeros(len(lists), width)
    for row, text in enumerate(lists):
        vectors[row, [int(i) for i in text.split(",") if i]] = 1
    return vectors


def positives_of(golden: dict[str, np.ndarray]) -> torch.Tensor:
    return positive_pairs(multi_hot(golden["noun_vec_idx"], NUM_NOUNS), multi_hot(golden["verb_vec_idx"], NUM_VERBS))


def test_positive_pairs_equal_reference_mask(golden: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(positives_of(golden).numpy(), golden["positive_mask"])


def test_cosines_equal_reference(golden: dict[str, np.ndarray]) -> None:
    got = cosines(torch.tensor(golden["text"]), torch.tensor(golden["video"]))
    np.testing.assert_allclose(got.numpy(), golden["sim_text_by_video"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("temperature", "key"), [(0.05, "egonce_t0p05"), (0.07, "egonce_t0p07")])
def test_egonce_equals_reference(golden: dict[str, np.ndarray], temperature: float, key: str) -> None:
    got = egonce(
        torch.tensor(golden["video"]),
        torch.tensor(golden["text"]),
        positives_of(golden),
        temperature=temperature,
    )
    assert got.total.item() == pytest.approx(golden[key].item(), rel=1e-9)


def test_egonce_directions_and_gradients_equal_reference(golden: dict[str, np.ndarray]) -> None:
    video = torch.tensor(golden["video"], requires_grad=True)
    text = torch.tensor(golden["text"], requires_grad=True)
    got = egonce(video, text, positives_of(golden), temperature=0.05)
    got.total.backward()
    assert got.text_to_video.item() == pytest.approx(golden["egonce_t2v_t0p05"].item(), rel=1e-9)
    assert got.video_to_text.item() == pytest.approx(golden["egonce_v2t_t0p05"].item(), rel=1e-9)
    np.testing.assert_allclose(video.grad.numpy(), golden["grad_video"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(text.grad.numpy(), golden["grad_text"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["noun", "verb"])
def test_egonce_with_other_positives_equals_reference(golden: dict[str, np.ndarray], kind: str) -> None:
    one = multi_hot(golden[f"{kind}_vec_idx"], NUM_NOUNS)
    got = egonce(
        torch.tensor(golden["video"]),
        torch.tensor(golden["text"]),
        positive_pairs(one, one),
        temperature=0.05,
    )
    assert got.total.item() == pytest.approx(golden[f"egonce_{kind}_only_t0p05"].item(), rel=1e-9)


def test_infonce_equals_reference(golden: dict[str, np.ndarray]) -> None:
    got = infonce(torch.tensor(golden["video"]), torch.tensor(golden["text"]), temperature=0.05)
    assert got.total.item() == pytest.approx(golden["infonce_t0p05"].item(), rel=1e-9)


def test_egonce_of_half_precision_is_float32() -> None:
    video = torch.randn(4, 8, dtype=torch.bfloat16)
    assert infonce(video, video, temperature=0.05).total.dtype == torch.float32
