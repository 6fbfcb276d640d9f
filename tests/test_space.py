"""The Space without a page: tokens, documents, indices, texts, what its repo holds."""

from __future__ import annotations

import json
import shutil
import string
import subprocess
import sys
import threading
import zlib
from html.parser import HTMLParser
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
from hub_tools.space import documents as reading
from hub_tools.space import html as views
from hub_tools.space import index, limits, results, search, similarity
from hub_tools.space import sandbox as foreign
from hub_tools.space import tokenize as tokens
from hub_tools.space.content import Shown, _model, from_run
from hub_tools.space.i18n import AUTONYMS, TEXTS, page_language, say
from hub_tools.space.limits import Deadline, RefusedError
from hub_tools.space.service import Service
from hub_tools.space.vector_cache import Corpus
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.commands import hub_distill, refused
from tests.fake_hub import FakeHub

ROOT = Path(__file__).parents[1]
EVIL = "<img src=x onerror=\"fetch('//evil')\"><script>alert(1)</script>\"'&\u202e\x00"


@pytest.fixture(scope="session")
def shown(finished: tuple[RunConfig, dict[str, Any]]) -> Shown:
    return from_run(finished[0].output)


@pytest.fixture(scope="session")
def service(shown: Shown, tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service(shown, tmp_path_factory.mktemp("cache"), ["one of the owner's", "another"])


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
    assert tokens.visible(token, byte_level=byte_level) == expected


def test_two_tokenizers_side_by_side(service: Service, minilm_files: TokenizerSpec) -> None:
    text = "Kütüphane açık. Library!"
    found = service.compare(text, "teacher", "student")
    first, second = found["first"], found["second"]
    assert [t["token"] for t in first["tokens"]] == minilm_files.load().encode(text, add_special_tokens=False).tokens
    assert first["count"] > second["count"]
    assert found["ratio"] == round(second["count"] / first["count"], 4)
    assert second["per_word"] == round(second["count"] / 3, 4)
    own, other = (set(service.shown.models[name].files.ids) for name in ("teacher", "student"))
    assert [t["shared"] for t in second["tokens"]] == [t["token"] in own for t in second["tokens"]]
    assert (found["both"], found["only_first"], found["only_second"]) == (
        len(own & other),
        len(own - other),
        len(other - own),
    )
    assert all(text[t["start"] : t["end"]] for t in first["tokens"])


def test_what_is_tokenized_has_limits(service: Service) -> None:
    for text, key in ((" \n", "error_empty"), ("a" * (limits.TEXT + 1), "error_long")):
        with pytest.raises(RefusedError) as refusal:
            service.compare(text, "teacher", "student")
        assert refusal.value.key == key
    assert service.compare("\ud800 a", "teacher", "student")["first"]["count"] > 0


# -- what comes from outside


@pytest.mark.parametrize(
    "repo",
    ["/etc/passwd", "../secret", "a/../b", "~/x", "a/b/c", "", "a b", ".", "C:\\x", "tests/conftest.py", "a" * 200],
)
def test_ids_are_never_paths(repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(RefusedError, match="is no id of the Hub"):
        foreign.check_id(repo)


def test_tokenizers_and_datasets_from_the_hub(
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
    found = service.compare("Merhaba dünya", "bob/tok", "student")
    assert found == service.compare("Merhaba dünya", "teacher", "student")
    for repo, key in (("bob/bad", "error_tokenizer"), ("bob/no", "error_hub_tokenizer")):
        with pytest.raises(RefusedError) as refusal:
            service.compare("a", repo, "student")
        assert refusal.value.key == key
    # The owner's token is there, and visitors cannot use it.
    with pytest.raises(RefusedError, match="private and gated"):
        service.compare("a", "ada/secret", "student")
    assert [r for r in hub.requests if r.token] == []
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text("id,text\n1,bir metin\n2,iki metin\n")
    hub.add("dataset", "bob/texts", tmp_path / "data")
    assert reading.from_hub("bob/texts") == ["bir metin", "iki metin"]
    with pytest.raises(RefusedError, match="no such column"):
        reading.from_hub("bob/texts", column="nothing")


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
    assert reading.uploaded(file) == ["Hello from a page."]
    monkeypatch.setattr(foreign, "SECONDS", 15)
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(b" " * 2**24) for _ in range(256)) + packer.flush()
    file.write_bytes(pdf(bomb))
    assert file.stat().st_size < limits.UPLOAD
    with pytest.raises(RefusedError):
        reading.uploaded(file)
    file.write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(RefusedError, match="cannot be read"):
        reading.uploaded(file)


def test_files_in_odd_encodings(tmp_path: Path) -> None:
    text = "Işık söndü.\nÇok güzel."
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1254"):
        file = tmp_path / f"{encoding}.txt"
        file.write_bytes(text.encode(encoding))
        assert reading.uploaded(file) == text.split("\n")
    (tmp_path / "x.txt").write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(RefusedError, match="zero bytes"):
        reading.uploaded(tmp_path / "x.txt")
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(RefusedError, match="kinds"):
        reading.uploaded(tmp_path / "x.zip")
    (tmp_path / "x.csv").write_text("no;content\n1;bir, iki\n2;üç\n")
    assert reading.uploaded(tmp_path / "x.csv") == ["bir, iki", "üç"]
    (tmp_path / "y.csv").write_text('a,"' + "x" * 200_000 + '"\n')
    with pytest.raises(RefusedError, match="too long"):
        reading.uploaded(tmp_path / "y.csv")


def test_pasted_text_is_bounded() -> None:
    assert reading.pasted("a\n\n b  c \r\n\na\n") == ["a", "b c"]
    many = reading.pasted("\n".join(f"text {i}" for i in range(5000)))
    assert len(many) == limits.DOCUMENTS
    assert len(reading.pasted("x " * limits.CORPUS)[0]) <= limits.DOCUMENT
    assert sum(map(len, reading.bounded([f"{i} " + "y" * 5000 for i in range(900)]))) <= limits.CORPUS
    with pytest.raises(RefusedError):
        reading.pasted("z" * (2 * limits.CORPUS + 1))


# -- search


@pytest.mark.parametrize("precision", index.PRECISIONS)
@pytest.mark.parametrize("rows", [300, index.EXACT + 1000])
def test_indices_find_what_is_near(tmp_path: Path, precision: index.Precision, rows: int) -> None:
    random = np.random.default_rng(0)
    middles = random.standard_normal((200, 64))
    vectors = unit((middles[np.arange(rows) % 200] + 0.5 * random.standard_normal((rows, 64))).astype(np.float32))
    made = index.build(vectors, 64, precision, tmp_path / "x.faiss")
    assert made.exact == (precision == "binary" or rows <= index.EXACT)
    assert made.bytes == rows * {"float32": 256, "int8": 64, "binary": 8}[precision]
    found = [made.search(vectors[i], 10) for i in range(20)]
    assert [hits[0][0] for hits in found] == list(range(20))
    best = np.argsort(-(vectors[:20] @ vectors.T), axis=1)[:, :10]
    recall = np.mean([len({row for row, _ in hits} & set(b)) / 10 for hits, b in zip(found, best, strict=True)])
    assert recall > {"float32": 0.95, "int8": 0.85, "binary": 0.9 * recall_of_bits(vectors, best)}[precision]
    if precision == "float32":
        assert found[0][0][1] == pytest.approx(1.0, abs=1e-5)
    again = index.read(tmp_path / "x.faiss", precision)
    assert again.search(vectors[3], 5) == made.search(vectors[3], 5)


def recall_of_bits(vectors: Any, best: Any) -> float:
    """What bits can find at most: the hundred nearest by differing bits, ranked by signs; without an index."""
    signs = np.where(vectors > 0, 1.0, -1.0)
    found = 0
    for query, wanted in zip(vectors[:20], best, strict=True):
        near = np.argsort(-(signs @ np.where(query > 0, 1.0, -1.0)), kind="stable")[:100]
        ranked = near[np.argsort(-(signs[near] @ query), kind="stable")[:10]]
        found += len(set(ranked.tolist()) & set(wanted.tolist()))
    return found / (10 * len(best))


def test_a_search_by_both_models(service: Service) -> None:
    passages = service.corpora["passages"]
    found = service.search(passages.texts[7], passages, dimension=0, precision="float32", top=3)
    assert found["documents"] == 120
    for own in found["models"].values():
        assert own["hits"][0]["text"] == passages.texts[7]
        assert own["hits"][0]["score"] == pytest.approx(1, abs=1e-3)
        assert own["agreement"] == 1
    small = service.search("arı", passages, dimension=20, precision="int8", top=3)["models"]["student"]
    assert small["dimension"] == 16
    assert small["index_bytes"] == 120 * 16
    assert small["full_bytes"] == 120 * service.shown.models["student"].dimension * 4
    owners = service.search("another", service.corpus("documents", None), dimension=0, precision="float32", top=9)
    assert len(owners["models"]["student"]["hits"]) == 2
    quality = service.quality(8, "binary")
    assert 0 <= quality["student"][0] <= 1
    for query, precision in (("", "float32"), ("a" * 2000, "float32"), ("a", "float99")):
        with pytest.raises(RefusedError):
            service.search(query, passages, dimension=0, precision=precision, top=3)


def test_query_and_document_prompts(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    model = service.shown.models["student"]
    monkeypatch.setattr(model.load(), "prompts", {"query": "zebra zebra zebra ", "document": "", "other": ""})
    plain, asked, kept = (model.encode(["ev"], kind, Deadline()) for kind in ("text", "query", "document"))
    assert np.allclose(plain, kept, atol=1e-5)
    assert not np.allclose(plain, asked, atol=1e-2)


def test_vectors_are_kept_on_disk_and_texts_are_not(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "the visitor's own words"
    corpus = service.corpus("", [secret, "more of them"])
    service.search("words", corpus, dimension=8, precision="binary", top=1)
    content = b"".join(f.read_bytes() for f in service.store.folder.iterdir())
    assert secret.encode() not in content
    model = service.shown.models["student"]
    before = service.store.vectors(model, corpus, Deadline())
    monkeypatch.setattr(model, "encode", lambda *_: pytest.fail("encoded again"))
    assert (service.store.vectors(model, Corpus(corpus.texts), Deadline()) == before).all()


def test_the_cache_has_a_bound(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub_tools.space import vector_cache as store

    monkeypatch.setattr(store, "_DISK", 2000)
    small = store.Store(tmp_path)
    for number in range(12):
        vectors = np.ones((10, 16), dtype=np.float32)
        small.put(service.shown.models["student"], Corpus((str(number),)), vectors, 1.0)
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 4000


def test_long_work_ends(service: Service) -> None:
    with pytest.raises(RefusedError, match="took longer than"):
        service.shown.models["student"].encode(["a"] * 50, "text", Deadline(0))


def test_many_visitors_at_once_get_their_own_answers(service: Service) -> None:
    wrong: list[object] = []
    answered: list[int] = []

    def visit(number: int) -> None:
        # Two visitors each bring the same texts.
        texts = [f"{number // 2} {word}" for word in ("ev", "araba", "deniz", "kitap")]
        found = service.search(texts[2], service.corpus("", texts), dimension=0, precision="float32", top=4)
        if {hit["text"] for hit in found["models"]["student"]["hits"]} != set(texts):
            wrong.append(found)
        answered.append(number)

    threads = [threading.Thread(target=visit, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sorted(answered) == list(range(12))


# -- similarity and map


def test_similarity_and_map(service: Service) -> None:
    found = service.similarity(["ev", " ", "ev", "deniz"])
    table = np.array(found["models"]["teacher"])
    assert found["sentences"] == ["ev", "ev", "deniz"]
    assert table[0, 1] == pytest.approx(1, abs=1e-3)
    assert (table == table.T).all()
    for sentences in (["one"], ["a"] * 13):
        with pytest.raises(RefusedError):
            service.similarity(sentences)
    flat = service.map(service.corpora["sentences"])
    assert len(flat["texts"]) <= 600
    assert all(np.abs(own).max() <= 1.5 for own in flat["models"].values())
    assert len(service.groups("languages", flat["rows"])) == len(flat["rows"])


def test_maps_are_turned_towards_each_other() -> None:
    points = np.random.default_rng(0).standard_normal((50, 2))
    turn = np.array([[0.0, -1.0], [-1.0, 0.0]])
    assert np.allclose(similarity.turn_towards(points @ turn, points), points)
    line = np.outer(np.linspace(-1, 1, 9), np.ones(5)).astype(np.float32)
    assert np.ptp(similarity.project(line)[:, 0]) == pytest.approx(2)


# -- texts and HTML


def test_both_languages_say_the_same() -> None:
    def names(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert {key: pair for key, pair in TEXTS.items() if names(pair[0]) != names(pair[1]) or not all(pair)} == {}
    assert set(search.sample_languages()) == set(AUTONYMS)
    for accepted, lang in (
        ("tr-TR,tr;q=0.9,en;q=0.8", "tr"),
        ("en-US,tr", "en"),
        ("", "en"),
        ("trv", "en"),
        ("TR", "tr"),
    ):
        assert page_language(accepted) == lang


class Tags(HTMLParser):
    """Names of the tags, and attributes that could run something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.events: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_hostile_text_stays_text(service: Service, lang: str) -> None:
    titles = {"teacher": EVIL, "student": EVIL}
    cut = service.compare(EVIL, "teacher", "student")
    for side in ("first", "second"):
        cut[side]["tokens"].append({**cut[side]["tokens"][0], "token": EVIL, "shown": EVIL, "shared": False})
    found = service.search(EVIL, service.corpus("", [EVIL, "x"]), dimension=0, precision="float32", top=2)
    flat = {"student": np.zeros((1, 2))}
    page = "".join(
        [
            views.tokens(cut, (EVIL, EVIL), ids=True, window=256, lang=lang),
            views.hits(found, titles, {"student": (0.5, 1.0)}, lang),
            views.heat_maps([EVIL, EVIL], {"student": [[1.0, 0.2], [0.2, 1.0]]}, titles, lang),
            views.maps(flat, [EVIL], [EVIL], titles, lang),
            views.scores([dict.fromkeys(("task", "teacher", "clone", "student"), EVIL)], [(EVIL, EVIL, EVIL)], lang),
            views.pictures({EVIL: b""}, lang),
            views.links({EVIL: EVIL}),
            views.problem(EVIL),
            views.languages([(EVIL, 1.0, 2.0)], lang),
        ]
    )
    tags = Tags(page)
    assert "script" not in tags.found
    assert tags.events == []
    assert page.count("<img") == page.count('<img alt="') == 1


def test_numbers_are_written_as_the_language_does(service: Service) -> None:
    rows = results.fertility_rows(service.shown.report)
    assert len(rows) == 40
    assert rows[0][0] == "tr"
    before, after = rows[0][1:]
    assert f"{before:.2f}".replace(".", ",") in views.languages(rows, "tr")
    percent = f"{abs(100 * (after / before - 1)):.0f}"
    assert f"−%{percent}" in views.languages(rows, "tr")
    assert f"−{percent} %" in views.languages(rows, "en")
    assert views.languages([], "en") == ""


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


def test_what_is_shown_names_no_folder(shown: Shown, finished: tuple[RunConfig, dict[str, Any]]) -> None:
    text = json.dumps(shown.report)
    assert str(finished[0].output.parent) not in text
    assert str(ROOT) not in text
    assert set(shown.figures) == {"heldout_cosine", "tokens_per_word"}
    assert shown.links["link_paper"].startswith("https://arxiv.org")


def test_models_may_do_in_a_space_what_they_might_in_the_run(tiny_teacher: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_teacher, tmp_path / "pickled"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    report = {"config": {"allow_pickle": True, "embed": {"query_prompt": "query: ", "document_prompt": None}}}
    model = _model("teacher", "theirs", str(folder), report)
    query, text = (model.encode(["Merhaba"], kind, Deadline(60)) for kind in ("query", "text"))
    assert query.shape == (1, 32) and not np.allclose(query, text)
    assert np.allclose(query, model.encode(["query: Merhaba"], "text", Deadline(60)), atol=1e-6)
    with pytest.raises(UserError, match="--allow-pickle"):
        _model("teacher", "theirs", str(folder), {"config": {}})


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


def test_commands_that_cannot_work_say_so(tmp_path: Path, finished: tuple[RunConfig, dict[str, Any]]) -> None:
    refused(hub_distill("space", "nothing", cwd=tmp_path), "nothing is no run folder")
    (tmp_path / "empty.txt").write_text("\n\n")
    done = hub_distill("space", str(finished[0].output), "--documents", "empty.txt", cwd=tmp_path)
    refused(done, "empty.txt holds 0 texts")
    code = "from hub_tools.space import serve\nserve._NEEDED = ('no_such_package',)\nserve.check_installed()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'hub-tools[space]'" in done.stderr


def test_say_fills_in() -> None:
    assert say("tr", "loaded", number=3) == "3 belge hazır."
    assert RefusedError("error_kind", kinds=".txt").say("tr").startswith("Beklenen")
