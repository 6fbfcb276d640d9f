"""Learning rates: a function of the number of the step."""

from __future__ import annotations

import math
from typing import NamedTuple

from hub_tools.config import DistillConfig

# Learning rate for a hidden size of 384, so many steps and a clone so far (1 - cosine) from the teacher; all measured
# (docs/results.md).
_BASE_RATE, _BASE_HIDDEN, _BASE_STEPS, _BASE_DISTANCE = 1e-3, 384, 1200, 0.2
EPOCHS = 3.0
# A clone with this cosine to its goal has little to learn and much to lose: the first steps bring nearly all of the
# gain (docs/results.md).
_NEAR, NEAR_STEPS = 0.98, 300


class LearningRates(NamedTuple):
    """Learning rates of a step: of the token embeddings, and of all other weights."""

    embeddings: float
    backbone: float


def learning_rates(step: int, steps: int, peak: float, config: DistillConfig) -> LearningRates:
    """Return the learning rates of a step, counted from 0; `peak` is the highest of the token embeddings.

    In the first `embedding_only_steps` only the token embeddings learn. Both parts of the training have a warm-up and
    a decay to 0 of their own.
    """
    first = config.embedding_only_steps
    if step < first:
        return LearningRates((config.embedding_lr or peak) * share_of_peak(step, first, config), 0.0)
    share = share_of_peak(step - first, steps - first, config)
    return LearningRates(peak * share, peak * config.backbone_lr_scale * share)


def share_of_peak(step: int, steps: int, config: DistillConfig) -> float:
    """Return the learning rate of a step as a share of the highest.

    Of 40 steps with a warm-up ratio of 0.1, steps 0 to 3 have 0, 0.25, 0.5 and 0.75, step 4 has 1, and the others fall
    towards 0 as a line or as half a cosine wave; these are the schedules of transformers.
    """
    warmup = round(config.warmup_ratio * steps)
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 1 - progress if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))


def is_near(cosine: float | None) -> bool:
    """Return whether a clone is so near its goal, by its mean cosine on held-out text, that it is trained gently."""
    return cosine is not None and cosine >= _NEAR


def default_steps(epoch: int, epochs: float | None, cosine: float | None) -> int:
    """Return the steps of a training where the user gives none: three passes of so many steps through the data.

    A clone that is near its goal takes 300 steps of them, if nobody says how many `epochs`.
    """
    steps = max(1, math.ceil((epochs or EPOCHS) * epoch))
    return min(steps, NEAR_STEPS) if epochs is None and is_near(cosine) else steps


def default_learning_rate(hidden: int, steps: int, cosine: float | None) -> float:
    """Return the highest learning rate of the token embeddings where the user gives none.

    A short training has no time to repair what large steps break at first, and near the teacher they break more than
    they bring: the rate falls with the fourth root of the steps below 1,200, and with the distance to the teacher
    below 0.2. For example, 1e-3 for a hidden size of 384, 1,200 steps and a cosine of 0.8, and half of it with a hidden
    size of 768, or with 75 steps, or with a cosine of 0.9. The cosine is the held-out one before the training; without
    held-out text it is None, and the clone counts as far from the teacher.
    """
    length = math.pow(min(1.0, steps / _BASE_STEPS), 0.25)
    # Not quite to 0: a clone that is the teacher itself still trains.
    distance = 1.0 if cosine is None else min(1.0, max(1 - cosine, 0.01) / _BASE_DISTANCE)
    return _BASE_RATE * _BASE_HIDDEN / hidden * length * distance
