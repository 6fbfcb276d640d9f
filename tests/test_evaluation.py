"""The tasks of the evaluation: what is read, what is measured, and what is said where nothing is defined."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub_tools import api, comparison
from hub_tools.config import RunConfig
from hub_tools.config_evaluate import EvaluateConfig
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import Lines
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus, build_corpus
from hub_tools.corpus.readers import sample_file
from hub_tools.evaluation import data
from hub_tools.evaluation.evaluate import evaluate, evaluate_run
from hub_tools.evaluation.example import example_of
from hub_tools.evaluation.mteb_tasks import chosen_tasks
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import Task, bundled_tasks, heldout_task, names_of, read_tasks
from hub_tools.models.loading import SAFE, load_model
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.text import remedies_of, score_rows
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.vectors.bitext import bitext_accuracy, heldout_pairs
from tests import fake_run
from tests.commands import hub_distill, refused, succeeded

CPU = Hardware(device="cpu", precision="fp32")
PROMPTS = {"query": "task: search | query: ", "document": "title: none | text: "}


def table(tmp_path: Path, *scores: str) -> Path:
    rows = "".join(f"cümle {n}\tsentence {n}\t{score}\n" for n, score in enumerate(scores))
    (tmp_path / "sts.tsv").write_text("sentence1\tsentence2\tscore\n" + rows, encoding="utf-8")
    return tmp_path / "sts.tsv"


def subject(folder: Path, prompts: dict[str, str] | None = None, **options: Any) -> Subject:
    model = load_model(folder, device="cpu")
    if prompts is not None:
        model.prompts = dict(prompts)
    return Subject(lambda: model, CPU, **options)


def values(task: Task, model: Subject) -> dict[str, float]:
    return {measure.metric: measure.value for measure in task.measure(model)}


@pytest.mark.parametrize("prompts", [{}, PROMPTS])
def test_a_task_is_measured_as_by_sentence_transformers(prompts: dict[str, str], tiny_teacher: Path) -> None:
    """Behind the prompts, which a model that is asked without them would show by other figures."""
    from sentence_transformers.evaluation import InformationRetrievalEvaluator

    model = subject(tiny_teacher, prompts)
    similarity, retrieval = bundled_tasks(("tr",))
    asked = retrieval.data
    assert isinstance(asked, data.Retrieval)
    texts = ({str(n): text for n, text in enumerate(side)} for side in (asked.queries, asked.passages))
    answers = {str(n): {str(number) for number in found} for n, found in enumerate(asked.relevant)}
    evaluator = InformationRetrievalEvaluator(*texts, answers, ndcg_at_k=[10], mrr_at_k=[10], precision_recall_at_k=[1])
    expected = evaluator(model.model)
    found = values(retrieval, model)
    for metric in ("ndcg@10", "recall@1", "mrr@10"):
        assert found[metric] == pytest.approx(expected[f"cosine_{metric}"], abs=1e-6)
    pairs = similarity.data
    assert isinstance(pairs, data.Similarity)
    a, b = (model.model.encode_query(side) for side in (pairs.first, pairs.second))
    cosines = (a * b).sum(axis=1)
    assert values(similarity, model)["pearson"] == pytest.approx(np.corrcoef(cosines, pairs.scores)[0, 1], abs=1e-5)


def test_the_report_names_the_prompt_of_each_side(tiny_teacher: Path) -> None:
    rows = evaluate({"plain": subject(tiny_teacher), "asked": subject(tiny_teacher, PROMPTS)}, bundled_tasks(("tr",)))
    assert rows[0].prompts == {
        "plain": {"first": "", "second": ""},
        "asked": dict.fromkeys(("first", "second"), PROMPTS["query"]),
    }
    assert rows[-1].prompts["asked"] == {"queries": PROMPTS["query"], "passages": PROMPTS["document"]}
    # E5 and others call documents passages.
    assert subject(tiny_teacher, {"passage": "passage: "}).prompt("document") == "passage: "


def test_one_bar_counts_the_texts_of_all_tasks_also_those_that_were_kept(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Any] = []
    counted = "hub_tools.evaluation.evaluate.bar"
    monkeypatch.setattr(counted, lambda *args, **_: bars.append(Lines(*args, 0)) or bars[-1])
    monkeypatch.setattr("hub_tools.evaluation.subject.bar", None)  # no other bar
    tasks = bundled_tasks(("tr",))
    for models in (["a", "b"], ["b", "c"]):
        evaluate({name: subject(tiny_teacher, cache=tmp_path, identity=name) for name in models}, tasks)
    texts = 2 * (2 * 100 + 60 + 120)
    assert [(shown.n, shown.total) for shown in bars] == [(texts, texts)] * 2


def test_vectors_are_kept_and_found_again(tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, model = bundled_tasks(("tr",))[0], subject(tiny_teacher, cache=tmp_path, identity="tiny")
    first = values(task, model)
    monkeypatch.setattr("hub_tools.evaluation.subject.Encoder", None)  # nothing is computed any more
    assert values(task, subject(tiny_teacher, cache=tmp_path, identity="tiny")) == first
    for other in (
        subject(tiny_teacher, cache=tmp_path, identity="another"),
        subject(tiny_teacher, PROMPTS, cache=tmp_path, identity="tiny"),
        subject(tiny_teacher, cache=tmp_path, identity="tiny", longest=9),
    ):
        with pytest.raises(TypeError):
            task.measure(other)


def test_translations_are_found_as_for_the_choice_of_texts(
    finished: tuple[RunConfig, object], tiny_teacher: Path
) -> None:
    corpus, model = Corpus(finished[0].output / "corpus"), subject(tiny_teacher)
    task = heldout_task(corpus, "tr")
    assert task is not None
    accuracy = bitext_accuracy(model.model, heldout_pairs(corpus), CPU)
    assert values(task, model)["accuracy tr-en"] == pytest.approx(accuracy)
    assert task.measure(model)[0].metric == "accuracy tr-en"


@pytest.mark.parametrize("score", ["high", "nan", "inf", "-Infinity"])
def test_a_score_that_is_no_finite_number_is_refused_with_its_line(tmp_path: Path, score: str) -> None:
    with pytest.raises(UserError, match=rf"line 4: score '{score}' is no number"):
        data.read_similarity(str(table(tmp_path, "1", "2", score)), "tr")


def test_the_report_says_why_there_is_no_correlation(
    finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path, tiny_teacher: Path, no_text: Corpus
) -> None:
    subjects = {name: subject(tiny_teacher) for name in ("teacher", "clone", "student")}
    training = {"heldout_texts": 0, "agreement": {"clone": None, "trim": None, "student": None}}
    sts = str(table(tmp_path, "3", "3", "3.0"))
    result = evaluate_run(
        subjects, no_text, read_tasks("sts", [sts], ("de",)), targets=("de",), training=training, weights={}
    )
    reason = "all scores, or all cosines of a model, are equal, so no correlation is defined"
    assert [(row.metric, row.value("student"), row.reason) for row in result.evaluation[2:]] == [
        ("spearman", None, reason),
        ("pearson", None, reason),
    ]
    report = FullReport.from_dict({**finished[1], "evaluation": to_plain(result.evaluation)})
    assert score_rows(report)[2] == [f"STS sts, spearman (as given, n=3; {reason})", "", "", ""]
    scores = api.evaluate({"student": str(tiny_teacher)}, sts=sts)
    assert {(row.value("student"), row.reason) for row in scores.rows} == {(None, reason)}


def test_of_pairs_with_a_side_in_common_one_is_measured(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    """Otherwise a model that finds each translation seems not to know the language, whose text is left out then."""
    rows = "".join(f"Source {n}.\tHedef {n // 50}.\n" for n in range(900))
    (tmp_path / "p.tsv").write_text(f"en\ttr\n{rows}", encoding="utf-8")
    options: dict[str, Any] = {"targets": ("tr",), "languages": ("tr",), "limits": {}, "seed": 1, "max_tokens": 64}
    build_corpus(tmp_path / "corpus", [], [tmp_path / "p.tsv"], tokenizer=minilm_files.load(), **options)
    corpus = Corpus(tmp_path / "corpus")
    heldout = [pair.target for pair in corpus.pairs("heldout")]
    pairs = heldout_pairs(corpus)
    assert list(pairs.values()) == list(dict.fromkeys(heldout))
    assert len(pairs) < len(heldout)


def test_without_held_out_text_no_cosine_is_reported(tiny_teacher: Path, no_text: Corpus) -> None:
    subjects = {name: subject(tiny_teacher) for name in ("teacher", "clone", "student")}
    training = {"heldout_texts": 0, "agreement": {"clone": None, "trim": None, "student": None}}
    result = evaluate_run(subjects, no_text, [], targets=("de",), training=training, weights={})
    assert [row.metric for row in result.evaluation] == ["cosine", "similarities ranked"]
    for row in result.evaluation:
        assert (row.n, row.models) == (0, {"teacher": None, "clone": None, "student": None})
    assert result.models["student"].dim == 32


def test_the_example_is_what_the_models_say_of_bundled_text(tiny_teacher: Path) -> None:
    from sentence_transformers import SentenceTransformer

    subjects = {name: subject(tiny_teacher) for name in ("teacher", "student")}
    turkish, german = example_of(subjects, "tr"), example_of(subjects, "de")
    assert turkish is not None and german is not None
    model = SentenceTransformer(str(tiny_teacher), device="cpu")
    for example in (turkish, german):
        query, documents = model.encode_query(example.query), model.encode_document(example.documents)
        assert example.similarities["student"] == pytest.approx(
            model.similarity(query, documents)[0].tolist(), abs=2e-4
        )
    assert (turkish.query, german.query[:11]) == ("Müze pazartesi günleri kapalıdır.", "The library")
    assert german.documents[0].startswith("Während der Prüfungswochen")
    assert [example_of(subjects, lang) for lang in ("en", "eo")] == [None, None]
    subjects["student"].model.similarity_fn_name = "euclidean"
    assert example_of(subjects, "tr") is None  # `similarity` would print something else


def test_each_data_set_has_a_name_of_its_own() -> None:
    names = [
        "stsb-tr-test.tsv.gz",
        "tr/test.tsv",
        "en/test.tsv",
        "sts.tr.dev.csv",
        "latest.tsv",
        "a/x.tsv",
        "b/x.tsv,c.tsv",
    ]
    assert names_of(names) == [
        ("stsb-tr", "test"),
        ("tr", "test"),
        ("en", "test"),
        ("sts.tr", "dev"),
        ("latest", "as given"),
        ("x", "as given"),
        ("x (2)", "as given"),
    ]


def write(folder: Path, name: str, *lines: str) -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(line.replace("|", "\t") + "\n" for line in lines), encoding="utf-8")
    return str(folder / name)


def test_retrieval_in_two_files_in_three_and_in_a_folder(tmp_path: Path) -> None:
    questions = write(tmp_path, "q.tsv", "question_id|context_id|question", "1|b|Kim?", "2|a|Nerede?")
    contexts = write(tmp_path, "c.tsv", "context_id|title|text", "a|Ev|Evde.", "b|Kişi|Ali.", "c|Kişi|Ali.")
    two = data.read_retrieval(f"{questions},{contexts}", "tr")
    assert two.passages == ["Ev Evde.", "Kişi Ali."]  # b and c are one
    assert two.relevant == [{1: 1.0}, {0: 1.0}]
    beir = tmp_path / "beir"
    write(beir, "queries.tsv", "_id|text", "1|Kim?", "2|Nerede?", "3|Not asked")
    write(beir, "corpus.tsv", "_id|text", "a|Evde.", "b|Ali.")
    write(beir, "qrels/test.tsv", "query-id|corpus-id|score", "1|b|2", "1|a|1", "2|a|1", "2|b|0")
    write(beir, "qrels/train.tsv", "query-id|corpus-id|score", "3|b|2")
    three = data.read_retrieval(str(beir), "tr")
    assert three.queries == ["Kim?", "Nerede?"]
    assert three.relevant == [{1: 2.0, 0: 1.0}, {0: 1.0}]
    wide = write(tmp_path, "wide.tsv", "question_id|context_id|en|tr", "1|b|Who?|Kim?")
    assert data.read_retrieval(f"{wide},{contexts}", "tr").queries == ["Kim?"]


@pytest.mark.parametrize(
    ("read", "lines", "words"),
    [
        (data.read_pairs, ("premise|hypothesis|label", "a|b|entailment"), "all labels say the same"),
        (data.read_clustering, ("text|label", "a|x", "b|x"), "two groups at least"),
        (data.read_classification, ("text|label|split", "a|x|train", "b|x|test"), "two labels at least"),
        (data.read_classification, ("text|label", "a|x", "b|y"), "by a column split"),
        (data.read_bitext, ("en|fr", "a|b"), "no source, target"),
        (data.read_similarity, ("sentence1|sentence2|score", "a|b|1"), "Expected at least two"),
        (data.read_similarity, ("lang|sentence1|sentence2|score", "en|a|b|1"), "holds no rows in tr"),
    ],
)
def test_data_that_nothing_can_be_measured_on_is_refused(
    read: Callable[[str, str], object], lines: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        read(write(tmp_path, "x.tsv", *lines), "tr")


def test_tables_in_many_languages_give_a_task_for_each_of_ours(tmp_path: Path) -> None:
    rows = ("tr|a|x|train", "tr|b|y|train", "tr|c|x|test", "en|d|x|train")
    many = write(tmp_path, "many.tsv", "lang|text|label|split", *rows)
    with pytest.raises(UserError, match="two labels"):
        read_tasks("classification", [many], ("tr", "en"))
    (task,) = read_tasks("classification", [many], ("tr",))
    assert (task.name, task.split) == ("classification many", "test")
    grouped = write(tmp_path, "g.tsv", "text|label", "a|x", "b|y")
    (task,) = read_tasks("clustering", [grouped], ("tr", "en"))
    assert (task.name, task.split) == ("clustering g", "as given")
    wide = read_tasks("bitext", [write(tmp_path, "ntrex.tsv", "en|tr|de", "a|b|c")], ("tr", "de"))
    assert [task.name for task in wide] == ["bitext ntrex (tr)", "bitext ntrex (de)"]


def test_a_run_is_read_behind_the_prompts_of_its_student(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its own evaluation reads it: the teacher's files need not have the prompts that the run was given."""
    student = load_model(tiny_teacher, device="cpu")
    student.prompts = {"query": "query: "}
    student.save_pretrained(str(tmp_path / "student"), create_model_card=False)
    models = {"teacher": str(tiny_teacher), "clone": str(tiny_teacher), "student": str(tmp_path / "student")}
    report = FullReport.from_dict(fake_run.read_report())
    monkeypatch.setattr(comparison, "_report_of", lambda _: report)
    monkeypatch.setattr(comparison, "_names_of_run", lambda *_: models)
    monkeypatch.setattr(comparison, "verdict", lambda rows, **asked: f"{asked['student']}: {asked['remedies']}")
    tasks = chosen_tasks(EvaluateConfig(sts=(str(sample_file("sts.tsv")),)), ("tr",))
    said = comparison.compare(["run"], tasks, tmp_path / "out", lang="tr", hardware=CPU, policy=SAFE)
    # What can be done about a loss is said too, in the last line.
    assert said.splitlines()[-2:] == ["clone: ()", f"student: {remedies_of(report)}"]
    first = json.loads((tmp_path / "out/scores.json").read_text())["rows"][0]
    assert set(first["prompts"]["teacher"].values()) == {"query: "}


