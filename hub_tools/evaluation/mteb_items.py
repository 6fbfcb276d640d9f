"""The items that mteb's figures are of, so that they can be drawn anew; a figure whose items are not known stays alone.

mteb hands out what it found for each item in two ways: as predictions in a file, and for retrieval as figures of each
query. What is made of them counts only if it gives mteb's own figure over all items.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.evaluation.data import Pairs, Similarity
from hub_tools.evaluation.metrics import Items, Measure, f1, mean, pairs, similarity

# Names of mteb's figures -> those of pytrec_eval, of single queries.
_OF_QUERIES = {"ndcg_at_": "ndcg_cut_", "map_at_": "map_cut_", "recall_at_": "recall_", "precision_at_": "P_"}
# Figures of pairs, by the scores that they are made of; smaller distances are better.
_DISTANCES = ("manhattan_distances", "euclidean_distances")
_EQUAL = 1e-4  # mteb rounds to five digits

# A kind of figure, and what it is made of: a list for each part of the task.
Part = tuple[str, list[Any]]


def listen(task: Any, folder: str) -> Callable[[Any], list[Part]]:
    """Return a function that gives the items of each part of a task, once mteb has scored it.

    `folder` is where mteb writes its predictions. The list is empty where the items are not known.
    """
    if hasattr(task, "k_values"):
        return _listen_to_queries(task, task.metadata.main_score)

    def found(result: Any) -> list[Part]:
        file = Path(folder) / task.prediction_file_name
        make = _MAKERS.get(task.metadata.type)
        if make is None or not file.exists():
            return []
        predictions = json.loads(file.read_text(encoding="utf-8"))
        parts = []
        for split, scores in result.scores.items():
            for score in scores:
                subset = score["hf_subset"]
                data = task.dataset.get(subset, task.dataset)
                given = predictions.get(subset, predictions.get("parallel", {})).get(split)
                parts.append(make(task, data[split], given, subset) if given is not None else None)
        return [] if None in parts else [part for part in parts if part is not None]

    return found


def column(data: Any, name: str) -> list[Any]:
    """Return a column of a task's data; older tasks have all of it in a single row."""
    return list(data[0][name] if len(data) == 1 else data[name])


def measure_of(metric: str, value: float, parts: list[Part], n: int) -> Measure:
    """Return a figure of mteb, the mean over the parts of a task, of which the items are known or not.

    `n` counts the items where they are not.
    """
    own = [_OVER[kind](*map(np.array, columns)) for kind, columns in parts]
    ends = np.cumsum([measure.n for measure in own])

    def over(items: Items) -> float:
        values = []
        for measure, end in zip(own, ends, strict=True):
            start = end - measure.n
            if len(drawn := items[(items >= start) & (items < end)] - start):
                values.append(measure.over(drawn))
        return float(np.mean(values))

    if own and abs(over(np.arange(ends[-1])) - value) < _EQUAL:
        return Measure(metric, int(ends[-1]), over)
    return Measure(metric, n, lambda _: value, has_items=False)


def _listen_to_queries(task: Any, main: str) -> Callable[[Any], list[Part]]:
    parts: list[Part] = []
    specific = task.task_specific_scores
    prefix = next((prefix for prefix in _OF_QUERIES if main.startswith(prefix)), None)
    name = _OF_QUERIES[prefix] + main.removeprefix(prefix) if prefix else ""

    def record(scores: dict[str, dict[str, float]], *args: Any, **options: Any) -> Any:
        if values := [figures[name] for figures in scores.values() if name in figures]:
            parts.append(("mean", [values]))
        return specific(scores, *args, **options)

    task.task_specific_scores = record
    return lambda _: parts


def _similarity_part(task: Any, data: Any, given: Any, _: str) -> Part | None:
    kind = task.metadata.main_score.removeprefix("cosine_")
    return (kind, [list(data["score"]), given["cosine_scores"]]) if kind in ("spearman", "pearson") else None


def _bitext_part(task: Any, data: Any, given: Any, subset: str) -> Part | None:
    found = given.get(subset, given.get("sentence1-sentence2"))
    kind = {"f1": "weighted f1", "accuracy": "accuracy"}.get(task.metadata.main_score)
    if kind is None or found is None or len(found) != len(data):
        return None
    return kind, [list(range(len(found))), [[item["corpus_id"] for item in found]]]


def _pairs_part(task: Any, data: Any, given: Any, _: str) -> Part | None:
    main, labels = task.metadata.main_score, column(data, task.label_column_name)
    if not main.endswith("_ap") or len(labels) != len(given["cosine_scores"]):
        return None
    scores = {name: [-x if name in _DISTANCES else x for x in values] for name, values in given.items()}
    wanted = main.removesuffix("_ap")
    columns = [values for name, values in scores.items() if wanted == "max" or name.startswith(f"{wanted}_")]
    best = max(columns, key=lambda values: _ap(np.array(labels), np.array(values)).value, default=None)
    return None if best is None else ("ap", [labels, best])


def _classification_part(task: Any, data: Any, given: Any, _: str) -> Part | None:
    kind = {"accuracy": "accuracy", "f1": "macro f1"}.get(task.metadata.main_score)
    labels = list(data[task.label_column_name])
    if kind is None or any(len(found) != len(labels) for found in given):
        return None
    number = {label: place for place, label in enumerate(sorted(set(labels) | {x for found in given for x in found}))}
    return kind, [[number[label] for label in labels], [[number[label] for label in found] for found in given]]


# Kind of task -> what makes the items of a part of a task: of its data, mteb's predictions, and its name.
_MAKERS: dict[str, Callable[[Any, Any, Any, str], Part | None]] = {
    "STS": _similarity_part,
    "BitextMining": _bitext_part,
    "PairClassification": _pairs_part,
    "Classification": _classification_part,
}


def _correlation(number: int) -> Callable[..., Measure]:
    def over(scores: NDArray[Any], cosines: NDArray[Any]) -> Measure:
        data = Similarity(first=[], second=[], scores=scores.tolist())
        return similarity(data, *_as_vectors(cosines))[number]

    return over


def _ap(labels: NDArray[Any], scores: NDArray[Any]) -> Measure:
    data = Pairs(first=[], second=[], same=[bool(label) for label in labels])
    return pairs(data, *_as_vectors(scores))[0]


def _as_vectors(cosines: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return vectors with these cosines: they need not be of length one, only their products count."""
    return cosines[:, None], np.ones((len(cosines), 1))


def _mean_of(figure: Callable[[NDArray[Any], NDArray[Any]], Callable[[Items], float]]) -> Callable[..., Measure]:
    """Return the mean of a figure over all times that mteb tried, e.g. with other texts to learn from."""

    def over(gold: NDArray[Any], found: NDArray[Any]) -> Measure:
        tries = [figure(gold, one) for one in found]
        return Measure("", len(gold), lambda items: float(np.mean([value(items) for value in tries])))

    return over


_OVER: dict[str, Callable[..., Measure]] = {
    "spearman": _correlation(0),
    "pearson": _correlation(1),
    "ap": _ap,
    "mean": lambda values: mean("", values),
    "accuracy": _mean_of(lambda gold, found: mean("", (gold == found).astype(float)).over),
    "macro f1": _mean_of(lambda gold, found: f1(gold, found, "macro")),
    "weighted f1": _mean_of(lambda gold, found: f1(gold, found, "weighted")),
}
