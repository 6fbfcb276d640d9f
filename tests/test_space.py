"""The Space without a browser: tokens, what comes from outside, and the limits of all calls."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from hub_tools.space import documents, limits, sandbox, tokenize
from hub_tools.space.limits import RefusedError
from hub_tools.space.service import Service
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.fake_hub import FakeHub

ROOT = Path(__file__).parents[1]

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
    with pytest.raises(RefusedError, match="is not a Hub id"):
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
