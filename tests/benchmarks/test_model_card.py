"""The model card: every number from the results, undecided comparisons named, a missing number refused."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from henasy.checkpoint.folder import read_checkpoint
from henasy.checkpoint.locate import locate_checkpoint
from henasy.errors import AnnotationError
from henasy.heads.files import StoredHead, save_head
from henasy.heads.moment_ends_file import KIND

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "model_card.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("model_card", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def numbers(script: ModuleType) -> dict[str, float]:
    made: dict[str, float] = {}
    for number, method in enumerate(script.METHODS):
        for kind in ("inter", "intra", *script.MEASURES):
            made[f"{method}/{kind}"] = number / 10
            made |= {f"{method}/{kind} gain {part}": 0.01 * number - 0.005 for part in ("mean", "low", "high")}
    for thing in ("noun", "hand"):
        made |= {f"masks/{thing}/{name}": 0.25 for name in ("text_chosen", "best", "random", "ceiling")}
    return made | {f"{m}_{d}": 0.5 for m in ("mAP", "nDCG") for d in ("v2t", "t2v", "avg")}


def test_model_card_states_the_lead_on_a_larger_archive(script: ModuleType, numbers: dict[str, float]) -> None:
    shipped = read_checkpoint(locate_checkpoint("henasy-tiny"))
    first = script.FIRST_STAGE
    stages = {
        f"{method}/{measure}": value
        for method, value in ((first, 0.5), (script.OURS, 0.625))
        for measure in ("inter", "intra", *script.MEASURES)
    }
    stages |= {
        f"{first}/{measure} gain {part}": value
        for measure in ("inter", "intra", *script.MEASURES)
        for part, value in (
            ("mean", 0.125),
            ("low", {"inter": 0.0004, "intra": -0.01}.get(measure, 0.1)),
            ("high", 0.15),
        )
    }
    card = script.model_card(shipped, "m", numbers, numbers, stages)
    assert f"| {first} | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 |" in card
    assert "| HENASY | 62.5 +12.5 [+0.04, +15.0] | 62.5 +12.5 [-1.0, +15.0] | 62.5 +12.5 [+10.0" in card
    # of the made-up numbers text has 10 %, colours 20 %, one frame 30 %, shuffled frames 40 %
    above = "Above the 35% that the questions were to leave what sees less: shuffled frames (inter 40.0, intra 40.0).\n"
    assert above in card
    assert "Not shown to be better in: intra." in card
    assert "on more videos" not in script.model_card(shipped, "m", numbers, numbers)


def test_model_card_states_the_numbers_and_what_is_undecided(script: ModuleType, numbers: dict[str, float]) -> None:
    shipped = read_checkpoint(locate_checkpoint("henasy-tiny"))
    mean = replace(shipped, model=shipped.model.with_global_share(0.25))
    card = script.model_card(mean, "m", numbers, numbers)
    assert "75% the decoder's, 25% the first stage's" in card
    assert "| colour histogram | 20.0 | +1.5 [+1.5, +1.5] | 20.0 | +1.5 [+1.5, +1.5] |" in card
    assert "Not shown to be better than: chance (inter), chance (intra)." in card
    assert "| decoder alone | 60.0 +5.5 [+5.5, +5.5] |" in card
    assert "| HENASY | 70.0 | 70.0 | 70.0 | 70.0 |" in card
    assert "| colour histogram | 20.0 +1.5 [+1.5, +1.5] | 20.0 +1.5" in card
    assert "| acting hand | 0.250 | 0.250 | 0.250 | 0.250 |" in card
    assert "| 50.0 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 |" in card
    assert all(f"\n- {method}: " in card for method in script.METHODS if method not in (script.CHANCE, script.OURS))
    assert "| num_steps | 8000 | 400 | 1100 | 1200 |" in card
    assert "| box_weight |  |  |  | 2.0 |" in card
    assert "- all stages: num_validation_clips 400, temperature 0.07, vocab_size 1000" in card
    assert "henasy-index build ARCHIVE/videos --index INDEX --model m" in card


def test_model_card_without_a_global_share_has_no_row_of_the_decoder_alone(
    script: ModuleType, numbers: dict[str, float]
) -> None:
    shipped = read_checkpoint(locate_checkpoint("henasy-tiny"))
    paper, mean = (replace(shipped, model=shipped.model.with_global_share(share)) for share in (0.0, 0.25))
    left = {name: value for name, value in numbers.items() if not name.startswith("decoder alone/")}
    assert "decoder" not in script.model_card(paper, "m", left, left).partition("## Training")[0]
    with pytest.raises(AnnotationError, match="no number 'decoder alone/inter'"):
        script.model_card(mean, "m", left, left)


def test_model_card_missing_number_is_refused(script: ModuleType, numbers: dict[str, float]) -> None:
    checkpoint = read_checkpoint(locate_checkpoint("henasy-tiny"))
    del numbers["masks/hand/best"]
    with pytest.raises(AnnotationError, match="no number 'masks/hand/best'"):
        script.model_card(checkpoint, "m", numbers, numbers)


def test_model_card_names_what_the_ends_of_moments_were_trained_on(script: ModuleType, tmp_path: Path) -> None:
    facts = {"trained on": ["3 videos of kitchen", "2 videos of cellar"]}
    head = StoredHead(KIND, {"clip_s": 2.0, "stride_s": 0.5}, facts, {"w": torch.zeros(1)})
    save_head(tmp_path / "moment_ends", head)

    section = script.moment_ends(tmp_path / "moment_ends")

    assert "clips of 2 s every 0.5 s" in section
    assert section.endswith("- 3 videos of kitchen\n- 2 videos of cellar\n")
    assert script.moment_ends(tmp_path / "none") == ""
