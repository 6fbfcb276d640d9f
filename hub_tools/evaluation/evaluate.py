"""Several models on the same tasks, in the same arithmetic and at the same length, by the same code.

Nothing measured here decides anything in a run. What does was measured before: the student is chosen by held-out text
in the training, whose figures are taken over, and the text to train on by the translations that the teacher finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hub_tools.core.logging import bar, log
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.bootstrap import figures
from hub_tools.evaluation.costs import measure_costs, texts_of_tasks
from hub_tools.evaluation.data import Retrieval
from hub_tools.evaluation.example import example_of
from hub_tools.evaluation.metrics import Measure
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.smaller import smaller_vectors
from hub_tools.evaluation.spaces import agreement_rows, plain_row
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import SAMPLE_LANGUAGE, bundled_tasks, heldout_task
from hub_tools.models.loading import describe
from hub_tools.results import EvaluationResult, EvaluationRow, Search

MODELS = ("teacher", "clone", "student")
# The student before it was trained with labels, where it was.
DISTILLED = "distilled"
_ENOUGH_TEXTS = 256  # to measure costs on, with paragraphs made of sentences
_SEARCHES = 3  # bundled questions that a person is shown
# Measures of the vectors that were learned -> how tables name them.
_LEARNED = {"cosine": "cosine", "ranks": "similarities ranked"}


def evaluate_run(
    subjects: Mapping[str, Subject],
    corpus: Corpus,
    tasks: Iterable[AnyTask],
    *,
    targets: tuple[str, ...],
    training: Mapping[str, Any],
    weights: Mapping[str, int],
    lengths: Sequence[int] = (),
    own_vectors: bool = True,
    supervised: Sequence[str] = (),
) -> EvaluationResult:
    """Measure teacher, clone and student, on these tasks and on held-out and bundled ones.

    `training` has what was measured on held-out text over the training and at its end, as student/training.json.
    `weights` are the bytes of the models' weights on disk, `lengths` those of shortened vectors that the student was
    trained for. `own_vectors` says that the vectors the student learned are this teacher's, `supervised` what
    it was trained for with labels afterwards.
    """
    # The student's are the teacher's, and those that the user gave.
    subjects["teacher"].model.prompts = dict(subjects["student"].model.prompts)
    goal = "similarity to the teacher's vectors" if own_vectors else "similarity to the vectors of --embeddings"
    # As far as there is held-out text. What was learned may be better than the teacher's own vectors.
    reached = {name: found for name, found in training["agreement"].items() if found}
    if DISTILLED in subjects and "student" in reached:
        reached[DISTILLED] = reached.pop("student")
    if reached and own_vectors and training["is_own"]:
        reached["teacher"] = dict.fromkeys(_LEARNED, 1.0)
    rows = []
    for key, label in _LEARNED.items():
        values = {name: reached.get(name, {}).get(key) for name in subjects}
        rows.append(plain_row(goal, "heldout", label, training["heldout_texts"], values))
    rows += agreement_rows(subjects, corpus, targets)
    heldout = heldout_task(corpus, targets[0])
    measured = [*tasks, *bundled_tasks(targets), *([heldout] if heldout else [])]
    rows += evaluate(subjects, measured, supervised=supervised)
    return EvaluationResult(
        evaluation=rows,
        searches=_searches(subjects, targets),
        models={name: describe(subject.model) for name, subject in subjects.items()},
        hardware=str(subjects["teacher"].hardware),
        costs=measure_costs(subjects, _texts_for_costs(corpus, targets), targets[0], weights),
        smaller=smaller_vectors(subjects, measured, lengths),
        example=example_of(subjects, targets[0]),
    )


def _texts_for_costs(corpus: Corpus, targets: tuple[str, ...]) -> list[str]:
    """Return texts of the target; those that tokens were learned from, which are cut into fewer, for want of others."""
    bundled = texts_of_tasks(bundled_tasks(targets[:1]))
    texts = list(dict.fromkeys([*corpus.unseen(targets[0], targets[0]), *bundled]))
    return texts if len(texts) >= _ENOUGH_TEXTS else list(dict.fromkeys([*texts, *corpus.sample(targets[0])]))


def evaluate(
    subjects: Mapping[str, Subject], tasks: Iterable[AnyTask], *, supervised: Sequence[str] = ()
) -> list[EvaluationRow]:
    """Return a row for each measure of each task: the models' figures, and how far each is from those before it.

    Rows of tasks that are of the kind of `supervised` ones are marked.
    """
    tasks = list(tasks)
    rows: list[EvaluationRow] = []
    for task, measured in zip(tasks, _measure_all(subjects, tasks), strict=True):
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
                    supervised=task.skill in supervised,
                    prompts=prompts,
                    reason=task.undefined if None in found.values() else None,
                )
            )
    return rows


def _measure_all(subjects: Mapping[str, Subject], tasks: Sequence[AnyTask]) -> Iterator[dict[str, list[Measure]]]:
    """Yield the measures of the models at each task, with one progress bar over the texts of all of them."""
    sizes = [task.size for task in tasks]
    done = 0
    with bar("measuring", sum(sizes) * len(subjects), " texts", is_part=True) as progress:
        for task, size in zip(tasks, sizes, strict=True):
            log.debug("  %s, %s", task.name, task.split)
            measured = {}
            for name, subject in subjects.items():
                progress.set_postfix_str(f"{task.name}, {name}", refresh=False)
                subject.progress = progress
                measured[name] = task.measure(subject)
                subject.progress = None
                # What was kept from an earlier run is not encoded again.
                done += size
                progress.update(int(done - progress.n))
            yield measured


def _searches(subjects: Mapping[str, Subject], targets: tuple[str, ...]) -> list[Search]:
    """Return three questions with the passages that teacher and student find, for a person to judge."""
    if SAMPLE_LANGUAGE not in targets:
        return []
    data = next(task.data for task in bundled_tasks(targets) if isinstance(task.data, Retrieval))
    first, places = {}, {}
    for name in ("teacher", "student"):
        queries = subjects[name].encode(data.queries, "query", "questions")
        passages = subjects[name].encode(data.passages, "document", "passages")
        order = (-queries @ passages.T).argsort(axis=1, kind="stable").tolist()
        first[name] = [data.passages[found[0]] for found in order]
        places[name] = [
            1 + next(place for place, number in enumerate(found) if number in relevant)
            for found, relevant in zip(order, data.relevant, strict=True)
        ]
    return telling(
        [
            Search(
                query=query,
                teacher=first["teacher"][number],
                student=first["student"][number],
                teacher_place=places["teacher"][number],
                student_place=places["student"][number],
            )
            for number, query in enumerate(data.queries)
        ]
    )


def telling(searches: Sequence[Search]) -> list[Search]:
    """Return the first search that the student alone gets right, that both do, and that it gets wrong, or others."""
    right = [search for search in searches if search.student_place == 1]
    groups = (
        [search for search in right if search.teacher_place != 1],
        [search for search in right if search.teacher_place == 1],
        [search for search in searches if search not in right],
    )
    shown = [group[0] for group in groups if group]
    return [*shown, *(search for search in searches if search not in shown)][:_SEARCHES]
