"""Messages for what may not be mixed: spaces, numbers of frames, two forms of FAISS."""

import dataclasses
import importlib.metadata

import pytest
from local_build import SETTINGS

from henasy.errors import ConfigError, SpaceMismatchError
from henasy.index import nearest


def test_another_number_of_frames_is_named_before_the_space() -> None:
    plan = dataclasses.replace(SETTINGS.plan, num_frames=5)
    with pytest.raises(SpaceMismatchError, match="clips of 2 frames, this run asks for 5; use --frames 2"):
        SETTINGS.require_same(dataclasses.replace(SETTINGS, plan=plan, space_id="other"))


def test_same_name_with_other_weights_says_so() -> None:
    with pytest.raises(SpaceMismatchError, match="the weights of colours have changed since the index was made"):
        SETTINGS.require_same(dataclasses.replace(SETTINGS, space_id="other"))


def test_two_forms_of_faiss_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nearest._require_one_faiss.cache_clear()
    monkeypatch.setattr(importlib.metadata, "distributions", lambda name: [name])
    with pytest.raises(ConfigError, match="faiss-cpu and faiss-gpu are both installed"):
        nearest.load_faiss()
