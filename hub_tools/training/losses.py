"""What training minimizes: how far the student's vectors are from the teacher's.

`cosine` is 1 - cosine, `mse` the mean squared difference, both of each text alone (as `EmbedDistillLoss` of
sentence-transformers); `relational` adds to the first how differently the batch is arranged (similarity-preserving
distillation). Each may be taken over several leading parts of the vectors (Matryoshka, Kusupati et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hub_tools.config import DistillConfig

if TYPE_CHECKING:
    from torch import Tensor


def per_example_loss(predictions: Tensor, targets: Tensor, config: DistillConfig) -> Tensor:
    """Return the loss of each text alone, fp32, shape (texts,), without the similarities within the batch.

    The student's and the teacher's vectors are both fp32, shape (texts, dim).
    """
    distance = mse if config.loss == "mse" else cosine_distance
    return _over_parts(distance, predictions, targets, config.matryoshka)


def batch_loss(predictions: Tensor, targets: Tensor, config: DistillConfig) -> Tensor:
    """Return the loss of a whole batch, a scalar; arguments as for `per_example_loss`."""
    loss = per_example_loss(predictions, targets, config).mean()
    if config.loss == "relational":
        similarity = _over_parts(similarity_preserving, predictions, targets, config.matryoshka)
        loss = loss + config.similarity_weight * similarity
    return loss


def cosine_distance(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - cosine of each text, shape (texts,)."""
    from torch.nn.functional import cosine_similarity

    return 1 - cosine_similarity(predictions, targets, dim=-1)


def mse(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference of each text, shape (texts,)."""
    return (predictions - targets).square().mean(dim=-1)


def similarity_preserving(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return how differently two sets of vectors arrange the same texts (Tung & Mori 2019, arXiv 1907.09682).

    It is the mean squared difference between the two matrices of cosines within the batch, a scalar. Predictions (2, 0)
    and (0, 3) have the cosines 1 0 / 0 1, targets (1, 0) and (3, 4) have 1 0.6 / 0.6 1: (0.6² + 0.6²) / 4 = 0.18.
    """
    from torch.nn.functional import mse_loss, normalize

    student, teacher = normalize(predictions, dim=-1), normalize(targets, dim=-1)
    return mse_loss(student @ student.T, teacher @ teacher.T)


def _over_parts(
    distance: Callable[[Tensor, Tensor], Tensor], predictions: Tensor, targets: Tensor, dims: tuple[int, ...]
) -> Tensor:
    """Return the mean of a loss over the whole vectors and their leading parts, which are scaled to length 1."""
    from torch.nn.functional import normalize

    whole = predictions.shape[-1]
    loss = distance(predictions, targets)
    parts = [dim for dim in dict.fromkeys(dims) if dim != whole]
    for dim in parts:
        loss = loss + distance(normalize(predictions[..., :dim], dim=-1), normalize(targets[..., :dim], dim=-1))
    return loss / (1 + len(parts))
