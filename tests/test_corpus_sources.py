"""Where the text of a corpus comes from: files and datasets by language, codes of languages, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.languages import LANGUAGES, balanced_languages, check_language
from hub_tools.corpus.readers import read_texts
from hub_tools.corpus.sources import find_sources
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.commands import environment
from tests.corpora import SENTENCES, build, write
from tests.fake_hub import FakeHub


def test_one_file_a_language(tmp_path: Path) -> None:
    for lang in ("tr", "en"):
        write(tmp_path / f"{lang}.txt.gz", SENTENCES)
    sources = find_sources(f"{tmp_path}/{{lang}}.txt.gz", ("tr", "en", "de"), 1)
    assert [source.lang for source in sources] == ["tr", "en"]


def test_wikipedia_is_asked_for_by_its_own_codes() -> None:
    sources = find_sources("wikimedia/wikipedia:20231101.{lang}", ("nb", "en"), 1)
    assert [source.name for source in sources] == ["wikimedia/wikipedia:20231101.no", "wikimedia/wikipedia:20231101.en"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00binary", "no UTF-8 text"),
        (b"text\0with zero\n", "zero bytes"),
        (b"", "no usable text"),
        (b"\n\n  \n", "no usable text"),
        (b"tek\niki\n", "Too little text"),
    ],
)
def test_unusable_files_are_refused_with_the_reason(
    tmp_path: Path, minilm_files: TokenizerSpec, content: bytes, message: str
) -> None:
    file = tmp_path / "tr.txt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        build(tmp_path, minilm_files, str(file))


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "x.txt.gz"
    broken.write_bytes(b"no gzip")
    with pytest.raises(UserError, match="no complete gzip file"):
        list(read_texts(broken, "tr"))
    with pytest.raises(UserError, match="there is no file"):
        find_sources(str(tmp_path / "nothing.txt"), ("tr",), 1)
    columns = tmp_path / "x.tsv"
    columns.write_text("a\tb\n1\t2\n", encoding="utf-8")
    with pytest.raises(UserError, match="has the columns a, b"):
        list(read_texts(columns, "tr"))


def test_parallel_files_need_both_sides(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("en\tfr\nhello\tbonjour\n", encoding="utf-8")
    with pytest.raises(UserError, match="expected en and tr"):
        build(tmp_path, minilm_files, "sample", parallel=[pairs])


def test_languages_are_balanced_around_the_chosen_ones() -> None:
    languages = balanced_languages(("ka",))
    assert languages[:2] == ("ka", "en")
    assert len(languages) == 40
    assert set(balanced_languages(("tr",))) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("tur", "tk (Turkmen) or tr (Turkish)?"),
        ("turkish", "tr (Turkish)"),
        ("deu", "de (German)?"),
        ("tr-TR", "tr (Turkish)?"),
        ("sr-Latn", "sr (Serbian)?"),
        ("zh_CN", "zh (Chinese)?"),
        ("no", "nb (Norwegian Bokmål)?"),
        ("TR", "tr (Turkish)?"),
        ("iw", "he (Hebrew)?"),
        ("qq", ""),
        ("q" * 100_000, ""),
    ],
)
def test_unknown_codes_get_a_hint(code: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        check_language(code)
    assert f"did you mean {hint}" in str(error.value) if hint else str(error.value).endswith("code such as tr.")
    assert len(str(error.value)) < 300


def test_a_dataset_that_lacks_a_language_is_said_and_the_rest_is_read(
    tmp_path: Path,
    minilm_files: TokenizerSpec,
    caplog: pytest.LogCaptureFixture,
    hub: FakeHub,
    online: dict[str, str],
) -> None:
    (tmp_path / "set").mkdir()
    card = "---\nconfigs:\n- config_name: tr\n  data_files: tr.jsonl\n---\n"
    (tmp_path / "set/README.md").write_text(card, encoding="utf-8")
    write(tmp_path / "set/tr.jsonl", SENTENCES)
    hub.add("dataset", "org/set", tmp_path / "set")
    with environment(**online):
        corpus = build(tmp_path, minilm_files, "org/set:{lang}")
    assert corpus.languages == ("tr",)
    assert len(list(corpus.texts("tr"))) > 200
    assert "Dataset 'org/set' has no 'en' with split 'train'" in caplog.text


def test_a_language_is_not_left_out_for_another_reason(
    tmp_path: Path, minilm_files: TokenizerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("Couldn't find cache for org/set for config 'en'")

    monkeypatch.setattr("datasets.load_dataset_builder", fail)
    monkeypatch.setattr("hub_tools.corpus.sources.dataset_revision", lambda *_: None)
    own = str(write(tmp_path / "tr.txt", SENTENCES))
    with pytest.raises(UserError, match="Couldn't find cache"):
        build(tmp_path, minilm_files, own, "org/set:{lang}")
