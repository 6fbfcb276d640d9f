"""The user's files as tasks of mteb, scored by mteb's own code, and results in the files that mteb reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hub_tools.evaluation import data as sets
from hub_tools.evaluation.metrics import classifier
from hub_tools.evaluation.mteb_tasks import AnyTask, MtebTask, language_codes
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import Task


def write_results(subjects: Mapping[str, Subject], tasks: Iterable[AnyTask], folder: Path, *, language: str) -> None:
    """Write MODEL/TASK.json for each model and task, as `mteb.TaskResult.from_disk` reads it.

    `language` is that of the files.
    """
    for task in tasks:
        own = task if isinstance(task, MtebTask) else as_mteb_task(task, language)
        for name, subject in subjects.items():
            file = folder / name.replace("/", "__") / f"{own.task.metadata.name}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            own.result(subject).to_disk(file)


def as_mteb_task(task: Task, language: str) -> MtebTask:
    """Return a task of mteb with the data of a file, on which the models are asked as they are for the table."""
    from mteb.abstasks.task_metadata import TaskMetadata

    data = task.data
    split = "test" if task.split == "as given" or isinstance(data, sets.Classification) else task.split
    base, main_score, dataset, options = _parts(data, split)
    if isinstance(data, sets.Bitext):
        languages: Any = {name: [_tag(code) for code in name.split("-")] for name in dataset}
    else:
        languages = [_tag(language)]
    name = task.name if task.split == "as given" else f"{task.name} {task.split}"
    metadata = TaskMetadata(
        name=re.sub(r"[^\w.]+", "-", name).strip("-"),
        description="Data of a file.",
        type=_TYPES[type(data)],
        category="t2t",
        dataset={"path": "local/file", "revision": task.identity},
        eval_splits=[split],
        eval_langs=languages,
        main_score=main_score,
    )
    # mteb wants a class for each task.
    made = type("FileTask", (base,), {"metadata": metadata, **options})()
    made.dataset, made.data_loaded = dataset, True
    return MtebTask(task=made)


_TYPES: dict[type, Any] = {
    sets.Similarity: "STS",
    sets.Retrieval: "Retrieval",
    sets.Bitext: "BitextMining",
    sets.Pairs: "PairClassification",
    sets.Classification: "Classification",
    sets.Clustering: "Clustering",
}


def _parts(data: sets.Data, split: str) -> tuple[type, str, dict[str, Any], dict[str, Any]]:
    """Return mteb's class for a kind of data, its main score, the data as it wants them, and settings."""
    from datasets import Dataset
    from mteb import abstasks
    from mteb.types import PromptType

    make, queries = Dataset.from_dict, {f"input{side}_prompt_type": PromptType.query for side in (1, 2)}
    match data:
        case sets.Similarity():
            table = make({"sentence1": data.first, "sentence2": data.second, "score": data.scores})
            return abstasks.AbsTaskSTS, "cosine_spearman", {split: table}, queries
        case sets.Pairs():
            table = make({"sentence1": data.first, "sentence2": data.second, "labels": list(map(int, data.same))})
            return abstasks.AbsTaskPairClassification, "cosine_ap", {split: table}, queries
        case sets.Bitext():
            sides = dict(zip(data.languages, (data.source, data.target), strict=True))
            pairs = (data.languages[::-1], data.languages)
            found = {f"{a}-{b}": {split: make({"sentence1": sides[a], "sentence2": sides[b]})} for a, b in pairs}
            return abstasks.AbsTaskBitextMining, "f1", found, {}
        case sets.Clustering():
            table = make({"sentences": data.texts, "labels": data.labels})
            options = {"max_fraction_of_documents_to_embed": None}
            return abstasks.AbsTaskClustering, "v_measure", {split: table}, options
        case sets.Classification():
            return _classification(data, split)
        case sets.Retrieval():
            return _retrieval(data, split)


def _retrieval(data: sets.Retrieval, split: str) -> tuple[type, str, dict[str, Any], dict[str, Any]]:
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval

    queries = [f"q{number}" for number in range(len(data.queries))]
    passages = [f"p{number}" for number in range(len(data.passages))]
    relevant = {
        # mteb's gains are whole numbers.
        query: {passages[number]: max(1, round(gain)) for number, gain in found.items()}
        for query, found in zip(queries, data.relevant, strict=True)
    }
    parts = {
        "queries": Dataset.from_dict({"id": queries, "text": data.queries}),
        "corpus": Dataset.from_dict({"id": passages, "text": data.passages}),
        "relevant_docs": relevant,
        "top_ranked": None,
    }
    return AbsTaskRetrieval, "ndcg_at_10", {"default": {split: parts}}, {}


def _classification(data: sets.Classification, split: str) -> tuple[type, str, dict[str, Any], dict[str, Any]]:
    """Let mteb learn once, from all texts and with the classifier of the table, instead of from a few at a time."""
    from datasets import Dataset, DatasetDict
    from mteb.abstasks import AbsTaskClassification

    labels = sorted({*data.train_labels, *data.test_labels})
    tables = {
        name: Dataset.from_dict({"text": texts, "label": [labels.index(label) for label in given]})
        for name, texts, given in (
            ("train", data.train, data.train_labels),
            (split, data.test, data.test_labels),
        )
    }
    options = {"samples_per_label": len(data.train), "n_experiments": 1, "evaluator_model": classifier()}
    return AbsTaskClassification, "accuracy", DatasetDict(tables), options


def _tag(code: str) -> str:
    """Return a language as mteb writes it, e.g. tur-Latn; `und-Zyyy` where it knows none of that code."""
    from mteb.languages.iso_mappings import _get_iso1_to_iso3, _get_iso3_to_default_script

    known = language_codes(code)
    main = _get_iso1_to_iso3().get(code, code)
    lang = main if main in known else min(known, default="und")
    return f"{lang}-{_get_iso3_to_default_script().get(lang, 'Zyyy')}"
