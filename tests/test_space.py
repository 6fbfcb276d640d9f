"""The Space without a browser: tokens, documents, indices, limits, and the files of its repo."""

from __future__ import annotations

import json
import shutil
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.hub.space_repo import APP, demo_files
from hub_tools.models.encoder import unit
from hub_tools.reporting.report import FullReport
from hub_tools.space import documents, limits, results, sandbox, search, similarity, tokenize
from hub_tools.space.content import SpaceContent, find_model
from hub_tools.space.documents import Documents
from hub_tools.space.index import PRECISIONS, Precision, build_index
from hub_tools.space.limits import Deadline, RefusedError
from hub_tools.space.model import ENCODING, Model
from hub_tools.space.serve import check_installed
from hub_tools.space.service import Service
from hub_tools.space.vector_cache import VectorCache
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.commands import hub_distill, refused
from tests.fake_hub import FakeHub

ROOT = Path(__file__).parents[1]

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


# -- tokens


@pytest.mark.parametrize(
    ("token", "byte_level", "expected"),
    [
        ("▁ev", False, "␣ev"),
        ("##ler", False, "##ler"),
        ("<0xE2>", False, "⟨E2⟩"),
        ("Ġev", True, "␣ev"),
        ("Ã§", True, "ç"),
        ("Ã", True, "⟨C3⟩"),
        ("Ċ", True, "⏎"),
        ("a\u200bb", False, "a⟨U+200B⟩b"),
    ],
)
def test_spaces_and_bytes_are_visible(token: str, byte_level: bool, expected: str) -> None:
    assert tokenize.visible(token, byte_level=byte_level) == expected


def test_tokens_of_two_tokenizers_are_counted_and_compared(service: Service, minilm_files: TokenizerSpec) -> None:
    text = "Kütüphane açık. Library!"
    comparison = service.compare(text, "teacher", "student")
    first, second = comparison["first"], comparison["second"]
    assert [t["token"] for t in first["tokens"]] == minilm_files.load().encode(text, add_special_tokens=False).tokens
    assert first["count"] > second["count"]
    assert comparison["ratio"] == round(second["count"] / first["count"], 4)
    assert second["per_word"] == round(second["count"] / 3, 4)
    old, new = (service.content.models[name].tokenizer.vocabulary for name in ("teacher", "student"))
    assert [t["shared"] for t in second["tokens"]] == [t["token"] in old for t in second["tokens"]]
    counts = (comparison["both"], comparison["only_first"], comparison["only_second"])
    assert counts == (len(old & new), len(old - new), len(new - old))
    assert all(text[t["start"] : t["end"]] for t in first["tokens"])


def test_texts_that_are_empty_or_too_long_are_not_tokenized(service: Service) -> None:
    for text, key in ((" \n", "error_empty"), ("a" * (limits.TEXT + 1), "error_long")):
        with pytest.raises(RefusedError) as refusal:
            service.compare(text, "teacher", "student")
        assert refusal.value.key == key
    assert service.compare("\ud800 a", "teacher", "student")["first"]["count"] > 0


# -- what comes from outside


@pytest.mark.parametrize(
    "repo",
    ["/etc/passwd", "../secret", "a/../b", "~/x", "a/b/c", "", "a b", ".", "C:\\x", "text", "json", "tests", "a" * 200],
)
def test_ids_are_never_paths(repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(RefusedError, match="is no id of the Hub"):
        sandbox.check_id(repo)


def test_public_tokenizers_and_datasets_are_read_from_the_hub_and_private_ones_are_not(
    *,
    hub: FakeHub,
    online: dict[str, str],
    service: Service,
    minilm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in online.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "tok").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "tok" / name).write_bytes((minilm / name).read_bytes())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/tokenizer.json").write_text("{}")
    (tmp_path / "bad/tokenizer_config.json").write_text("{}")
    hub.add("model", "bob/tok", tmp_path / "tok")
    hub.add("model", "bob/bad", tmp_path / "bad")
    hub.add("model", "ada/secret", tmp_path / "tok", private=True)
    expected = service.compare("Merhaba dünya", "teacher", "student")
    assert service.compare("Merhaba dünya", "bob/tok", "student") == expected
    for repo, key in (("bob/bad", "error_tokenizer"), ("bob/no", "error_hub_tokenizer")):
        with pytest.raises(RefusedError) as refusal:
            service.compare("a", repo, "student")
        assert refusal.value.key == key
        assert repo in str(refusal.value)
        assert str(service.content.models["student"].folder) not in str(refusal.value)
    # The owner's token is there, and visitors cannot use it.
    with pytest.raises(RefusedError, match="private and gated"):
        service.compare("a", "ada/secret", "student")
    assert [r for r in hub.requests if r.token] == []
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text("id,text\n1,bir metin\n2,iki metin\n")
    hub.add("dataset", "bob/texts", tmp_path / "data")
    assert documents.from_hub("bob/texts") == ["bir metin", "iki metin"]
    with pytest.raises(RefusedError, match="no such column"):
        documents.from_hub("bob/texts", column="nothing")


