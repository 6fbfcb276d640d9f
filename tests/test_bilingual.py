"""Students of several languages, which weigh alike."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models

from hub_tools.config import RunConfig, TokenizerConfig
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.core.languages import names_of
from hub_tools.corpus.build import Corpus, take_turns
from hub_tools.corpus.pairs import Pair
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.evaluation.frontier import heldout_goals
from hub_tools.evaluation.spaces import agreement_rows
from hub_tools.evaluation.subject import Subject
from hub_tools.models.loading import load_model
from hub_tools.pipeline import run
from hub_tools.reporting.cards import dataset_card, model_card, tokenizer_card
from hub_tools.reporting.report import read_report
from hub_tools.reporting.summary import summary_text
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.normalizer import adapt_normalizer
from hub_tools.tokenization.pretokenization import WordCounts, join_words, running_text
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.conftest import whole_job
from tests.corpora import SENTENCES, build, kept_of_each, write

# The student's tokens, of small teachers and of the real WordPiece one.
SIZES = {"gemma": 2000, "byte-level": 2000, "unigram": 2000, "wordpiece": 4096}


@pytest.fixture(scope="module")
def texts(pair_texts: dict[str, list[str]]) -> dict[str, list[str]]:
    """Much Turkish and English, and little German."""
    german = [row["de"] for row in read_table(sample_file("languages.tsv"))]
    return {"tr": pair_texts["tr"], "en": pair_texts["en"], "de": german * 3}


def adapted(teacher: TokenizerSpec, texts: dict[str, list[str]], targets: tuple[str, ...], size: int) -> TokenizerSpec:
    readers = {lang: partial(iter, own) for lang, own in texts.items()}
    config = TokenizerConfig(vocab_size=size, learn=300)
    return Adaptation(teacher, readers, targets=targets, config=config).make().student


def used(tokenizer: TokenizerSpec, texts: list[str]) -> set[str]:
    encodings = tokenizer.load().encode_batch(texts, add_special_tokens=False)
    return {token for encoding in encodings for token in encoding.tokens}


@pytest.mark.parametrize("name", SIZES)
def test_tokens_are_learned_for_all_targets_however_little_text_one_has(
    name: str, small_tokenizers: dict[str, TokenizerSpec], texts: dict[str, list[str]]
) -> None:
    teacher = small_tokenizers[name]
    both = adapted(teacher, texts, ("tr", "de"), SIZES[name])
    assert len(both.vocab) == SIZES[name]
    learned = both.vocab.keys() - teacher.vocab.keys()
    for lang in ("tr", "de"):
        assert len(learned & used(both, texts[lang])) > 75
    # The order of the languages means nothing.
    assert adapted(teacher, texts, ("de", "tr"), SIZES[name]).vocab.keys() == both.vocab.keys()


def test_words_of_several_languages_count_as_if_each_had_as_much_text() -> None:
    tokenizer = Tokenizer(models.WordLevel({"ev": 0, "var": 1, "house": 2, "?": 3}, unk_token="?"))
    turkish = WordCounts(words=["ev", "var"], counts=np.array([60, 40]))
    english = WordCounts(words=["house", "ev"], counts=np.array([15, 5]))
    assert join_words([turkish], tokenizer) is turkish
    joined = join_words([turkish, english], tokenizer)
    assert dict(zip(joined.words, joined.counts.tolist(), strict=True)) == {"ev": 85, "house": 75, "var": 40}
    assert " ".join(running_text(joined)).split().count("house") == 75


def test_the_letters_of_all_targets_are_kept(minilm_files: TokenizerSpec) -> None:
    normalizer, spec = minilm_files.load().normalizer, minilm_files.spec["normalizer"]
    # ä is common in the German text, and rare in both texts together.
    texts = {"tr": ["Kış geldi, ışık söndü."] * 5000, "de": ["Der Schäfer zählt seine Schafe."] * 5}
    change = adapt_normalizer(normalizer, spec, texts)
    assert {"ş", "ö", "ä"} <= set(change.letters) and change.normalizer is not None
    assert change.normalizer.normalize_str("KIŞ, Schäfer, café, It") == "kış, schäfer, cafe, it"
    alone = adapt_normalizer(normalizer, spec, {"de": texts["de"]})
    assert alone.letters == ("ä",)


def test_every_target_needs_text_and_the_others_have_a_tenth_of_each(
    tmp_path: Path, minilm_files: TokenizerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tools.corpus.build.LEAST_OTHER", 5)
    for lang, texts in {"tr": SENTENCES, "de": SENTENCES[:200], "fr": SENTENCES}.items():
        write(tmp_path / f"{lang}.txt", texts)
    spec, languages = str(tmp_path / "{lang}.txt"), ("tr", "de", "en", "fr")
    corpus = build(tmp_path / "both", minilm_files, spec, languages=languages, targets=("tr", "de"))
    assert kept_of_each(corpus) == {"tr": 300, "de": 200, "fr": 20}
    with pytest.raises(UserError, match="no usable text in en"):
        build(tmp_path / "none", minilm_files, spec, languages=("tr", "en"), targets=("tr", "en"))
    # English that is a target may have its side of the pairs alone.
    pairs = [sample_file("tr-en.tsv")]
    corpus = build(tmp_path / "p", minilm_files, spec, languages=("tr", "en"), targets=("tr", "en"), parallel=pairs)
    sources = [pair.source for pair in corpus.pairs()]
    assert list(corpus.all_texts("en", ("tr", "en"))) == sources
    assert list(corpus.all_texts("en", ("tr",))) == []


def test_turns_are_taken_until_all_have_given_what_they_have() -> None:
    assert list(take_turns([iter("abc"), iter(""), iter("1")])) == ["a", "1", "b", "c"]


def test_goals_are_of_all_targets(tiny_teacher: Path) -> None:
    teacher = Subject(lambda: load_model(tiny_teacher, device="cpu"), Hardware(device="cpu", precision="fp32"))
    corpus: Any = SimpleNamespace(
        languages=("tr", "de", "en"),
        has_pairs=True,
        pairs=lambda _: [Pair(f"a text {n}", f"bir metin {n}", "en", "a.tsv") for n in range(60)],
        texts=lambda lang, *_: [f"{lang} {n}" for n in range(2)],
    )
    goals = heldout_goals(teacher, corpus, ("tr", "de"))
    # This teacher finds no translations into Turkish; of German nobody knows.
    assert goals is not None and goals.texts[60:] == ["de 0", "de 1"]


def test_the_space_is_compared_in_each_target(tiny_teacher: Path) -> None:
    teacher = Subject(lambda: load_model(tiny_teacher, device="cpu"), Hardware(device="cpu", precision="fp32"))
    corpus: Any = SimpleNamespace(
        languages=("tr", "de"),
        pairs=lambda _: [],
        texts=lambda lang, *_: [f"{lang} {n}" for n in range(25)],
    )
    for targets, tasks in (
        (("tr",), {"agreement with the teacher, sentences"}),
        (("tr", "de"), {f"agreement with the teacher, sentences ({code})" for code in ("tr", "de")}),
    ):
        assert {row.task for row in agreement_rows({"teacher": teacher}, corpus, targets)} == tasks


@pytest.fixture(scope="module")
def bilingual(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A whole run for Turkish and English, with a teacher that has prompts for queries."""
    options: dict[str, Any] = whole_job(tiny_teacher, tmp_path_factory.mktemp("bilingual") / "run")
    options |= {"lang": "tr,en"}
    options["embed"] = {
        "distill_limit": "tr=30,en=30,*=5",
        "query_prompt": "query: ",
        "query_share": 1.0,
        "document_share": 0.0,
    }
    config = RunConfig.from_dict(options)
    run(config)
    return config


