from __future__ import annotations

import pytest
import torch

from hub_tools.distill import relational_loss


def test_the_relational_loss_equals_a_hand_computed_value() -> None:
    found = torch.tensor([[2.0, 0.0], [0.0, 3.0]])  # cosines 1 0 / 0 1
    wanted = torch.tensor([[1.0, 0.0], [3.0, 4.0]])  # cosines 1 0.6 / 0.6 1
    assert float(relational_loss(found, wanted)) == pytest.approx((0.6**2 + 0.6**2) / 4)


def test_it_does_not_see_a_common_rotation() -> None:
    vectors = torch.randn(5, 2)
    turned = vectors @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    assert float(relational_loss(vectors, turned)) == pytest.approx(0, abs=1e-9)
