"""What a training with labels minimises: losses of sentence-transformers, and the distance to the vectors to keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.config import DistillConfig
from hub_tools.finetuning.searches import Searches
from hub_tools.training.losses import per_example_loss

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

# Losses of sentence-transformers divide cosines by 0.05. For multiple negatives that suits models whose cosines of any
# two texts have a deviation of about 0.1 (all-MiniLM-L6-v2: 0.10); e5, where they have 0.03, it would ask for another
# space. For scores it suits both: colder, the few pairs of a batch that are ranked worst are all that is learned from.
_TEMPERATURE_BY_SPREAD = 0.5
_COLDEST, _WARMEST = 0.01, 0.05
OF_SCORES = _WARMEST
SPREAD_TEXTS = 1000
# The weight of translations beside scores, and of the finder's ranking beside the answers.
_TRANSLATIONS, _LISTWISE = 0.05, 0.5
# A score, of cosines divided by the temperature, that is never the highest.
_NEVER = -1e4
# The weight of the anchors falls to this part of what it was.
_LAST = 1 / 8


def temperature_of(vectors: NDArray[Any]) -> float:
    """Return what a search divides cosines by, after how much those of a teacher's vectors differ; shape (n, dim)."""
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
    weight: float  # at the start, beside losses of cosines that are not divided by a temperature
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


def scored(model: SentenceTransformer, lengths: tuple[int, ...]) -> Any:
    """Return CoSENT: pairs with higher scores should have higher cosines (Huang et al. 2024).

    Four texts are a pair and its translation. Then that holds in each language, and each sentence should be nearer to
    its translation than to the other sentences of the batch, but for the one that it is compared with (Feng et al.
    2022). Without that translations come apart (docs/results.md).
    """
    import torch
    from sentence_transformers.sentence_transformer import losses

    class Scored(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.cosent = losses.CoSENTLoss(model, scale=1 / OF_SCORES)

        def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
            vectors = [self.model(features)["sentence_embedding"] for features in sentence_features]
            if not vectors[2:]:
                found: Tensor = self.cosent.compute_loss_from_embeddings(vectors, labels)
                return found
            one, two, own_one, own_two = vectors
            similarity = sum(
                self.cosent.compute_loss_from_embeddings(pair, labels) for pair in (vectors[:2], vectors[2:])
            )
            return similarity / 2 + _TRANSLATIONS * self._apart(torch.cat([one, two]), torch.cat([own_one, own_two]))

        def _apart(self, sentences: Tensor, translations: Tensor) -> Tensor:
            normalize = torch.nn.functional.normalize
            cosines = normalize(sentences, dim=-1) @ normalize(translations, dim=-1).T
            places = torch.arange(len(cosines), device=cosines.device)
            cosines[places, places.roll(len(cosines) // 2)] = -1.0  # the sentence that it is compared with
            return _both_ways(cosines / OF_SCORES)

    return _over_lengths(model, Scored(), lengths)


def _both_ways(scores: Tensor) -> Tensor:
    """Return how far the diagonal is from being the highest of its rows and columns."""
    import torch

    places = torch.arange(len(scores), device=scores.device)
    loss = torch.nn.functional.cross_entropy
    return (loss(scores, places) + loss(scores.T, places)) / 2


def contrasted(model: SentenceTransformer, temperature: float, lengths: tuple[int, ...]) -> Any:
    """Return the multiple-negatives loss: of all texts of the batch, a query's own should be nearest."""
    from sentence_transformers.sentence_transformer import losses

    return _over_lengths(model, losses.MultipleNegativesRankingLoss(model, scale=1 / temperature), lengths)


def searched(model: SentenceTransformer, searches: Searches, temperature: float, lengths: tuple[int, ...]) -> Any:
    """Return the multiple-negatives loss over the rows of a batch, and how differently from the finder they are ranked.

    Labels are the numbers of the rows. Passages that answer a query too are left out; the second part is the divergence
    of the two softmax distributions over the others (Lin et al. 2020).
    """
    import torch

    class Searched(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
            vectors = [self.model(features)["sentence_embedding"] for features in sentence_features]
            vectors = [torch.nn.functional.normalize(found, dim=-1) for found in vectors]
            numbers = labels.tolist()
            width = len(searches.rows[numbers[0]].queries)
            scores = torch.cat(vectors[:width]) @ torch.cat(vectors[width:]).T / temperature
            cosines, answering = searches.cosines(numbers)
            left_out = torch.from_numpy(answering).to(scores.device)
            scores = scores.masked_fill(left_out, _NEVER)
            goals = (torch.from_numpy(cosines).to(scores.device) / temperature).masked_fill(left_out, _NEVER)
            own = torch.arange(len(scores), device=scores.device) % len(numbers)
            contrast = torch.nn.functional.cross_entropy(scores, own)
            listwise = torch.nn.functional.kl_div(
                scores.log_softmax(dim=1), goals.softmax(dim=1), reduction="batchmean"
            )
            return contrast + _LISTWISE * listwise

    return _over_lengths(model, Searched(), lengths)


def _over_lengths(model: SentenceTransformer, loss: Any, lengths: tuple[int, ...]) -> Any:
    """Return a loss over the whole vectors and their leading parts (Kusupati et al. 2022)."""
    from sentence_transformers.sentence_transformer import losses

    whole = model.get_embedding_dimension() or 0
    parts = [length for length in dict.fromkeys(lengths) if length < whole]
    return losses.MatryoshkaLoss(model, loss, [whole, *parts]) if parts else loss
