"""Measures: as scikit-learn, scipy and the published definitions have them, and how sure they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, f1_score, ndcg_score, v_measure_score

from hub_tools.evaluation import metrics
from hub_tools.evaluation.bootstrap import figures
from hub_tools.evaluation.data import Bitext, Classification, Clustering, Pairs, Retrieval, Similarity
from hub_tools.evaluation.metrics import Measure
from hub_tools.models.encoder import unit
from hub_tools.vectors.agreement import agreement, agreement_across

RNG = np.random.default_rng(0)


def vectors(rows: int, dim: int = 8) -> NDArray[np.float32]:
    return unit(RNG.normal(size=(rows, dim)).astype(np.float32))


def values(measures: list[Measure]) -> dict[str, float]:
    return {measure.metric: measure.value for measure in measures}


def test_similarity_is_correlation() -> None:
    a, b, scores = vectors(60), vectors(60), RNG.integers(0, 5, 60).astype(float)
    data = Similarity(first=["a"] * 60, second=["b"] * 60, scores=scores.tolist())
    cosines = (a * b).sum(axis=1)
    expected = {"spearman": spearmanr(cosines, scores).statistic, "pearson": pearsonr(cosines, scores).statistic}
    assert values(metrics.similarity(data, a, b)) == pytest.approx(expected, abs=1e-6)
    equal = Similarity(first=["a"] * 60, second=["b"] * 60, scores=[3.0] * 60)
    assert all(math.isnan(value) for value in values(metrics.similarity(equal, a, b)).values())


def test_pairs_are_ranked_by_average_precision() -> None:
    a, b, same = vectors(50), vectors(50), (RNG.random(50) < 0.3).tolist()
    data = Pairs(first=["a"] * 50, second=["b"] * 50, same=same)
    expected = average_precision_score(same, (a * b).sum(axis=1))
    assert values(metrics.pairs(data, a, b)) == pytest.approx({"ap": expected}, abs=1e-6)


def test_retrieval_with_several_answers_of_different_worth() -> None:
    queries, passages = vectors(30), vectors(200)
    relevant = [{int(n): float(RNG.integers(1, 4)) for n in RNG.choice(200, 3, replace=False)} for _ in range(30)]
    data = Retrieval(queries=["q"] * 30, passages=["p"] * 200, relevant=relevant)
    found = values(metrics.retrieval(data, queries, passages))
    cosines = queries @ passages.T
    gains = np.zeros((30, 200))
    for row, answers in enumerate(relevant):
        for number, gain in answers.items():
            gains[row, number] = gain
    order = np.argsort(-cosines, axis=1)
    ranks = [
        [list(line).index(number) + 1 for number in answers] for line, answers in zip(order, relevant, strict=True)
    ]
    assert found == pytest.approx(
        {
            "ndcg@10": ndcg_score(gains, cosines, k=10),
            "recall@1": np.mean([sum(rank == 1 for rank in row) / 3 for row in ranks]),
            "mrr@10": np.mean([1 / min(row) if min(row) <= 10 else 0 for row in ranks]),
            "recall@100": np.mean([sum(rank <= 100 for rank in row) / 3 for row in ranks]),
        },
        abs=1e-6,
    )


def test_fewer_passages_than_are_looked_at() -> None:
    passages = vectors(3)
    data = Retrieval(queries=["q"] * 3, passages=["p"] * 3, relevant=[{0: 1.0}, {1: 1.0}, {2: 1.0}])
    assert set(values(metrics.retrieval(data, passages, passages)).values()) == {1.0}


def test_translations_by_cosine_and_by_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_BLOCK", 7 * 40)  # several blocks
    source = vectors(40)
    target = unit(source + 0.5 * vectors(40))
    data = Bitext(source=["s"] * 40, target=["t"] * 40, languages=("en", "tr"))
    found = values(metrics.bitext(data, source, target))
    gold, cosines = np.arange(40), source @ target.T
    near = [np.sort(side, axis=1)[:, -4:].mean(axis=1) for side in (cosines, cosines.T)]
    margins = cosines / ((near[0][:, None] + near[1]) / 2)
    for name, scores in (
        ("en-tr", cosines),
        ("tr-en", cosines.T),
        ("en-tr, margin", margins),
        ("tr-en, margin", margins.T),
    ):
        best = scores.argmax(axis=1)
        assert found[f"accuracy {name}"] == pytest.approx((best == gold).mean())
        assert found[f"f1 {name}"] == pytest.approx(f1_score(gold, best, average="weighted", zero_division=0))


def test_labels_are_learned_and_groups_found() -> None:
    centers = vectors(3, 16)
    labels = RNG.integers(0, 3, 120)
    points = unit(centers[labels] + 0.2 * vectors(120, 16))
    names = [f"class {label}" for label in labels]
    data = Classification(train=["x"] * 60, train_labels=names[:60], test=["x"] * 60, test_labels=names[60:])
    # Vectors that are close to one another are no harder.
    close = unit(points + 20 * vectors(1, 16))
    for side in (points, close):
        assert values(metrics.classification(data, side[:60], side[60:])) == {"accuracy": 1.0, "macro-f1": 1.0}
    # In float32 what is learned depends on the order of the texts, and mteb draws another.
    assert metrics.classifier().fit(points, labels)[-1].coef_.dtype == np.float64
    grouped = Clustering(texts=["x"] * 120, labels=names)
    assert values(metrics.clustering(grouped, points))["v-measure"] == pytest.approx(v_measure_score(names, labels))


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_f1_is_that_of_scikit_learn(average: str) -> None:
    gold, predicted = RNG.integers(0, 6, 80), RNG.integers(0, 9, 80)
    expected = f1_score(gold, predicted, average=average, zero_division=0)
    assert metrics.f1(gold, predicted, average)(np.arange(80)) == pytest.approx(expected)


def test_bounds_hold_the_truth_about_as_often_as_they_say() -> None:
    inside = 0
    for _ in range(100):
        drawn = RNG.random(200) < 0.7
        figure = figures({"model": metrics.mean("accuracy", drawn.astype(float))})["model"]
        assert figure is not None
        inside += figure.low <= 0.7 <= figure.high
    assert 88 <= inside <= 100


def test_differences_are_taken_on_the_same_items() -> None:
    hard = RNG.random(500)
    right = {name: metrics.mean("accuracy", (hard < skill).astype(float)) for name, skill in (("a", 0.6), ("b", 0.63))}
    found = figures(right)
    difference = found["b"].differences["a"]
    assert difference.is_clear  # although the bounds of both figures overlap
    assert found["a"].high > found["b"].low
    assert found["b"].value - found["a"].value == pytest.approx(difference.value, abs=1e-4)
    assert not figures({"a": right["a"], "again": right["a"]})["again"].differences["a"].is_clear


def test_agreement_sees_what_cosines_do_not() -> None:
    teacher = vectors(300, 32)
    same = agreement(teacher, teacher)
    assert (same.ranks, same.neighbours, same.spread) == pytest.approx((1, 1, 1))
    turned = teacher @ np.linalg.qr(RNG.normal(size=(32, 32)))[0].astype(np.float32)
    space = agreement(teacher, turned)
    assert space.cosine < 0.3
    assert (space.ranks, space.neighbours) == pytest.approx((1, 1), abs=0.01)
    collapsed = agreement(teacher, unit(teacher + 30 * vectors(1, 32)))
    assert collapsed.spread < 0.1
    noisy = agreement(teacher, unit(teacher + 0.7 * vectors(300, 32)))
    assert 0.3 < noisy.ranks < 0.95
    assert agreement(teacher, vectors(300, 16)).cosine == 0  # of another size
    few, alike = agreement(teacher[:1], teacher[:1]), agreement(teacher, np.tile(teacher[:1], (300, 1)))
    assert (few.ranks, few.neighbours, alike.ranks) == (0, 0, 0)  # nothing to rank


def test_agreement_across_languages_is_that_of_texts_with_their_translations() -> None:
    sources, targets = vectors(200, 32), vectors(200, 32)
    same = agreement_across((sources, targets), (sources, targets))
    assert (same.cosine, same.ranks, same.neighbours, same.spread) == pytest.approx((1, 1, 1, 1))
    shuffled = agreement_across((sources, targets), (sources, targets[::-1]))
    assert abs(shuffled.ranks) < 0.1
    assert shuffled.cosine == pytest.approx((1 + float((targets * targets[::-1]).sum(axis=1).mean())) / 2, abs=1e-5)
