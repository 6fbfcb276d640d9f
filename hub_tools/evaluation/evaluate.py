"""Several models on the same tasks, in the same arithmetic and at the same length, by the same code.

Nothing measured here decides anything in a run. What does was measured before: the student is chosen by held-out cosine
in the training, whose figures are taken over, and the text to train on by the translations that the teacher finds.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.agreement import Agreement, agreement
from hub_tools.evaluation.bootstrap import figures
from hub_tools.evaluation.data import Retrieval
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import SAMPLE_LANGUAGE, bundled_tasks, heldout_task
from hub_tools.models.loading import describe
from hub_tools.results import EvaluationResult, EvaluationRow, Figure, Search

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MODELS = ("teacher", "clone", "student")
_SEARCHES = (1, 30, 46)  # bundled questions that a person is shown
_SPEED_TEXTS, _SPEED_ROUNDS, _SPEED_BATCH = 400, 5, 32
# Long articles are cut: a batch of them at a teacher's full length would not fit into the memory of many machines.
_SPEED_CHARACTERS = 1000
# Held-out texts whose similarities are compared.
_COMPARED = 2000
_FEWEST_COMPARED = 20


def evaluate_run(
    subjects: Mapping[str, Subject],
    corpus: Corpus,
    tasks: Iterable[AnyTask],
    *,
    target: str,
    training: Mapping[str, Any],
    own_vectors: bool = True,
) -> EvaluationResult:
    """Measure teacher, clone and student, on these tasks and on held-out and bundled ones.

    `training` has the held-out cosines over the training and at its end, as student/training.json. `own_vectors` says
    that the vectors the student learned are this teacher's.
    """
    # The student's are the teacher's, and those that the user gave.
    subjects["teacher"].model.prompts = dict(subjects["student"].model.prompts)
    # Cosines to the vectors that were learned; None where no text was held out.
    before, after = training["history"][0]["cosine"], training["cosine_after"]
    cosines = {"teacher": 1.0 if own_vectors and before is not None else None, "clone": before, "student": after}
    goal = "vector as the teacher's" if own_vectors else "vector as in --embeddings"
    rows = [_plain_row(goal, "heldout", "cosine", training["heldout_texts"], cosines)]
    rows += agreement_rows(subjects, corpus, target)
    more = [*(bundled_tasks() if target == SAMPLE_LANGUAGE else ()), heldout_task(corpus, target)]
    rows += evaluate(subjects, [*tasks, *filter(None, more)])
    if texts := corpus.sample(target):
        rows.append(_speed_row({name: subject.model for name, subject in subjects.items()}, texts))
    described = {name: describe(subject.model) for name, subject in subjects.items()}
    return EvaluationResult(evaluation=rows, searches=_searches(subjects, target), models=described)


def evaluate(subjects: Mapping[str, Subject], tasks: Iterable[AnyTask]) -> list[EvaluationRow]:
    """Return a row for each measure of each task: the models' figures, and how far each is from those before it."""
    rows: list[EvaluationRow] = []
    for task in tasks:
        log.info("  %s, %s", task.name, task.split)
        measured = {name: task.measure(subject) for name, subject in subjects.items()}
        prompts = {name: task.prompts(subject) for name, subject in subjects.items()}
        for number, measure in enumerate(next(iter(measured.values()))):
            found = figures({name: measures[number] for name, measures in measured.items()})
            rows.append(
                EvaluationRow(
                    task=task.name,
                    split=task.split,
                    metric=measure.metric,
                    n=measure.n,
                    models=found,
                    is_main=number == 0,
                    prompts=prompts,
                    reason=task.undefined if None in found.values() else None,
                )
            )
    return rows


def agreement_rows(subjects: Mapping[str, Subject], corpus: Corpus, target: str) -> list[EvaluationRow]:
    """Return how much of the teacher's space is in the others', on held-out text of the target language."""
    texts = list(corpus.texts(target, "heldout", _COMPARED)) if target in corpus.languages else []
    if len(texts) < _FEWEST_COMPARED:
        return []
    vectors = {name: subject.encode(texts, "query", "held-out text") for name, subject in subjects.items()}
    teacher = next(iter(vectors.values()))
    found: dict[str, Agreement] = {name: agreement(teacher, student) for name, student in vectors.items()}
    names = {"ranks": "similarities ranked", "neighbours": "ten nearest found", "spread": "spread of similarities"}
    return [
        _plain_row(
            "space as the teacher's", "heldout", label, len(texts), {n: getattr(a, key) for n, a in found.items()}
        )
        for key, label in names.items()
    ]


def _plain_row(task: str, split: str, metric: str, n: int | None, values: Mapping[str, float | None]) -> EvaluationRow:
    """Return a row of numbers for which nothing is drawn anew."""
    shown = {
        name: None if value is None or not math.isfinite(value) else Figure(value=round(value, 4))
        for name, value in values.items()
    }
    return EvaluationRow(task=task, split=split, metric=metric, n=n, models=shown)


def _speed_row(models: Mapping[str, SentenceTransformer], texts: list[str]) -> EvaluationRow:
    """Return sentences per second of each model, taken in turns so that a slow moment hits all; medians."""
    texts = [text[:_SPEED_CHARACTERS] for text in texts[:_SPEED_TEXTS]]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(_SPEED_ROUNDS):
        for name, model in models.items():
            start = time.perf_counter()
            model.encode(texts, batch_size=_SPEED_BATCH, show_progress_bar=False)
            seconds[name].append(time.perf_counter() - start)
    values = {name: len(texts) / statistics.median(times) for name, times in seconds.items()}
    return _plain_row("speed on target text", "as given", "sentences/s", len(texts), values)


def _searches(subjects: Mapping[str, Subject], target: str) -> list[Search]:
    """Return three questions with the passage that teacher and student find, for a person to judge."""
    if target != SAMPLE_LANGUAGE:
        return []
    data = next(task.data for task in bundled_tasks() if isinstance(task.data, Retrieval))
    questions = [data.queries[number] for number in _SEARCHES]
    found = {}
    for name in ("teacher", "student"):
        queries = subjects[name].encode(questions, "query", "questions")
        passages = subjects[name].encode(data.passages, "document", "passages")
        found[name] = [data.passages[number] for number in (queries @ passages.T).argmax(axis=1).tolist()]
    both = zip(questions, found["teacher"], found["student"], strict=True)
    return [Search(query=query, teacher=teacher, student=student) for query, teacher, student in both]
