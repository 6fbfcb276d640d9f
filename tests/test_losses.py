"""What training minimizes, against numbers computed by hand and the losses of sentence-transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss

from hub_tools.config import DistillConfig
from hub_tools.training.losses import batch_loss, per_example_loss, similarity_preserving

PREDICTIONS = torch.tensor([[3.0, 4.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0]])
TARGETS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])


def losses(**options: Any) -> list[float]:
    return per_example_loss(PREDICTIONS, TARGETS, DistillConfig(**options)).tolist()


def test_the_cosine_loss_equals_hand_computed_values() -> None:
    assert losses() == pytest.approx([1 - 0.6, 1 - 0.5**0.5])


def test_the_squared_loss_equals_hand_computed_values() -> None:
    assert losses(loss="mse") == pytest.approx([(2**2 + 4**2) / 4, (1 + 1) / 4])


def test_under_matryoshka_the_loss_is_the_mean_over_leading_parts() -> None:
    # The first two numbers alone: cosines 0.6 and 1; the first alone: 1 and, of nothing, 0.
    assert losses(matryoshka=(4, 2)) == pytest.approx([0.4, (1 - 0.5**0.5) / 2], abs=1e-6)
    assert losses(matryoshka=(4, 1)) == pytest.approx([0.2, (2 - 0.5**0.5) / 2])
    assert losses(matryoshka=(1,)) == losses(matryoshka=(4, 1))  # the whole is always one of them


def test_a_leading_part_is_scaled_to_length_one_and_the_whole_is_not() -> None:
    # Parts: (0.6, 0.8) against (1, 0), and (0, 1) against (0, 1).
    whole = losses(loss="mse")
    expected = [(whole[0] + (0.4**2 + 0.8**2) / 2) / 2, whole[1] / 2]
    assert losses(loss="mse", matryoshka=(4, 2)) == pytest.approx(expected)


def test_the_relational_loss_equals_a_hand_computed_value() -> None:
    predictions = torch.tensor([[2.0, 0.0], [0.0, 3.0]])  # cosines 1 0 / 0 1
    targets = torch.tensor([[1.0, 0.0], [3.0, 4.0]])  # cosines 1 0.6 / 0.6 1
    assert float(similarity_preserving(predictions, targets)) == pytest.approx((0.6**2 + 0.6**2) / 4)
    config = DistillConfig(loss="relational", similarity_weight=10)
    assert float(batch_loss(predictions, targets, config)) == pytest.approx((0 + 0.2) / 2 + 10 * 0.18)
    assert float(batch_loss(predictions, targets, DistillConfig())) == pytest.approx(0.1)


def test_a_common_rotation_preserves_similarities() -> None:
    vectors = torch.randn(5, 2)
    turned = vectors @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    assert float(similarity_preserving(vectors, turned)) == pytest.approx(0, abs=1e-9)


def test_similarities_are_taken_over_leading_parts_too() -> None:
    config = DistillConfig(loss="relational", similarity_weight=1, matryoshka=(4, 2))
    parts = [(PREDICTIONS, TARGETS), (PREDICTIONS[:, :2], TARGETS[:, :2])]
    expected = sum(float(similarity_preserving(*part)) for part in parts) / 2
    examples = per_example_loss(PREDICTIONS, TARGETS, config).mean()
    assert float(batch_loss(PREDICTIONS, TARGETS, config) - examples) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["cosine", "mse"])
def test_the_losses_are_those_of_sentence_transformers(kind: Any) -> None:
    predictions, targets = (torch.nn.functional.normalize(torch.randn(7, 16), dim=-1) for _ in range(2))
    reference = EmbedDistillLoss(SentenceTransformer(modules=[torch.nn.Identity()]), distance_metric=kind)
    expected = float(reference.compute_loss_from_embeddings([predictions], [targets]))
    assert float(batch_loss(predictions, targets, DistillConfig(loss=kind))) == pytest.approx(expected, rel=1e-6)
