"""Learning rates of a step, and the default of the highest."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import get_scheduler

from hub_tools.config import DistillConfig
from hub_tools.training.schedule import default_learning_rate, learning_rates, share_of_peak


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_schedules_are_those_of_transformers(schedule: str) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = get_scheduler(schedule, optimizer, num_warmup_steps=4, num_training_steps=40)
    config = DistillConfig(warmup_ratio=0.1, schedule=schedule)
    for step in range(40):
        assert share_of_peak(step, 40, config) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


def test_the_first_steps_have_a_schedule_of_their_own_and_a_still_backbone() -> None:
    config = DistillConfig(embedding_only_steps=3, embedding_lr=0.02, warmup_ratio=0.0, schedule="linear")
    rates = [learning_rates(step, 6, 0.01, config) for step in range(6)]
    assert [rate.embeddings for rate in rates] == pytest.approx([0.02, 0.04 / 3, 0.02 / 3, 0.01, 0.02 / 3, 0.01 / 3])
    assert [rate.backbone for rate in rates] == pytest.approx([0, 0, 0, 0.004, 0.008 / 3, 0.004 / 3])
    assert learning_rates(0, 6, 0.01, replace(config, embedding_lr=None)) == (0.01, 0.0)


def test_the_default_rate_falls_for_wide_models_short_trainings_and_near_clones() -> None:
    assert [default_learning_rate(384, steps, 0.8) for steps in (1200, 10**6)] == pytest.approx([1e-3, 1e-3])
    assert default_learning_rate(768, 1200, -0.5) == pytest.approx(5e-4)
    assert default_learning_rate(384, 75, 0.5) == pytest.approx(5e-4)
    assert default_learning_rate(384, 1200, 0.9) == pytest.approx(5e-4)
    assert default_learning_rate(384, 1200, 1.0) > 0


def test_a_clone_that_was_not_measured_counts_as_far_from_the_teacher() -> None:
    assert default_learning_rate(384, 1200, None) == default_learning_rate(384, 1200, 0.0) == pytest.approx(1e-3)
