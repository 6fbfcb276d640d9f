"""Stage `finetune`: the distilled student is trained with labels, one skill after the other, and forgets nothing.

Each training begins with the distilled student, and anchors keep the teacher's vectors. The change of its weights is
added to what is there from the skills before, in the share that is best on held-out data (Ilharco et al. 2023); a skill
with which a measure is more than half a point below the distilled student in every share is not taken.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hub_tools.config_finetune import FinetuneConfig, Skill
from hub_tools.core.errors import UserError
from hub_tools.core.files import read_as, replacing, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import log
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.contamination import EvaluationTexts
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning import losses
from hub_tools.finetuning.columns import as_dataset, as_searches, as_similarities
from hub_tools.finetuning.data import Labelled, Parts, split, with_translations
from hub_tools.finetuning.dev import TOLERANCE, Dev
from hub_tools.finetuning.losses import Anchors
from hub_tools.finetuning.searches import Searches, arrange
from hub_tools.finetuning.trainer import train
from hub_tools.models.loading import SAFE, LoadPolicy, load_model, longest_input, save_model
from hub_tools.results import FinetuneResult, FinetuneStep
from hub_tools.training.trainer import check_matryoshka
from hub_tools.vectors.dataset import EmbeddingDataset

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    Weights = dict[str, Tensor]

# Texts of the distillation, and passages of the data, that anchors are drawn from.
_MOST_ANCHORS, _MOST_PASSAGES = 20_000, 4_000
# What was done, beside the model; it is not published.
FINETUNING = "training.json"


def finetune(
    student: Path,
    teacher: Subject,
    corpus: Corpus,
    embeddings: EmbeddingDataset,
    labelled: Sequence[Labelled],
    *,
    out: Path,
    config: FinetuneConfig,
    targets: tuple[str, ...],
    evaluation: EvaluationTexts,
    hardware: Hardware,
    seed: int,
    policy: LoadPolicy = SAFE,
) -> FinetuneResult:
    """Train the model in `student` and save it in `out`, where what an earlier attempt finished is used.

    Texts of `evaluation` are dropped from the data. `teacher` says which passages are near each other if it knows the
    language, as the vectors in `embeddings` say; else the student does.

    Raises:
        UserError: nothing is left of the data, the loss is not finite, or memory does not suffice.
    """
    started = time.monotonic()
    model = load_model(student, device=hardware.device, policy=policy)
    check_matryoshka(config.matryoshka, model.get_embedding_dimension() or 0, "--finetune-matryoshka")
    parts = [split(one, evaluation) for one in labelled]
    teacher.model.prompts = dict(model.prompts)
    knows = embeddings.manifest.get("pair_goal") == "own" or not corpus.has_pairs
    finder = teacher if knows else Subject(lambda: load_model(student, device=hardware.device, policy=policy), hardware)
    searches = {
        part.labelled.name: arrange(part, finder, config.batch_size, seed)
        for part in parts
        if part.labelled.skill == "retrieval"
    }
    anchors = _anchors(embeddings, searches.values() if knows else (), teacher, config, seed)
    dev = Dev([part.dev for part in parts], corpus, targets, teacher if knows else None, hardware)
    distilled = weights_of(model)
    first = dev.measure(model)
    log.info("  the distilled student: %s", described(first))
    training = _Training(model, student, anchors, dev, config, hardware, seed, out)
    current, measures, steps = distilled, first, []
    for number, skill in enumerate(config.order, 1):
        own = [part for part in parts if part.labelled.skill == skill]
        if own:
            models = Models(distilled, current)
            done = training.skill(
                f"{number}-{skill}", skill, own, searches, models=models, first=first, before=measures
            )
            steps.append(done)
            if done.taken:
                current, measures = weights_of(model), done.measures
    save_model(model, out, tokenizer=student, max_seq_length=longest_input(model))
    result = FinetuneResult(
        device=hardware.device,
        precision=hardware.precision,
        data=[part.result for part in parts],
        skills=steps,
        before=first,
        after=measures,
        anchors=len(anchors.texts) if anchors.is_used else 0,
        minutes=round((time.monotonic() - started) / 60, 2),
    )
    write_json(out / FINETUNING, to_plain(result))
    return result


@dataclass(frozen=True)
class Models:
    """Weights that a training begins with, and those that what it changed is added to."""

    student: Weights
    before: Weights

    def sums(self, trained: Weights, shares: Sequence[float]) -> Iterator[tuple[float, Weights]]:
        """Yield each share of the change, and the weights before with that share of it."""
        for share in shares:
            yield share, weighted_sum([self.before, trained, self.student], [1, share, -share])


@dataclass(frozen=True)
class _Training:
    """What the trainings for all skills share."""

    model: SentenceTransformer
    folder: Path  # of the distilled student
    anchors: Anchors
    dev: Dev
    config: FinetuneConfig
    hardware: Hardware
    seed: int
    out: Path

    def skill(
        self,
        name: str,
        skill: Skill,
        parts: Sequence[Parts],
        searches: Mapping[str, Searches],
        *,
        models: Models,
        first: Mapping[str, float],
        before: Mapping[str, float],
    ) -> FinetuneStep:
        """Train the model for a skill and leave it with the weights that are kept; what is done is used again."""
        folder = self.out / name
        result, chosen = folder / "result.json", folder / "chosen.safetensors"
        if result.exists():
            load_weights(self.model, read_weights(chosen))
            return read_as(FinetuneStep, result)
        load_weights(self.model, models.student)
        log.info("  %s, %s examples", skill, f"{sum(len(part.train) for part in parts):,}")
        trained = self._trained(folder, skill, parts, searches)
        # Below the distilled student, not below what is there already, which was chosen as the highest on this data.
        floor = {key: round(value - TOLERANCE, 2) for key, value in first.items()}
        best = _choose(self.model, models.sums(weights_of(self.model), self.config.shares), self.dev, floor)
        is_taken = not best.lowered and _mean(best.measures) > _mean(before)
        load_weights(self.model, best.weights if is_taken else models.before)
        step = FinetuneStep(
            skill=skill,
            steps=trained.steps,
            tokens_per_second=trained.tokens_per_second,
            taken=is_taken,
            share=best.share,
            measures=best.measures,
            lowered=best.lowered,
        )
        log.info("  %s", outcome_of(step, before))
        with replacing(chosen) as partial:
            write_weights(self.model, partial)
        write_json(result, to_plain(step))
        return step

    def _trained(self, folder: Path, skill: Skill, parts: Sequence[Parts], searches: Mapping[str, Searches]) -> Any:
        """Train the model for a skill, or load what an attempt trained that was cut off later."""
        temperature = losses.OF_SCORES if skill == "sts" else losses.temperature_of(self.anchors.vectors)
        lengths = self.config.matryoshka
        subject = Subject(lambda: self.model, self.hardware)
        datasets, of_dataset = {}, {}
        for versions in with_translations(parts) if skill == "sts" else [(part,) for part in parts]:
            name = " with ".join(part.labelled.name for part in versions)
            if skill == "sts":
                datasets[name] = as_similarities(versions, subject)
                of_dataset[name] = losses.scored(self.model, lengths)
            elif skill == "retrieval":
                datasets[name] = as_searches(searches[name], subject)
                of_dataset[name] = losses.searched(self.model, searches[name], temperature, lengths)
            else:
                datasets[name] = as_dataset(versions[0], subject, self.seed)
                of_dataset[name] = losses.contrasted(self.model, temperature, lengths)
        return train(
            self.model,
            datasets,
            of_dataset,
            folder,
            anchors=replace(self.anchors, weight=self.anchors.weight / temperature),
            epochs=self.config.epochs,
            batch_size=self.config.batch_size,
            learning_rate=self.config.learning_rate,
            micro_batch_tokens=self.config.micro_batch_tokens,
            hardware=self.hardware,
            seed=self.seed,
            title=skill,
        )


@dataclass(frozen=True)
class _Sum:
    """The weights with a share of what a training changed, and what they reach."""

    share: float
    weights: Weights
    measures: dict[str, float]
    lowered: dict[str, float]


def _choose(
    model: SentenceTransformer, sums: Iterator[tuple[float, Weights]], dev: Dev, floor: Mapping[str, float]
) -> _Sum:
    """Return the sum with the best mean of all measures among those that lower none too far, or else among all."""
    best: _Sum | None = None
    for share, weights in sums:
        load_weights(model, weights)
        measures = dev.measure(model)
        lowered = {
            key: round(value - floor[key] - TOLERANCE, 2) for key, value in measures.items() if value < floor[key]
        }
        found = _Sum(share, weights, measures, lowered)
        log.debug("  %g of it: %s", share, described(measures))
        if best is None or (not lowered, _mean(measures)) > (not best.lowered, _mean(best.measures)):
            best = found
    if best is None:
        raise UserError("--finetune-shares is empty. Expected shares above 0, such as 0.25,0.5,0.75,1.")
    return best


def _mean(measures: Mapping[str, float]) -> float:
    return float(np.mean(list(measures.values()))) if measures else 0.0


def _anchors(
    embeddings: EmbeddingDataset, searches: Any, teacher: Subject, config: FinetuneConfig, seed: int
) -> Anchors:
    """Return texts with the vectors to keep: those that the student was distilled to, and the teacher's of passages."""
    texts: list[str] = []
    vectors: list[Any] = []
    share = min(1.0, _MOST_ANCHORS / max(1, embeddings.rows("train")))
    random = np.random.default_rng(seed)
    targets = {*(embeddings.manifest.get("targets") or []), "en", "und"}
    for batch in embeddings.batches("train"):
        # Of other languages the student may be able to read little.
        wanted = [not embeddings.manifest.get("targets") or lang in targets for lang in batch.langs]
        chosen = np.flatnonzero((random.random(len(batch.texts)) < share) & np.array(wanted, dtype=bool))
        for number in chosen.tolist():
            side = batch.translations[number] if number % 2 else None
            texts.append(batch.prompts[number] + (side or batch.texts[number]))
        vectors.append(batch.vectors[chosen])
    prompts = {"queries": teacher.prompt("query"), "passages": teacher.prompt("document")}
    for one in searches:
        for kind, prompt in prompts.items():
            found = list(getattr(one, kind).items())
            found = found[:: max(1, len(found) // _MOST_PASSAGES)]
            texts += [prompt + text for text, _ in found]
            vectors += [np.stack([vector for _, vector in found])] if found else []
    goals = np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)
    return Anchors(
        texts=texts,
        vectors=goals,
        count=config.anchors,
        weight=config.anchor_weight,
        lengths=config.matryoshka,
        seed=seed,
    )


def weights_of(model: SentenceTransformer) -> Weights:
    """Return a copy of all weights of a model, by name; tied ones are there once."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def load_weights(model: SentenceTransformer, weights: Weights) -> None:
    """Put weights into a model of the same architecture."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(weights[name])


def weighted_sum(models: Sequence[Weights], shares: Sequence[float]) -> Weights:
    """Return the weighted sum of the weights of models, computed in float64 where the device can."""
    import torch

    found = {}
    for name, first in models[0].items():
        exact = torch.float32 if first.device.type == "mps" else torch.float64
        total = torch.zeros_like(first, dtype=exact)
        for weights, share in zip(models, shares, strict=True):
            total += share * weights[name].to(exact)
        found[name] = total.to(first.dtype)
    return found


def write_weights(model: SentenceTransformer, file: Path) -> None:
    """Write the weights of a model."""
    from safetensors.torch import save_file

    save_file({name: weight.contiguous() for name, weight in weights_of(model).items()}, str(file))


def read_weights(file: Path) -> Weights:
    """Read what `write_weights` wrote."""
    from safetensors.torch import load_file

    found: Weights = load_file(str(file))
    return found


def described(measures: Mapping[str, float]) -> str:
    """Say what a model reaches on held-out data."""
    return "; ".join(f"{name} {value:.1f}" for name, value in measures.items()) or "nothing was held out"


def outcome_of(step: FinetuneStep, before: Mapping[str, float]) -> str:
    """Say whether a training was taken, with which share, and what it changed."""
    changes = ", ".join(f"{name} {step.measures[name] - value:+.1f}" for name, value in before.items())
    if step.taken:
        return f"{step.skill}: {step.share:g} of its change taken; {changes or 'nothing was held out'}"
    lost = ", ".join(f"{name} by {-value:.1f}" for name, value in step.lowered.items())
    reason = f"it lowers {lost}" if lost else "it raises nothing that was held out"
    return f"{step.skill}: not taken, because {reason} at {step.share:g} of its change"
