"""`henasy-model` as its user runs it."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.random_weights import random_checkpoint
from henasy.checkpoint.space import space_id
from henasy.commands.model import main
from henasy.errors import ConfigError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / "model"
    result = run("random", folder, "--preset", "tiny", "--seed", 3)
    assert result.exit_code == 0, result.output
    assert "not trained on anything" in result.output
    return folder


def test_info_tells_what_a_checkpoint_is(folder: Path) -> None:
    told = json.loads(run("info", folder, "--json").output)
    encoder = load_encoder(folder)
    stored = load_file(folder / "model.safetensors")
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    weights = {name: value for name, value in stored.items() if not name.endswith(statistics)}
    assert (told["kind"], told["space_id"]) == ("henasy", encoder.space_id)
    assert told["num_parameters"] == sum(value.numel() for value in weights.values())
    assert sum(told["parameters"].values()) == told["num_parameters"]
    assert told["parameters"]["global encoder"] == sum(
        value.numel() for name, value in weights.items() if name.startswith("dual.visual.")
    )
    assert tuple(told["grid"]) == encoder.grid
    assert told["flops_per_clip"] > 1e9
    assert told["training"]["is_random"]
    table = run("info", folder).output
    assert encoder.space_id in table
    assert f"{told['num_parameters']:,}" in table
    assert "the weights are random" in table


def test_random_is_decided_by_the_seed() -> None:
    spaces = [space_id(random_checkpoint("tiny", "dual", seed=seed)) for seed in (0, 0, 1)]
    assert spaces[0] == spaces[1] != spaces[2]
    before = torch.random.get_rng_state()
    random_checkpoint("tiny", "dual", seed=5)
    assert torch.equal(before, torch.random.get_rng_state())


def test_random_refuses_other_presets() -> None:
    with pytest.raises(ConfigError, match="preset is 'huge'; allowed: tiny, base, base-768"):
        random_checkpoint("huge", "dual", seed=0)
    assert run("random", "x", "--preset", "huge").exit_code == 2


def test_import_lavila_makes_a_folder(golden_dir: Path, tmp_path: Path) -> None:
    torch.save(load_file(golden_dir / "lavila_tiny.safetensors"), tmp_path / "a.pth")
    result = run("import-lavila", tmp_path / "a.pth", tmp_path / "m", "--vision-heads", 4, "--text-heads", 4)
    assert result.exit_code == 0, result.output
    assert "reads no text" in result.output
    told = json.loads(run("info", tmp_path / "m", "--json").output)
    assert (told["kind"], told["image_px"], told["joint_dim"], told["has_tokenizer"]) == ("dual", 48, 24, False)


def test_errors_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not a checkpoint")
    for arguments in (
        ("info", tmp_path / "absent"),
        ("info", tmp_path / "text.pth"),
        ("import-lavila", tmp_path / "text.pth", tmp_path / "m"),
        ("import-lavila", tmp_path / "absent.pth", tmp_path / "m"),
        ("random", tmp_path),
    ):
        result = run(*arguments)
        assert result.exit_code == 1, arguments
        assert result.output.startswith("Error: ")
        assert result.output.count("\n") == 1
    assert not (tmp_path / "m").exists()
