"""The weighted sum."""

import pytest
import torch

from henasy.errors import ConfigError
from henasy.losses.counted import CountedLoss
from henasy.losses.egonce import EgoNce
from henasy.losses.total import LossWeights, total_loss


def test_total_loss_weighs_the_parts() -> None:
    parts = [CountedLoss(torch.tensor(v), 3) for v in (2.0, 4.0, 8.0, 16.0)]
    contrast = EgoNce(torch.tensor(1.0), torch.tensor(0.5))
    got = total_loss(contrast, *parts, LossWeights())
    assert got.total.item() == pytest.approx(1.5 + 0.5 * 2 + 0.5 * 4 + 1.0 * 8)
    assert got.egonce.item() == 1.5
    assert got.projection.num_terms == 3
    assert total_loss(contrast, *parts, LossWeights(entity_choice=0.25)).total == got.total + 4


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_loss_weights_refuse_what_cannot_be_a_weight(value: float) -> None:
    with pytest.raises(ConfigError, match="projection is"):
        LossWeights(projection=value)
