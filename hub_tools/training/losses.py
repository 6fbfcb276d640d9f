"""What training makes small: how far the student's vectors are from the teacher's.

`cosine` is 1 - cosine, `mse` the mean squared difference, both of each text alone (as `EmbedDistillLoss` of
sentence-transformers); `relational` adds how differently the batch is arranged. Each of them may be taken over several
leading parts of the vectors (Matryoshka, Kusupati et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hub_tools.config import DistillConfig

if TYPE_CHECKING:
    from torch import Tensor


def text_losses(found: Tensor, wanted: Tensor, config: DistillConfig) -> Tensor:
    """The loss of each text alone, without the similarities of the batch.

    Args:
        found: the student's vectors, fp32, shape (texts, dim).
        wanted: the teacher's, of the same shape and dtype.
        config: which loss, and over which parts of the vectors.

    Returns:
        fp32, shape (texts,).
    """
    distance = _squares if config.loss == "mse" else _angles
    return _over_parts(distance, found, wanted, config.matryoshka)


def batch_loss(found: Tensor, wanted: Tensor, config: DistillConfig) -> Tensor:
    """The loss of a whole batch, a scalar; arguments as for `text_losses`."""
    loss = text_losses(found, wanted, config).mean()
    if config.loss == "relational":
        loss = loss + config.similarity_weight * _over_parts(relational_loss, found, wanted, config.matryoshka)
    return loss


def relational_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """How differently two sets of vectors arrange the same texts (similarity-preserving distillation).

    Args:
        found: the student's vectors, shape (texts, dim).
        wanted: the teacher's vectors, shape (texts, dim).

    Returns:
        Mean squared difference between the two matrices of cosines within the batch, a scalar.
    """
    from torch.nn.functional import mse_loss, normalize

    ours, theirs = normalize(found, dim=-1), normalize(wanted, dim=-1)
    return mse_loss(ours @ ours.T, theirs @ theirs.T)


def _over_parts(
    distance: Callable[[Tensor, Tensor], Tensor], found: Tensor, wanted: Tensor, dims: tuple[int, ...]
) -> Tensor:
    """Mean of a loss over the whole and leading parts of the vectors; parts are brought back to length 1."""
    from torch.nn.functional import normalize

    if not dims:
        return distance(found, wanted)
    whole = found.shape[-1]

    def part(vectors: Tensor, dim: int) -> Tensor:
        return vectors if dim == whole else normalize(vectors[..., :dim], dim=-1)

    losses = [distance(part(found, dim), part(wanted, dim)) for dim in dict.fromkeys((whole, *dims))]
    return sum(losses[1:], losses[0]) / len(losses)


def _angles(found: Tensor, wanted: Tensor) -> Tensor:
    from torch.nn.functional import cosine_similarity

    return 1 - cosine_similarity(found, wanted, dim=-1)


def _squares(found: Tensor, wanted: Tensor) -> Tensor:
    return (found - wanted).square().mean(dim=-1)