def pdf(stream: bytes) -> bytes:
    """A PDF of one page with a packed stream of text."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return (
        out
        + b"xref\n0 6\n0000000000 65535 f \n"
        + table
        + b"trailer\n<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(out)
    )


def test_pdfs_are_read_and_bombs_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(pdf(zlib.compress(b"BT /F 9 Tf (Hello from a page.) Tj ET")))
    assert documents.from_file(file) == ["Hello from a page."]
    monkeypatch.setattr(sandbox, "SECONDS", 15)
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(b" " * 2**24) for _ in range(64)) + packer.flush()
    file.write_bytes(pdf(bomb))
    assert file.stat().st_size < limits.UPLOAD
    with pytest.raises(RefusedError):
        documents.from_file(file)
    file.write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(RefusedError, match="cannot be read"):
        documents.from_file(file)


def test_files_in_other_encodings_are_read_and_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    text = "Işık söndü.\nÇok güzel."
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1254"):
        file = tmp_path / f"{encoding}.txt"
        file.write_bytes(text.encode(encoding))
        assert documents.from_file(file) == text.split("\n")
    (tmp_path / "x.txt").write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(RefusedError, match="zero bytes"):
        documents.from_file(tmp_path / "x.txt")
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(RefusedError, match="kinds"):
        documents.from_file(tmp_path / "x.zip")
    (tmp_path / "x.csv").write_text("no;content\n1;bir, iki\n2;üç\n")
    assert documents.from_file(tmp_path / "x.csv") == ["bir, iki", "üç"]
    (tmp_path / "x.csv").write_text("no,sentence\n1,bir\n")
    assert documents.from_file(tmp_path / "x.csv") == ["bir"]
    (tmp_path / "x.csv").write_bytes(b"no,text\r1,bir\r2,iki\r")  # line ends of old Macs
    assert documents.from_file(tmp_path / "x.csv") == ["bir", "iki"]
    for table, expected in (
        ("bir cümle\niki cümle\n", ["bir cümle", "iki cümle"]),
        ("id,başlık,metin\n1,Arılar,Arılar bal yapar.\n2,Tren,Tren gecikti.\n", ["Arılar bal yapar.", "Tren gecikti."]),
        ("başlık,metin\nArı,Arılar kovanda yaz boyunca bal yapar.\n", ["Arılar kovanda yaz boyunca bal yapar."]),
        ("Arılar bal yapar,evet\nTren gecikti,hayır\n", ["Arılar bal yapar", "Tren gecikti"]),
    ):
        (tmp_path / "x.csv").write_text(table)
        assert documents.from_file(tmp_path / "x.csv") == expected
    (tmp_path / "y.csv").write_text('a,"' + "x" * 200_000 + '"\n')
    with pytest.raises(RefusedError, match="too long"):
        documents.from_file(tmp_path / "y.csv")


def test_pasted_text_is_bounded() -> None:
    assert documents.from_paste("a\n\n b  c \r\n\na\n") == ["a", "b c"]
    many = documents.from_paste("\n".join(f"text {i}" for i in range(5000)))
    assert len(many) == limits.DOCUMENTS
    assert len(documents.from_paste("x " * limits.CORPUS)[0]) <= limits.DOCUMENT
    assert sum(map(len, limits.limit_texts([f"{i} " + "y" * 5000 for i in range(900)]))) <= limits.CORPUS
    with pytest.raises(RefusedError):
        documents.from_paste("z" * (2 * limits.CORPUS + 1))


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
    with ENCODING, pytest.raises(RefusedError, match="Too many others"):
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


# -- limits of the calls


def test_all_ways_in_share_the_limits(service: Service) -> None:
    from hub_tools.space.app import build

    page, _ = build(service)
    limits_by_group: dict[str, set[object]] = {}
    groups: dict[str, str] = {}
    for function in page.fns.values():
        limits_by_group.setdefault(function.concurrency_id, set()).add(function.concurrency_limit)
        if function.api_visibility == "public":
            groups[str(function.api_name)] = function.concurrency_id
    assert groups.pop("compare_tokenizers") == groups.pop("read_dataset") == "sandboxed"
    assert {groups.pop(name) for name in ("search_documents", "compare_sentences", "map_corpus")} == {"models"}
    assert limits_by_group["sandboxed"] == {4}
    assert limits_by_group["models"] == {8}
    # The others need neither a model nor a process, and are limited too.
    assert set(groups) == {"read_results", "write_command"}
    assert not any(None in found for found in limits_by_group.values())


# -- results and the repo of a Space


def test_the_command_is_safe_to_paste() -> None:
    assert results.command("a/b@v1", "tr", 32000) == "hub-distill --teacher a/b@v1 --lang tr --vocab-size 32000"
    for teacher, language, size in (
        ("a/b;rm", "tr", 9000),
        ("a/b@$(id)", "tr", 9000),
        ("a/b", "tr", 3),
        ("a/b", "qq", 9000),
    ):
        with pytest.raises(Exception, match=r"no id|Expected|Unknown language"):
            results.command(teacher, language, size)


def test_the_report_that_visitors_read_names_no_folder(content: SpaceContent, finished: tuple[RunConfig, Any]) -> None:
    text = json.dumps(content.report.to_dict())
    assert str(finished[0].output.parent) not in text
    assert str(ROOT) not in text
    names = {"scores", "quality", "heldout_cosine", "tokens_per_word"}
    assert set(content.figures) == {name + ending for name in names for ending in (".png", ".tr.png")}
    assert content.links["link_paper"].startswith("https://arxiv.org")


def with_options(report: FullReport, *, allow_pickle: bool, query_prompt: str | None) -> FullReport:
    embed = replace(report.config.embed, query_prompt=query_prompt)
    return replace(report, config=replace(report.config, allow_pickle=allow_pickle, embed=embed))


def test_models_may_do_in_a_space_what_they_might_in_the_run(
    content: SpaceContent, tiny_teacher: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_teacher, tmp_path / "pickled"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    trusted = with_options(content.report, allow_pickle=True, query_prompt="query: ")
    model = find_model("teacher", str(folder), trusted)
    query, text = (model.encode(["Merhaba"], role, Deadline(60)) for role in ("query", "text"))
    assert query.shape == (1, 32) and not np.allclose(query, text)
    assert np.allclose(query, model.encode(["query: Merhaba"], "text", Deadline(60)), atol=1e-6)
    with pytest.raises(UserError, match="--allow-pickle"):
        find_model("teacher", str(folder), with_options(content.report, allow_pickle=False, query_prompt=None))


def test_a_tokenizer_in_a_folder_of_its_model_is_compared_with_one_from_outside(
    *,
    content: SpaceContent,
    hub: FakeHub,
    online: dict[str, str],
    tiny_teacher: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in online.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(content.models["student"].tokenizer_folder / name, tmp_path / "tokenizer")
    hub.add("model", "bob/tokenizer", tmp_path / "tokenizer")
    folder = tmp_path / "teacher"
    shutil.copytree(tiny_teacher, folder / "0_Transformer", ignore=shutil.ignore_patterns("modules.json", "1_*", "2_*"))
    modules = json.loads((tiny_teacher / "modules.json").read_text())
    for module in modules[1:]:
        shutil.copytree(tiny_teacher / module["path"], folder / module["path"], dirs_exist_ok=True)
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    models = {**content.models, "teacher": find_model("teacher", str(folder), content.report)}
    service = Service(replace(content, models=models))
    expected = service.compare("Merhaba dünya", "teacher", "student")
    assert service.compare("Merhaba dünya", "teacher", "bob/tokenizer") == expected


def test_spaces_demo_is_what_the_code_makes() -> None:
    """Run `python -m hub_tools.hub.space_repo` after a change."""
    made = demo_files()
    assert {f.name: f.read_bytes() for f in (ROOT / "spaces/demo").iterdir() if f.is_file()} == made
    assert made["app.py"].decode() == APP
    card = made["README.md"].decode()
    for line in (
        "sdk: gradio",
        "sdk_version: 6.31.0",
        "app_file: app.py",
        "python_version: '3.12'",
        "Duplicate this Space",
    ):
        assert line in card


def test_commands_that_cannot_work_say_so(tmp_path: Path, finished: tuple[RunConfig, Any]) -> None:
    refused(hub_distill("space", "nothing", cwd=tmp_path), "nothing is no run folder")
    (tmp_path / "empty.txt").write_text("\n\n")
    done = hub_distill("space", str(finished[0].output), "--documents", "empty.txt", cwd=tmp_path)
    refused(done, "empty.txt holds 0 texts")
    with pytest.raises(UserError, match=r"no_such_package.*pip install 'hub-tools\[space\]'"):
        check_installed(("json", "no_such_package"))
