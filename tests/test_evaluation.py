"""The tasks of the evaluation: what is read, what is measured, and what is said where nothing is defined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from hub_tools import api
from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus, build_corpus
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.evaluation.evaluate import evaluate, nearest
from hub_tools.evaluation.tasks import (
    bitext_task,
    read_sts,
    retrieval_task,
    sample_texts,
    sts_names,
    sts_task,
)
from hub_tools.models.encoder import encode, unit
from hub_tools.models.loading import load_model
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.text import score_rows
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.vectors.bitext import bitext_accuracy, heldout_pairs

CPU = Hardware(device="cpu", precision="fp32")
PROMPTS = {"query": "task: search | query: ", "document": "title: none | text: "}


def table(tmp_path: Path, *scores: str) -> Path:
    rows = "".join(f"cümle {n}\tsentence {n}\t{score}\n" for n, score in enumerate(scores))
    (tmp_path / "sts.tsv").write_text("sentence1\tsentence2\tscore\n" + rows, encoding="utf-8")
    return tmp_path / "sts.tsv"


def test_sts_is_the_correlation_of_cosines_with_the_scores(tiny_teacher: Path) -> None:
    model = load_model(tiny_teacher, device="cpu")
    first, second, scores = read_sts(sample_file("sts.tsv"))
    a, b = (unit(encode(model, side, CPU)) for side in (first, second))
    cosines = (a * b).sum(axis=1)
    expected = {"spearman": spearmanr(cosines, scores).statistic, "pearson": pearsonr(cosines, scores).statistic}
    assert sts_task(sample_file("sts.tsv"), "STS", "test").measure(model) == pytest.approx(expected, abs=1e-5)


def test_retrieval_is_measured_behind_the_prompts(tiny_teacher: Path) -> None:
    model = load_model(tiny_teacher, device="cpu")
    plain = retrieval_task().measure(model)
    model.prompts = dict(PROMPTS)
    found = retrieval_task().measure(model)
    assert found != plain
    questions, passages = sample_texts("questions"), sample_texts("passages")
    asked = unit(model.encode([PROMPTS["query"] + text for text in questions.values()]))
    cosines = asked @ unit(model.encode([PROMPTS["document"] + text for text in passages.values()])).T
    rows = read_table(sample_file("retrieval-questions.tsv"))
    answers = [list(passages).index(row["passage_id"]) for row in rows]
    ranks = (cosines > cosines[np.arange(len(answers)), answers][:, None]).sum(axis=1) + 1
    assert found == pytest.approx({"recall@1": (ranks == 1).mean(), "mrr": (1 / ranks).mean()}, abs=1e-4)


def test_the_nearest_document_is_found_behind_the_prompts(tiny_teacher: Path) -> None:
    model = load_model(tiny_teacher, device="cpu")
    model.prompts = dict(PROMPTS)
    documents = ["köpek", "kedi", "ağaç"]
    query = model.encode("task: search | query: kedi")
    best = int((model.encode([PROMPTS["document"] + text for text in documents]) @ query).argmax())
    assert nearest(model, ["kedi"], documents) == [documents[best]]


def test_translations_are_found_as_for_the_choice_of_texts(
    finished: tuple[RunConfig, object], tiny_teacher: Path
) -> None:
    corpus, model = Corpus(finished[0].output / "corpus"), load_model(tiny_teacher, device="cpu")
    accuracy = bitext_accuracy(model, heldout_pairs(corpus), CPU)
    assert bitext_task(corpus, "tr").measure(model) == pytest.approx({"accuracy": accuracy})


def test_fewer_texts_at_a_time_are_measured_where_memory_does_not_suffice(
    tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, task = load_model(tiny_teacher, device="cpu"), sts_task(sample_file("sts.tsv"), "STS", "test")
    whole, forward = task.measure(model), model.forward

    def small(features: dict[str, object], **more: object) -> object:
        if len(features["input_ids"]) > 40:
            raise MemoryError
        return forward(features, **more)

    monkeypatch.setattr(model, "forward", small)
    assert task.measure(model) == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("score", ["high", "nan", "inf", "-Infinity"])
def test_a_score_that_is_no_finite_number_is_refused_with_its_line(tmp_path: Path, score: str) -> None:
    with pytest.raises(UserError, match=rf"line 4: score '{score}' is no number"):
        read_sts(table(tmp_path, "1", "2", score))


def test_equal_scores_give_no_correlation_and_a_warning(
    tmp_path: Path, tiny_teacher: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = sts_task(table(tmp_path, "3", "3", "3.0"), "STS", "test")
    assert "all scores are equal, so no correlation is defined" in caplog.text
    assert task.measure(load_model(tiny_teacher, device="cpu")) == {"spearman": None, "pearson": None}


def test_the_report_says_why_there_is_no_correlation(
    finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path, tiny_teacher: Path, no_text: Corpus
) -> None:
    paths = dict.fromkeys(("teacher", "clone", "student"), tiny_teacher)
    training = {"heldout_texts": 0, "cosine_after": None, "history": [{"step": 0, "cosine": None}]}
    sts = [table(tmp_path, "3", "3", "3.0")]
    result = evaluate(paths, no_text, target="de", sts=sts, hardware=CPU, training=training)
    reason = "all scores are equal, so no correlation is defined"
    assert [(row.metric, row.student, row.reason) for row in result.evaluation[1:]] == [
        ("spearman", None, reason),
        ("pearson", None, reason),
    ]
    report = FullReport.from_dict({**finished[1], "evaluation": to_plain(result.evaluation)})
    assert score_rows(report)[1] == [f"STS sts, spearman (as given, n=3; {reason})", "", "", ""]
    scores = api.evaluate({"student": str(tiny_teacher)}, sts=sts)
    assert {(row.values["student"], row.reason) for row in scores.rows} == {(None, reason)}


def test_of_pairs_with_a_side_in_common_one_is_measured(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    """Otherwise a model that finds each translation seems not to know the language, whose text is left out then."""
    rows = "".join(f"Source {n}.\tHedef {n // 50}.\n" for n in range(900))
    (tmp_path / "p.tsv").write_text(f"en\ttr\n{rows}", encoding="utf-8")
    options: dict[str, Any] = {"languages": ("tr",), "limit": None, "seed": 1, "max_tokens": 64}
    build_corpus(tmp_path / "corpus", [], [tmp_path / "p.tsv"], tokenizer=minilm_files.load(), **options)
    corpus = Corpus(tmp_path / "corpus")
    heldout = [pair.target for pair in corpus.pairs("heldout")]
    pairs = heldout_pairs(corpus)
    assert list(pairs.values()) == list(dict.fromkeys(heldout))
    assert len(pairs) < len(heldout)


def test_without_held_out_text_no_cosine_is_reported(tiny_teacher: Path, no_text: Corpus) -> None:
    paths = dict.fromkeys(("teacher", "clone", "student"), tiny_teacher)
    training = {"heldout_texts": 0, "cosine_after": None, "history": [{"step": 0, "cosine": None}]}
    result = evaluate(paths, no_text, target="de", sts=[], hardware=CPU, training=training)
    (row,) = result.evaluation
    assert (row.n, row.teacher, row.clone, row.student) == (0, None, None, None)
    assert result.models["student"].dim == 32


def test_each_sts_file_has_a_name_of_its_own() -> None:
    names = ["stsb-tr-test.tsv.gz", "tr/test.tsv", "en/test.tsv", "sts.tr.dev.csv", "latest.tsv", "a/x.tsv", "b/x.tsv"]
    assert sts_names([Path(name) for name in names]) == [
        ("stsb-tr", "test"),
        ("tr", "test"),
        ("en", "test"),
        ("sts.tr", "dev"),
        ("latest", "as given"),
        ("x", "as given"),
        ("x (2)", "as given"),
    ]
