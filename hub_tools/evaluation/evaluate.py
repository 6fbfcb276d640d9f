"""Stage `evaluate`: teacher, clone and student on the same tasks, in fp32, with the same code.

Nothing measured here decides anything. What does was measured before: the student is chosen by held-out cosine in the
training, whose figures are taken over, and the text to train on by the translations that the teacher finds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.readers import sample_file
from hub_tools.evaluation.tasks import bitext_task, retrieval_task, sample_texts, sts_task, sts_tasks
from hub_tools.models.loading import SAFE, LoadPolicy, describe, load_model
from hub_tools.results import EvaluationResult, EvaluationRow, Search

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MODELS = ("teacher", "clone", "student")
_SAMPLE_LANGUAGE = "tr"
_SAMPLE_SEARCHES = ("q02", "q31", "q47")
_SPEED_TEXTS, _SPEED_ROUNDS, _SPEED_BATCH = 400, 5, 32
# Long articles are cut: a batch of them at a teacher's full length would not fit into the memory of many machines.
_SPEED_CHARACTERS = 1000


def evaluate(
    paths: dict[str, Path],
    corpus: Corpus,
    *,
    target: str,
    sts: list[Path],
    hardware: Hardware,
    training: dict[str, Any],
    own_vectors: bool = True,
    policy: LoadPolicy = SAFE,
) -> EvaluationResult:
    """Measure the models in the folders of teacher, clone and student.

    `sts` are tables with columns sentence1, sentence2, score. `training` has the held-out cosines over the training and
    at its end, as student/training.json. `own_vectors` says that the vectors the student learned are this teacher's.

    Raises:
        UserError: an STS table has no such columns or no numbers.
    """
    tasks = sts_tasks(sts)
    if target == _SAMPLE_LANGUAGE:
        tasks += [sts_task(sample_file("sts.tsv"), "STS sample (tr)", "test"), retrieval_task()]
    if corpus.result.parallel is not None and corpus.result.parallel.heldout:
        tasks.append(bitext_task(corpus, target))
    models = {name: load_model(path, device=hardware.device, policy=policy) for name, path in paths.items()}
    # The student's are the teacher's, and those that the user gave.
    models["teacher"].prompts = dict(models["student"].prompts)
    # Cosines to the vectors that were learned; None where no text was held out.
    before, after = training["history"][0]["cosine"], training["cosine_after"]
    cosines = {"teacher": 1.0 if own_vectors and before is not None else None, "clone": before, "student": after}
    goal = "vector as the teacher's" if own_vectors else "vector as in --embeddings"
    rows = [_row(goal, "heldout", "cosine", training["heldout_texts"], cosines)]
    for task in tasks:
        log.info("  %s, %s", task.name, task.split)
        values = {name: task.measure(model) for name, model in models.items()}
        for metric in values["teacher"]:
            measured = {name: values[name][metric] for name in MODELS}
            row = _row(task.name, task.split, metric, task.n, measured)
            rows.append(replace(row, reason=task.undefined) if None in measured.values() else row)
    if texts := corpus.sample(target):
        rows.append(_speed_row(models, texts))
    described = {name: describe(model) for name, model in models.items()}
    return EvaluationResult(evaluation=rows, searches=_searches(models, target), models=described)


def _row(task: str, split: str, metric: str, n: int | None, values: Mapping[str, float | None]) -> EvaluationRow:
    teacher, clone, student = (None if (v := values[name]) is None else round(v, 4) for name in MODELS)
    return EvaluationRow(task=task, split=split, metric=metric, n=n, teacher=teacher, clone=clone, student=student)


def _speed_row(models: dict[str, SentenceTransformer], texts: list[str]) -> EvaluationRow:
    """Return sentences per second of each model, taken in turns so that a slow moment hits all; medians."""
    texts = [text[:_SPEED_CHARACTERS] for text in texts[:_SPEED_TEXTS]]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(_SPEED_ROUNDS):
        for name, model in models.items():
            start = time.perf_counter()
            model.encode(texts, batch_size=_SPEED_BATCH, show_progress_bar=False)
            seconds[name].append(time.perf_counter() - start)
    values = {name: len(texts) / statistics.median(times) for name, times in seconds.items()}
    return _row("speed on target text", "as given", "sentences/s", len(texts), values)


def _searches(models: dict[str, SentenceTransformer], target: str) -> list[Search]:
    """Return three questions with the passage that teacher and student find, for a person to judge."""
    if target != _SAMPLE_LANGUAGE:
        return []
    passages = list(sample_texts("passages").values())
    questions = [text for key, text in sample_texts("questions").items() if key in _SAMPLE_SEARCHES]
    teacher, student = (nearest(models[name], questions, passages) for name in ("teacher", "student"))
    return [Search(query=q, teacher=t, student=s) for q, t, s in zip(questions, teacher, student, strict=True)]


def nearest(model: SentenceTransformer, queries: list[str], documents: list[str]) -> list[str]:
    """Return the document with the greatest cosine to each query, both behind the prompt that the model has for it."""
    from sentence_transformers.util import cos_sim

    query_vectors = model.encode_query(queries, convert_to_tensor=True, show_progress_bar=False)
    document_vectors = model.encode_document(documents, convert_to_tensor=True, show_progress_bar=False)
    return [documents[number] for number in cos_sim(query_vectors, document_vectors).argmax(dim=1).tolist()]
