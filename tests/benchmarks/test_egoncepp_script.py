"""Before and after further training: the table's accuracies are those of the benchmarks themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from henasy.checkpoint.folder import read_checkpoint, save_checkpoint
from henasy.evaluation.tasks.report import RENDERED_HEADING


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def changed(random_checkpoint: Path, tmp_path: Path) -> Path:
    """The checkpoint with its text tower's map stirred."""
    checkpoint = read_checkpoint(random_checkpoint)
    weight = checkpoint.model.state_dict()["dual.text_projection"]
    weight += weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    save_checkpoint(tmp_path / "changed", checkpoint)
    return tmp_path / "changed"


def test_measures_are_those_of_the_benchmarks(
    run_script: Any, small_archive: Path, random_checkpoint: Path, changed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "changes.json"
    result = run_script("egoncepp.py", random_checkpoint, changed, "--archive", small_archive, "--json", out)
    assert result.exit_code == 0, result.output
    assert RENDERED_HEADING in result.output
    written = json.loads(out.read_text())
    for script, form, measures in (
        ("egohoibench.py", "swaps", ("verb", "noun", "action")),
        ("egomcq.py", "EgoMCQ form", ("inter", "intra")),
    ):
        for model, when in ((random_checkpoint, "before"), (changed, "after")):
            alone = tmp_path / "one.json"
            done = run_script(script, "--archive", small_archive, "--model", model, "--json", alone)
            assert done.exit_code == 0, done.output
            scores = json.loads(alone.read_text())
            for name in measures:
                key = f"{form}: {name}/{when}"
                if scores[name] is None:
                    assert key not in written
                else:
                    assert written[key] == pytest.approx(scores[name]), key
    for name in ("mAP V-T", "mAP T-V", "nDCG V-T", "nDCG T-V"):
        key = f"EK100 form: {name}"
        gain = written[f"{key}/after"] - written[f"{key}/before"]
        assert written[f"{key}/change mean"] == pytest.approx(gain)
        assert written[f"{key}/change low"] <= gain <= written[f"{key}/change high"]
    assert written["facts"]["space before"] != written["facts"]["space after"]
    assert np.isfinite([value for name, value in written.items() if name != "facts"]).all()


def test_the_same_model_twice_is_refused(run_script: Any, small_archive: Path, random_checkpoint: Path) -> None:
    result = run_script("egoncepp.py", random_checkpoint, random_checkpoint, "--archive", small_archive)
    assert result.exit_code == 1
    assert "are the same model" in result.output