def test_a_run_measures_and_names_all_targets(bilingual: RunConfig) -> None:
    report = read_report(bilingual.output)
    assert report.targets == ("tr", "en") and bilingual.output.name == "run"
    tasks = [row.task for row in report.evaluation]
    for lang in ("Turkish", "English"):
        assert f"tokens per word, {lang}" in summary_text(report, bilingual.output)
    assert "STS sample (tr)" in tasks
    assert (bilingual.output / "report.md").read_text(encoding="utf-8").startswith("# A Turkish and English student of")
    repos = {"model": "org/model", "tokenizer": "org/tokenizer", "dataset": "org/data"}
    card = model_card(report, repos)
    assert "# Turkish and English version of" in card
    assert "| languages | Turkish and English |" in card and "clustering of Turkish and English text" in card
    assert "English text takes" in tokenizer_card(report, repos)
    dataset = dataset_card(report, repos)
    assert "Turkish and English student" in dataset and "| Turkish translation whose student" in dataset
    one = replace(report, config=replace(report.config, lang=("tr",)))
    assert "# Turkish version of" in model_card(one, repos)


def test_texts_of_all_languages_get_the_prompts(bilingual: RunConfig) -> None:
    files = sorted((bilingual.output / "embeddings").glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).drop("embedding").to_pylist()]
    prompts = {
        lang: {row["prompt_name"] for row in rows if row["lang"] == lang and row["translation"] is None}
        for lang in ("en", "de")
    }
    assert prompts["en"] == prompts["de"] == {"query"}
    assert Corpus(bilingual.output / "corpus").languages[:2] == ("tr", "en")


def test_languages_are_named_as_one_reads_them() -> None:
    assert names_of(["tr"]) == "Turkish"
    assert names_of(["tr", "de", "en"]) == "Turkish, German and English"