def test_any_models_side_by_side(tiny_teacher: Path, finished: tuple[RunConfig, object], tmp_path: Path) -> None:
    sts, student = str(sample_file("sts.tsv")), str(finished[0].output / "student")
    done = hub_distill("evaluate", str(tiny_teacher), student, "--sts", sts, "--lang", "tr", cwd=tmp_path)
    succeeded(done)
    assert "STS sts, spearman" in done.stdout
    assert "student is " in done.stdout
    assert json.loads((tmp_path / "evaluation/scores.json").read_text())["longest"] == 64
    short = ("evaluate", str(tiny_teacher), "--sts", sts, "--output", "short", "--max-tokens")
    succeeded(hub_distill(*short, "5", cwd=tmp_path))
    cut, whole = (
        [row["models"] for row in json.loads((tmp_path / folder / "scores.json").read_text())["rows"]]
        for folder in ("short", "evaluation")
    )
    assert cut[0][tiny_teacher.name]["value"] != whole[0][tiny_teacher.name]["value"]
    refused(hub_distill(*short, "5000", cwd=tmp_path), "has positions for", "Expected no more", code=2)
    run = hub_distill("evaluate", str(finished[0].output), "--sts", sts, "--output", "again", cwd=tmp_path)
    succeeded(run)
    assert run.stdout.split("\n")[1].split() == ["task", "teacher", "trim", "clone", "student"]
    refused(hub_distill("evaluate", student, cwd=tmp_path), "Nothing to measure on", code=2)
    wrong = hub_distill("evaluate", student, "--sts", sts, "--steps", "5", cwd=tmp_path)
    refused(wrong, "distill has no meaning with them", code=2)
    refused(hub_distill("evaluate", "nowhere/model", "--sts", sts, cwd=tmp_path), "nowhere/model")
