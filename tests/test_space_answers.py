"""What the page finds: indices, searches for many visitors at once, similarities and maps."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub_tools.models.encoder import unit
from hub_tools.space import search, similarity
from hub_tools.space.content import SpaceContent
from hub_tools.space.documents import Documents
from hub_tools.space.index import PRECISIONS, Precision, build_index
from hub_tools.space.limits import Deadline, RefusedError
from hub_tools.space.model import ENCODING, Model
from hub_tools.space.service import Service
from hub_tools.space.vector_cache import VectorCache

OWNERS_TEXTS = ["one of the owner's", "another"]


@pytest.fixture
def student(content: SpaceContent) -> Model:
    return content.models["student"]


def small(service: Service) -> Service:
    """The same, without the two corpora that take longest to encode."""
    for name in ("sentences", "languages"):
        del service.corpora[name]
    return service


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Each encoding of documents: name of the model, number of texts."""
    calls = []
    encode = Model.encode

    def count(model: Model, texts: list[str], role: Any, deadline: Deadline, *counted: Any) -> Any:
        if role == "document":
            calls.append((model.name, len(texts)))
        return encode(model, texts, role, deadline, *counted)

    monkeypatch.setattr(Model, "encode", count)
    return calls


# -- search


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [1, 300, 5000])
@pytest.mark.parametrize("dimension", [64, 24])
def test_indices_find_what_is_near(precision: Precision, rows: int, dimension: int) -> None:
    random = np.random.default_rng(0)
    middles = random.standard_normal((200, 64))
    vectors = unit((middles[np.arange(rows) % 200] + 0.5 * random.standard_normal((rows, 64))).astype(np.float32))
    short = unit(vectors[:, :dimension])
    index = build_index(vectors, dimension, precision)
    assert (
        index.stored.nbytes == rows * {"float32": 4 * dimension, "int8": dimension, "binary": dimension // 8}[precision]
    )
    queries = range(min(rows, 20))
    hits = [index.search(vectors[row], 10) for row in queries]
    best = np.argsort(-(short[: len(hits)] @ short.T), axis=1)[:, :10]
    recall = np.mean(
        [len({row for row, _ in own} & set(rows)) / len(rows) for own, rows in zip(hits, best, strict=True)]
    )
    assert recall >= {"float32": 1, "int8": 0.9, "binary": recall_of_bits(short, best)}[precision]
    if precision != "binary":
        assert [own[0][0] for own in hits] == list(queries)
        # A step of int8 is below 0.01 of a number.
        close = 1e-5 if precision == "float32" else 2e-2
        assert [own[0][1] for own in hits] == pytest.approx([1.0] * len(hits), abs=close)
    assert all(own == sorted(own, key=lambda hit: -hit[1]) for own in hits)


def recall_of_bits(vectors: Any, best: Any) -> float:
    """What bits can find: the hundred nearest by differing bits, ranked by the query's numbers against their signs."""
    signs = np.where(vectors > 0, 1.0, -1.0)
    found = 0
    for query, rows in zip(vectors, best, strict=False):
        near = np.argsort(-(signs @ np.where(query > 0, 1.0, -1.0)), kind="stable")[:100]
        ranked = near[np.argsort(-(signs[near] @ query), kind="stable")[:10]]
        found += len(set(ranked.tolist()) & set(rows.tolist()))
    return float(found / best.size - 0.02)  # of equally near ones, another may come first


def test_both_models_answer_a_search(service: Service) -> None:
    passages = service.corpora["passages"]
    answers = service.search(passages.texts[7], passages, dimension=0, precision="float32", top=3)
    assert answers["documents"] == 120
    for own in answers["models"].values():
        assert own["hits"][0]["text"] == passages.texts[7]
        assert own["hits"][0]["score"] == pytest.approx(1, abs=1e-3)
        assert own["agreement"] == 1
    small = service.search("arı", passages, dimension=20, precision="int8", top=3)["models"]["student"]
    assert small["dimension"] == 16
    assert small["index_bytes"] == 120 * 16
    assert small["full_bytes"] == 120 * service.content.models["student"].dimension * 4
    owners = service.search("another", service.corpus("documents", None), dimension=0, precision="float32", top=9)
    assert [hit["text"] for hit in owners["models"]["student"]["hits"]] == ["another", "one of the owner's"]


@pytest.mark.parametrize(("query", "precision"), [("", "float32"), ("a" * 2000, "float32"), ("a", "float99")])
def test_a_search_without_a_query_or_with_an_unknown_precision_is_refused(
    service: Service, query: str, precision: str
) -> None:
    with pytest.raises(RefusedError):
        service.search(query, service.corpora["passages"], dimension=0, precision=precision, top=3)


def test_queries_and_documents_get_their_prompts(student: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student.load(), "prompts", {"query": "zebra zebra zebra ", "document": "", "other": ""})
    plain, asked, kept = (student.encode(["ev"], role, Deadline()) for role in ("text", "query", "document"))
    assert np.allclose(plain, kept, atol=1e-5)
    assert not np.allclose(plain, asked, atol=1e-2)


def test_nothing_of_a_visitor_or_of_the_owner_is_written_to_disk(
    content: SpaceContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    service = small(Service(content, OWNERS_TEXTS))
    service.warm_up()
    visitors = service.corpus("", ["the visitor's own words", "more"])
    service.search("words", visitors, dimension=8, precision="int8", top=1)
    service.search("arı", service.corpora["passages"], dimension=0, precision="float32", top=1)
    service.map(visitors)
    assert list(tmp_path.iterdir()) == []


def test_owners_documents_are_encoded_once_and_outlast_those_of_visitors(
    content: SpaceContent, encoded: list[tuple[str, int]]
) -> None:
    service = small(Service(content, [*OWNERS_TEXTS, "a third"]))
    service.cache = VectorCache(visits=1)
    service.warm_up()
    for texts in (["a", "b"], ["c", "d"]):
        service.map(service.corpus("", texts))
        answers = service.search("x", service.corpora["documents"], dimension=0, precision="float32", top=3)
        assert answers["documents"] == 3
    assert [call for call in encoded if call[1] == 3] == [("teacher", 3), ("student", 3)]


def test_vectors_of_visitors_beyond_the_bound_are_forgotten_and_searches_go_on(
    student: Model, encoded: list[tuple[str, int]]
) -> None:
    cache = VectorCache(visits=3)
    passages = search.sample_documents()["passages"]

    def texts_found(texts: tuple[str, ...]) -> set[str]:
        setting: dict[str, Any] = {"dimension": 16, "precision": "int8", "top": 9, "deadline": Deadline()}
        search.search({"student": student}, cache, passages, "arı", **setting)
        answers = search.search({"student": student}, cache, Documents(texts), "ev", **setting)
        return {hit["text"] for hit in answers["models"]["student"]["hits"]}

    visits = [tuple(f"{number} {word}" for word in ("ev", "araba")) for number in range(8)]
    assert [texts_found(texts) for texts in visits] == [set(texts) for texts in visits]
    assert texts_found(visits[-1]) == set(visits[-1])
    assert len(encoded) == 1 + 8  # the passages once; the last visitor's are remembered
    assert texts_found(visits[0]) == set(visits[0])
    assert len(encoded) == 1 + 8 + 1


def test_many_settings_of_one_corpus_all_answer(service: Service, student: Model) -> None:
    for dimension in range(8, student.dimension + 8, 8):
        for precision in PRECISIONS:
            answers = service.search(
                "arı", service.corpora["passages"], dimension=dimension, precision=precision, top=2
            )
            assert answers["models"]["student"]["dimension"] == dimension


def test_visitors_are_told_that_documents_are_still_being_encoded(student: Model) -> None:
    owners, cache = Documents(("a", "b"), keep=True), VectorCache()
    with owners.encoding, pytest.raises(RefusedError, match="still being prepared"):
        cache.get(student, owners, Deadline(0.1))
    assert cache.get(student, owners, Deadline()).vectors.shape == (2, student.dimension)


class RecordedLock:
    """A free lock that keeps how long it would have been waited for."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []

    def acquire(self, timeout: float) -> bool:
        self.timeouts.append(timeout)
        return True

    def release(self) -> None:
        pass


def test_owners_documents_are_encoded_at_the_start_even_if_a_visitor_asks_first(content: SpaceContent) -> None:
    service, lock = small(Service(content)), RecordedLock()
    service.corpora["documents"] = Documents(tuple(OWNERS_TEXTS), keep=True, encoding=lock)
    service.warm_up()
    service.search("x", service.corpus("documents", None), dimension=0, precision="float32", top=1)
    assert len(lock.timeouts) == 2  # of the two models
    assert min(lock.timeouts) > 3600
    visit = Documents(("a", "b"), encoding=RecordedLock())
    service.cache.get(content.models["student"], visit, Deadline())
    assert visit.encoding.timeouts == pytest.approx([10], abs=1)


def test_encoding_ends_at_the_deadline(student: Model) -> None:
    with pytest.raises(RefusedError, match="took longer than"):
        student.encode(["a"] * 50, "text", Deadline(0))


def test_visitors_who_never_get_their_turn_are_told_that_others_are_asking(student: Model) -> None:
    student.load()
    with ENCODING, pytest.raises(RefusedError, match="Too many requests"):
        student.encode(["a"], "text", Deadline(0.1))


def test_a_query_gets_its_turn_while_many_documents_are_encoded(student: Model) -> None:
    student.load()
    done: list[int] = []
    many = [f"{number} ev araba deniz kitap" for number in range(800)]
    work = threading.Thread(target=student.encode, args=(many, "document", Deadline(), done.append))
    work.start()
    while not done:
        time.sleep(0.001)
    student.encode(["arı"], "query", Deadline())
    assert done[-1] < len(many)
    work.join()


def test_many_visitors_at_once_get_their_own_answers(service: Service) -> None:
    wrong: list[object] = []
    answered: list[int] = []

    def visit(number: int) -> None:
        # Two visitors each bring the same texts.
        texts = [f"{number // 2} {word}" for word in ("ev", "araba", "deniz", "kitap")]
        answers = service.search(texts[2], service.corpus("", texts), dimension=0, precision="float32", top=4)
        if {hit["text"] for hit in answers["models"]["student"]["hits"]} != set(texts):
            wrong.append(answers)
        answered.append(number)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sorted(answered) == list(range(12))


# -- similarity and map


def test_cosines_of_sentences_are_a_symmetric_table(service: Service) -> None:
    answer = service.similarity(["ev", " ", "ev", "deniz"])
    table = np.array(answer["models"]["teacher"])
    assert answer["sentences"] == ["ev", "ev", "deniz"]
    assert table[0, 1] == pytest.approx(1, abs=1e-3)
    assert (table == table.T).all()
    for sentences in (["one"], ["a"] * 13):
        with pytest.raises(RefusedError):
            service.similarity(sentences)


def test_a_map_shows_600_texts_of_a_larger_corpus(service: Service) -> None:
    maps = service.map(service.corpora["sentences"])
    assert 500 <= len(maps["texts"]) <= 600
    assert all(points.shape == (len(maps["texts"]), 2) for points in maps["models"].values())
    assert all(np.abs(points).max() <= 1.5 for points in maps["models"].values())
    assert maps["nearest"].keys() == maps["models"].keys()


def test_maps_are_turned_towards_each_other() -> None:
    points = np.random.default_rng(0).standard_normal((50, 2))
    turn = np.array([[0.0, -1.0], [-1.0, 0.0]])
    assert np.allclose(similarity.turn_towards(points @ turn, points), points)
    line = np.outer(np.linspace(-1, 1, 9), np.ones(5)).astype(np.float32)
    assert np.ptp(similarity.project(line)[:, 0]) == pytest.approx(2)
