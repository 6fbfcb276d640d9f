"""What a training with labels minimises: losses of sentence-transformers, and the distance to the vectors to keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.config import DistillConfig
from hub_tools.training.losses import per_example_loss

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

# Losses of sentence-transformers divide cosines by 0.05, which suits models whose cosines of any two texts have a
# deviation of about 0.1 (all-MiniLM-L6-v2: 0.10). Those of e5 have 0.03: there 0.05 would ask for another space.
_TEMPERATURE_BY_SPREAD = 0.5
_COLDEST, _WARMEST = 0.01, 0.05
SPREAD_TEXTS = 1000
# The weight of the anchors falls to this part of what it was.
_LAST = 1 / 8


def temperature_of(vectors: NDArray[Any]) -> float:
    """Return what cosines are divided by in losses, by how much those of a teacher's vectors differ; shape (n, dim)."""
    some = vectors[:SPREAD_TEXTS].astype(np.float32)
    some = some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12)
    spread = float((some @ some.T)[np.triu_indices(len(some), 1)].std()) if len(some) > 1 else 1.0
    return float(np.clip(_TEMPERATURE_BY_SPREAD * spread, _COLDEST, _WARMEST))


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """Texts, behind their prompts, and the vectors that they are to keep, shape (texts, dim)."""

    texts: list[str]
    vectors: NDArray[Any]
    count: int  # of each step
    weight: float  # at the start
    lengths: tuple[int, ...] = ()  # of leading parts that are trained too
    seed: int = 0

    @property
    def is_used(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self.texts and self.count and self.weight)

    def loss(self, model: SentenceTransformer, step: int, steps: int) -> Tensor:
        """Return the weighted distance of a step's texts to their vectors; which these are follows from its number."""
        import torch

        numbers = np.random.default_rng([self.seed, step]).choice(len(self.texts), min(self.count, len(self.texts)))
        features: dict[str, Any] = model.preprocess([self.texts[number] for number in numbers])
        features = {name: value.to(model.device) if hasattr(value, "to") else value for name, value in features.items()}
        found = model(features)["sentence_embedding"]
        goal = torch.from_numpy(self.vectors[numbers].astype(np.float32)).to(found.device)
        config = DistillConfig(matryoshka=self.lengths)
        return self.weight_at(step, steps) * per_example_loss(found, goal, config).mean()

    def weight_at(self, step: int, steps: int) -> float:
        """Return the weight of a step, counted from 0: it falls in a line, at the last step to an eighth."""
        return self.weight * (1 - (1 - _LAST) * step / max(1, steps - 1))


def scored(model: SentenceTransformer, temperature: float, lengths: tuple[int, ...]) -> Any:
    """Return CoSENT: pairs with higher scores should have higher cosines (Huang et al. 2024)."""
    from sentence_transformers.sentence_transformer import losses

    return _over_lengths(model, losses.CoSENTLoss(model, scale=1 / temperature), lengths)


def contrasted(model: SentenceTransformer, temperature: float, lengths: tuple[int, ...]) -> Any:
    """Return the multiple-negatives loss: of all texts of the batch, a query's own should be nearest."""
    from sentence_transformers.sentence_transformer import losses

    return _over_lengths(model, losses.MultipleNegativesRankingLoss(model, scale=1 / temperature), lengths)


def ranked(model: SentenceTransformer, temperature: float, lengths: tuple[int, ...]) -> Any:
    """Return the same loss, and how differently from the teacher the passages of each query are ranked.

    Labels are the teacher's cosines of a query to its passage and its hard negatives, shape (queries, passages). The
    second part is the divergence of the two softmax distributions over these (Lin et al. 2020).
    """
    import torch
    from sentence_transformers.sentence_transformer import losses

    class Ranked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.contrast = losses.MultipleNegativesRankingLoss(model, scale=1 / temperature)
            self.listwise = losses.DistillKLDivLoss(model, temperature=temperature)

        def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
            vectors = [self.model(features)["sentence_embedding"] for features in sentence_features]
            contrast: Tensor = self.contrast.compute_loss_from_embeddings(vectors, labels)
            # DistillKLDivLoss makes it small by the square of the temperature.
            listwise: Tensor = self.listwise.compute_loss_from_embeddings(vectors, labels) / temperature**2
            return contrast + listwise

    return _over_lengths(model, Ranked(), lengths)


def _over_lengths(model: SentenceTransformer, loss: Any, lengths: tuple[int, ...]) -> Any:
    """Return a loss over the whole vectors and their leading parts (Kusupati et al. 2022)."""
    from sentence_transformers.sentence_transformer import losses

    whole = model.get_embedding_dimension() or 0
    parts = [length for length in dict.fromkeys(lengths) if length < whole]
    return losses.MatryoshkaLoss(model, loss, [whole, *parts]) if parts else loss
