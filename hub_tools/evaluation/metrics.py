"""How good vectors are at a task: each measure as a function of the items that count, so that they can be drawn anew.

Vectors are float32 of shape (texts, dim), their rows of length one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hub_tools.evaluation.data import Bitext, Classification, Clustering, Pairs, Retrieval, Similarity

Vectors = NDArray[np.float32]
Items = NDArray[np.intp]
# Cosines that are held at once.
_BLOCK = 2**25
_DEEPEST = 100  # passages that are looked at of each query
_AT = 10  # those of them that nDCG and MRR look at
_NEIGHBOURS = 4  # over which the margin is taken
_SEED = 42


class Measure(NamedTuple):
    """A figure of a model at a task."""

    metric: str
    n: int  # items: pairs, queries, texts
    over: Callable[[Items], float]  # its value over some of the items, by number, each as often as it is named
    has_items: bool = True  # False where only the value over all items is known

    @property
    def value(self) -> float:
        """Its value over all items; NaN where it is not defined."""
        return self.over(np.arange(self.n))


def similarity(data: Similarity, first: Vectors, second: Vectors) -> list[Measure]:
    """Return the correlations of cosines with people's scores, Spearman's and Pearson's."""
    cosines, scores = _cosines(first, second), np.array(data.scores)
    ranked = _ranks_among(cosines), _ranks_among(scores)

    def pearson(items: Items) -> float:
        return _correlation(cosines[items], scores[items])

    def spearman(items: Items) -> float:
        return _correlation(*(ranks(items) for ranks in ranked))

    return [Measure("spearman", len(scores), spearman), Measure("pearson", len(scores), pearson)]


def pairs(data: Pairs, first: Vectors, second: Vectors) -> list[Measure]:
    """Return the average precision of cosines."""
    from sklearn.metrics import average_precision_score

    cosines, same = _cosines(first, second), np.array(data.same)

    def precision(items: Items) -> float:
        return float(average_precision_score(same[items], cosines[items])) if same[items].any() else float("nan")

    return [Measure("ap", len(same), precision)]


def retrieval(data: Retrieval, queries: Vectors, passages: Vectors) -> list[Measure]:
    """Return nDCG@10, recall@1, MRR@10 and recall@100.

    Recall is the share of a query's passages that are found; with a single one it is 0 or 1.
    """
    discounts = 1 / np.log2(np.arange(2, _AT + 2))
    rows = []
    for found, relevant in zip(_nearest(queries, passages, _DEEPEST), data.relevant, strict=True):
        gains = np.array([relevant.get(int(number), 0.0) for number in found])
        ideal = np.sort(list(relevant.values()))[::-1][:_AT]
        hits = np.flatnonzero(gains[:_AT])
        rows.append(
            (
                (gains[:_AT] * discounts[: len(gains[:_AT])]).sum() / (ideal * discounts[: len(ideal)]).sum(),
                (gains[:1] > 0).sum() / len(relevant),
                1 / (hits[0] + 1) if len(hits) else 0.0,
                (gains > 0).sum() / len(relevant),
            )
        )
    names = (f"ndcg@{_AT}", "recall@1", f"mrr@{_AT}", f"recall@{_DEEPEST}")
    return [mean(name, np.array(values)) for name, values in zip(names, zip(*rows, strict=True), strict=True)]


def bitext(data: Bitext, source: Vectors, target: Vectors) -> list[Measure]:
    """Return how many translations are nearest to their sentence, and F1, in both directions.

    Once by the cosine, once by the ratio margin of Artetxe and Schwenk (2019, arXiv:1811.01136): the cosine by the mean
    of those to the four nearest sentences of both sides.
    """
    languages, measures = data.languages, []
    for margin in (False, True):
        for (a, b), (x, y) in zip((languages[::-1], languages), ((target, source), (source, target)), strict=True):
            found = _translations(x, y, margin=margin)
            name = f"{a}-{b}{', margin' if margin else ''}"
            gold = np.arange(len(found))
            measures.append(mean(f"accuracy {name}", (found == gold).astype(float)))
            measures.append(Measure(f"f1 {name}", len(found), f1(gold, found, "weighted")))
    return measures


def classification(data: Classification, train: Vectors, test: Vectors) -> list[Measure]:
    """Return accuracy and macro-F1 of a logistic regression on vectors that are left as they are."""
    labels = sorted({*data.train_labels, *data.test_labels})
    number = {label: place for place, label in enumerate(labels)}
    gold = np.array([number[label] for label in data.test_labels])
    predicted = classifier().fit(train, [number[label] for label in data.train_labels]).predict(test)
    return [
        mean("accuracy", (predicted == gold).astype(float)),
        Measure("macro-f1", len(gold), f1(gold, predicted, "macro")),
    ]


def classifier() -> Any:
    """Return the logistic regression, which has not learned anything.

    It scales each number of the vectors to mean 0 and deviation 1 before: the vectors of many models are so close to
    one another that the regression's own penalty would hold it back. In float64, because in float32 what it learns
    depends on the order of the texts.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    double = FunctionTransformer(partial(np.asarray, dtype=np.float64))
    return make_pipeline(double, StandardScaler(), LogisticRegression(max_iter=1000, random_state=_SEED))


def clustering(data: Clustering, vectors: Vectors) -> list[Measure]:
    """Return the V-measure of as many groups as there are, found by k-means."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import v_measure_score

    labels = sorted(set(data.labels))
    gold = np.array([labels.index(label) for label in data.labels])
    found = KMeans(len(labels), n_init=10, random_state=_SEED).fit_predict(vectors)
    return [Measure("v-measure", len(gold), lambda items: float(v_measure_score(gold[items], found[items])))]


def mean(metric: str, values: NDArray[np.float64]) -> Measure:
    """Return the mean of a value of each item."""
    return Measure(metric, len(values), lambda items: float(values[items].mean()))


def _cosines(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = np.einsum("ij,ij->i", first, second, dtype=np.float64)
    return cosines


def _ranks_among(values: NDArray[np.float64]) -> Callable[[Items], NDArray[np.float64]]:
    """Return a function of items that gives their ranks among each other, equals their mean; it sorts only once."""
    unique, place = np.unique(values, return_inverse=True)

    def ranks(items: Items) -> NDArray[np.float64]:
        places = place[items]
        counts = np.bincount(places, minlength=len(unique))
        means: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
        return means[places]

    return ranks


def _correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    a, b = first - first.mean(), second - second.mean()
    lengths = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / lengths if lengths else float("nan")


def f1(gold: NDArray[Any], predicted: NDArray[Any], average: str) -> Callable[[Items], float]:
    """Return F1 over the classes that occur, `macro` or `weighted` by how often, as scikit-learn defines them."""

    def over(items: Items) -> float:
        size = int(max(gold.max(), predicted.max())) + 1
        right = np.bincount(gold[items][gold[items] == predicted[items]], minlength=size)
        wanted, given = (np.bincount(values[items], minlength=size) for values in (gold, predicted))
        occurs = wanted + given > 0
        f1 = 2 * right[occurs] / (wanted + given)[occurs]
        weights = wanted[occurs] if average == "weighted" else np.ones(len(f1))
        return float((f1 * weights).sum() / weights.sum())

    return over


def _nearest(queries: Vectors, passages: Vectors, count: int) -> Iterator[Items]:
    """Yield the numbers of the nearest passages of each query, the nearest first; of equals the first."""
    for block in _blocks(queries, passages):
        cosines = block @ passages.T
        if count < len(passages):
            chosen = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
            chosen.sort(axis=1)
        else:
            chosen = np.broadcast_to(np.arange(len(passages)), cosines.shape)
        order = np.argsort(-np.take_along_axis(cosines, chosen, axis=1), axis=1, kind="stable")
        yield from np.take_along_axis(chosen, order, axis=1)


def _translations(source: Vectors, target: Vectors, *, margin: bool) -> Items:
    """Return the number of the best target sentence of each source sentence."""
    if margin:
        near_source, near_target = _mean_to_nearest(source, target), _mean_to_nearest(target, source)
    best, start = [], 0
    for block in _blocks(source, target):
        scores = block @ target.T
        if margin:
            scores /= (near_source[start : start + len(block), None] + near_target) / 2
        best.append(scores.argmax(axis=1))
        start += len(block)
    return np.concatenate(best)


def _mean_to_nearest(source: Vectors, target: Vectors) -> Vectors:
    """Return the mean cosine of each sentence to the nearest ones of the other side."""
    count = min(_NEIGHBOURS, len(target))
    means = [
        np.partition(block @ target.T, -count, axis=1)[:, -count:].mean(axis=1) for block in _blocks(source, target)
    ]
    return np.concatenate(means)


def _blocks(rows: Vectors, others: Vectors) -> Iterator[Vectors]:
    """Yield rows, as many at a time as have cosines to all others in memory."""
    size = max(1, _BLOCK // len(others))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
