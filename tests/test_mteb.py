"""Tasks of mteb, and the user's files as such tasks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_tools import api
from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.contamination import Match
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.evaluation import data as sets
from hub_tools.evaluation.bootstrap import figures
from hub_tools.evaluation.evaluate import evaluate
from hub_tools.evaluation.metrics import Measure
from hub_tools.evaluation.mteb_files import as_mteb_task
from hub_tools.evaluation.mteb_tasks import MtebTask, find_mteb_tasks, language_codes
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import Task, bundled_tasks, evaluation_texts
from hub_tools.models.loading import load_model
from hub_tools.reporting.scores import scores_table, verdict
from hub_tools.results import EvaluationRow
from tests.commands import hub_distill, refused, succeeded
from tests.fake_hub import FakeHub, Fault

mteb = pytest.importorskip("mteb", reason="mteb is not installed: pip install 'hub-tools[eval]'")

PROMPTS = {"query": "task: search | query: ", "document": "title: none | text: "}
CPU = Hardware(device="cpu", precision="fp32")
# Figures of the table -> those of mteb's result, of the part that has this name.
SAME = {
    "spearman": ("default", "cosine_spearman"),
    "pearson": ("default", "cosine_pearson"),
    "ndcg@10": ("default", "ndcg_at_10"),
    "recall@1": ("default", "recall_at_1"),
    "mrr@10": ("default", "mrr_at_10"),
    "recall@100": ("default", "recall_at_100"),
    "ap": ("default", "cosine_ap"),
    "accuracy": ("default", "accuracy"),
    "macro-f1": ("default", "f1"),
    **{f"{name} {pair}": (pair, name) for name in ("accuracy", "f1") for pair in ("tr-en", "en-tr")},
}
# On a scale to 100, 0.01.
EQUAL = 1e-4


def subject(folder: Path, prompts: dict[str, str] | None = None, **options: Any) -> Subject:
    model = load_model(folder, device="cpu")
    model.prompts = dict(prompts or {})
    return Subject(lambda: model, CPU, **options)


@pytest.fixture(scope="module")
def local_tasks() -> dict[str, Task]:
    """A task of each kind, of the bundled text."""
    similarity, retrieval = bundled_tasks(("tr",))
    pairs = list(read_table(sample_file("tr-en.tsv")))[:240]
    turkish, english = ([pair[lang] for pair in pairs] for lang in ("tr", "en"))
    scored = similarity.data
    assert isinstance(scored, sets.Similarity)
    same = [score > 2 for score in scored.scores]
    labels = ["long" if len(text) > 60 else "short" for text in turkish]
    found: dict[str, sets.Data] = {
        "pairs": sets.Pairs(first=scored.first, second=scored.second, same=same),
        "bitext": sets.Bitext(source=english, target=turkish, languages=("en", "tr")),
        "classification": sets.Classification(
            train=turkish[:160], train_labels=labels[:160], test=turkish[160:], test_labels=labels[160:]
        ),
        "clustering": sets.Clustering(texts=turkish, labels=labels),
    }
    made = {name: Task(name=f"{name} own", split="as given", data=data) for name, data in found.items()}
    return {"sts": similarity, "retrieval": retrieval, **made}


def scores_of(result: Any) -> dict[str, dict[str, float]]:
    return {part["hf_subset"]: part for parts in result.scores.values() for part in parts}


@pytest.mark.parametrize("prompts", [{}, PROMPTS])
@pytest.mark.parametrize("kind", ["sts", "retrieval", "pairs", "bitext", "classification"])
def test_figures_of_a_file_are_those_of_mteb(
    kind: str, prompts: dict[str, str], local_tasks: dict[str, Task], tiny_teacher: Path
) -> None:
    """Those that mteb gives for what hub_tools makes of the model, and for the model alone, behind its prompts."""
    task, model = local_tasks[kind], subject(tiny_teacher, prompts)
    measured = {measure.metric: measure.value for measure in task.measure(model) if measure.metric in SAME}
    assert len(measured) >= 1
    made = as_mteb_task(task, "tr")
    roles = {**prompts, **{kind: prompts["query"] for kind in ("BitextMining", "Classification") if prompts}}
    alone = load_model(tiny_teacher, device="cpu")
    wrapped = mteb.SentenceTransformerEncoderWrapper(alone, model_prompts=roles or None)
    (own,) = mteb.evaluate(wrapped, as_mteb_task(task, "tr").task, cache=None, co2_tracker=False).task_results
    for result in (made.result(model), own):
        scores = scores_of(result)
        found = {metric: scores[SAME[metric][0]][SAME[metric][1]] for metric in measured}
        assert found == pytest.approx(measured, abs=EQUAL)


def test_the_main_figure_has_bounds_where_items_are_known(local_tasks: dict[str, Task], tiny_teacher: Path) -> None:
    models = {"teacher": subject(tiny_teacher, PROMPTS), "student": subject(tiny_teacher)}
    for kind, task in local_tasks.items():
        made = as_mteb_task(task, "tr")
        measured = {name: made.measure(model)[0] for name, model in models.items()}
        assert {measure.has_items for measure in measured.values()} == {kind != "clustering"}
        if kind not in ("sts", "retrieval", "clustering"):
            continue
        found = figures(measured)["student"]
        assert found is not None
        assert found.has_bounds == (kind != "clustering")
        assert found.differences["teacher"].has_bounds == (kind != "clustering")
        if found.low is not None and found.high is not None:
            assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("name", "n", "texts", "has_items"),
    [
        ("MockMultilingualParallelBitextMiningTask", 4, 8, True),
        ("MockMultilingualPairClassificationTask", 4, 8, True),
        ("MockMultilingualRerankingTask", 4, 8, True),
        ("MockRetrievalTask", 4, 8, True),
        ("MockClassificationTask", 2, 4, True),
        ("MockClusteringTask", 3, 3, False),
    ],
)
def test_tasks_of_all_forms_are_scored_as_by_mteb(
    name: str, n: int, texts: int, *, has_items: bool, tiny_teacher: Path
) -> None:
    """Of several parts, languages in columns, all data in a row: forms of data that mteb's own tests are made with."""
    kind = getattr(pytest.importorskip("mteb.mocks"), name)
    task = MtebTask(task=kind())
    task.load()
    measure = task.measure(subject(tiny_teacher, PROMPTS))[0]
    roles = {} if "Re" in name else {kind.metadata.type: PROMPTS["query"]}
    wrapped = mteb.SentenceTransformerEncoderWrapper(
        load_model(tiny_teacher, device="cpu"), model_prompts={**PROMPTS, **roles}
    )
    (own,) = mteb.evaluate(wrapped, kind(), cache=None, co2_tracker=False).task_results
    assert measure.value == pytest.approx(own.get_score(), abs=EQUAL)
    assert (measure.n, len(list(task.texts())), measure.has_items) == (n, texts, has_items)


def test_all_models_get_the_same_drawn_texts(local_tasks: dict[str, Task], tiny_teacher: Path) -> None:
    made = as_mteb_task(local_tasks["clustering"], "tr")
    first, second = (made.measure(subject(tiny_teacher))[0].value for _ in range(2))
    assert first == second


def test_without_bounds_nothing_is_judged() -> None:
    measured = {name: Measure("v", 9, lambda _, v=v: v, has_items=False) for name, v in (("a", 0.5), ("b", 0.6))}
    row = EvaluationRow(task="mteb C", split="test", metric="v", n=9, models=figures(measured))
    assert scores_table([row])[1] == ["mteb C, v (test, n=9)", "50.0", "60.0 (+10.0?)"]
    said = verdict([row], student="b", teacher="a")
    assert said.startswith("No task says whether b is as good as a")
    assert said.endswith("Not judged, because nothing says how sure the difference is: mteb C (+10.0).")


def test_the_texts_are_those_of_the_file(local_tasks: dict[str, Task]) -> None:
    for task in local_tasks.values():
        texts = [text for side in vars(task.data).values() for text in side if isinstance(text, str)]
        found = set(as_mteb_task(task, "tr").texts())
        assert found <= set(texts)
        assert {text for text in texts if len(text) > 20} <= found


def test_the_texts_are_kept_out_of_the_training(local_tasks: dict[str, Task]) -> None:
    task = local_tasks["retrieval"].data
    assert isinstance(task, sets.Retrieval)
    evaluation = evaluation_texts([as_mteb_task(local_tasks["retrieval"], "tr")], ("de",))
    assert evaluation.names == ["mteb retrieval-sample-tr-test, test"]
    found = evaluation.find([task.queries[0].upper(), f"{task.passages[0]} Sonra eve gittik.", "Başka bir metin."])
    assert found == [Match(evaluation.names[0], "exact"), Match(evaluation.names[0], "near"), None]


def serve(hub: FakeHub, folder: Path, name: str, configs: dict[str, tuple[str, list[dict[str, Any]]]]) -> None:
    """Put a dataset on the Hub as mteb asks for it: configuration -> its split and its rows."""
    dataset = mteb.get_task(name).metadata.dataset
    folder = folder / name
    folder.mkdir()
    card = ["---", "configs:"]
    for config, (split, rows) in configs.items():
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{config}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        card += [f"- config_name: {config}", "  data_files:", f"  - {{split: {split}, path: {config}.jsonl}}"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]), encoding="utf-8")
    repo = hub.add("dataset", dataset["path"], folder)
    repo.commits[-1] = replace(repo.head, oid=dataset["revision"])


def serve_sts(hub: FakeHub, folder: Path) -> None:
    rows = list(read_table(sample_file("sts.tsv")))
    pairs = [{"sentence1": r["sentence1"], "sentence2": r["sentence2"], "score": float(r["score"])} for r in rows]
    both = [{"lang": lang, **pair} for lang, some in (("tr", pairs), ("en", pairs[:3])) for pair in some]
    serve(hub, folder, "STS22.v2", {"default": ("test", both)})


def test_a_dataset_of_the_hub_is_measured_on(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    similarity, retrieval = bundled_tasks(("tr",))
    asked = retrieval.data
    assert isinstance(asked, sets.Retrieval)
    serve_sts(hub, tmp_path)
    qrels = [
        {"query-id": f"q{n}", "corpus-id": f"p{p}", "score": 1} for n, own in enumerate(asked.relevant) for p in own
    ]
    configs = {
        "tr-corpus": ("validation", [{"_id": f"p{n}", "title": "", "text": t} for n, t in enumerate(asked.passages)]),
        "tr-queries": ("validation", [{"_id": f"q{n}", "text": t} for n, t in enumerate(asked.queries)]),
        "tr-qrels": ("validation", qrels),
    }
    serve(hub, tmp_path, "XQuADRetrieval", configs)
    wanted = ["--mteb", "STS22.v2", "--mteb", "XQuADRetrieval", "--lang", "tr", "--sts", str(sample_file("sts.tsv"))]
    real, scored = mteb.evaluate, list[str]()

    def stop_at_the_second(encoder: Any, task: Any, **options: Any) -> Any:
        scored.append(task.metadata.name)
        if len(scored) == 2:
            raise KeyboardInterrupt
        return real(encoder, task, **options)

    monkeypatch.setattr(mteb, "evaluate", stop_at_the_second)
    assert hub_distill("evaluate", str(tiny_teacher), *wanted, cwd=tmp_path, **online).returncode == 1
    done = hub_distill("evaluate", str(tiny_teacher), *wanted, cwd=tmp_path, **online)
    succeeded(done)
    assert scored == ["STS22.v2", "XQuADRetrieval", "XQuADRetrieval", "STS-sts"]  # what is finished is not done again
    assert "mteb STS22.v2, cosine_spearman (test, n=100)" in done.stdout
    rows = {row["task"]: row for row in json.loads((tmp_path / "evaluation/scores.json").read_text())["rows"][::-1]}
    expected = {task.name: task.measure(subject(tiny_teacher))[0].value for task in (similarity, retrieval)}
    for name, same in (("mteb STS22.v2", similarity), ("mteb XQuADRetrieval", retrieval), ("STS sts", similarity)):
        value = next(iter(rows[name]["models"].values()))
        assert value["value"] == pytest.approx(expected[same.name], abs=EQUAL)
        assert value["low"] < value["value"] < value["high"]
    files = {file.stem: file for file in (tmp_path / "evaluation/mteb").glob("*/*.json")}
    assert set(files) == {"STS22.v2", "XQuADRetrieval", "STS-sts"}
    for file in files.values():
        assert mteb.TaskResult.from_disk(file).get_score() > -1
    monkeypatch.setattr(mteb, "evaluate", None)
    again = hub_distill("evaluate", str(tiny_teacher), *wanted, cwd=tmp_path, **{**online, "HF_HUB_OFFLINE": "1"})
    succeeded(again)
    first, second = (text.partition("what it costs")[0] for text in (done.stdout, again.stdout))
    assert first == second  # costs are measured anew


def test_a_run_measures_on_mteb(
    finished: tuple[RunConfig, object], hub: FakeHub, online: dict[str, str], tmp_path: Path
) -> None:
    serve_sts(hub, tmp_path)
    run = tmp_path / "run"
    shutil.copytree(finished[0].output, run)
    words = ["--config", str(run / "config.toml"), "--output", str(run), "--mteb", "STS22.v2"]
    done = hub_distill("evaluate", *words, cwd=tmp_path, **online)
    succeeded(done)
    assert "distill: already done" in done.stderr
    report = json.loads((run / "report.json").read_text())
    assert "mteb STS22.v2, test" in report["corpus"]["kept_out"]
    (row,) = (row for row in report["evaluation"] if "mteb" in row["task"])
    assert (row["task"], row["n"], row["is_main"]) == ("mteb STS22.v2", 100, True)
    for name, figure in row["models"].items():
        for task in ("STS22.v2", "STS-sts"):
            result = mteb.TaskResult.from_disk(run / "evaluation/mteb" / name / f"{task}.json")
            assert result.get_score() == pytest.approx(figure["value"], abs=EQUAL)  # the same pairs
    assert "mteb STS22.v2, cosine_spearman (test, n=100)" in (run / "report.md").read_text()
    again = hub_distill("evaluate", *words, cwd=tmp_path, **{**online, "HF_HUB_OFFLINE": "1"})
    succeeded(again)
    assert "evaluate: already done" in again.stderr


def test_a_figure_that_is_not_defined_is_said(tiny_teacher: Path, tmp_path: Path) -> None:
    data = sets.Similarity(first=["a", "b", "c"], second=["d", "e", "f"], scores=[1.0, 1.0, 1.0])
    model = subject(tiny_teacher, cache=tmp_path, identity="tiny")
    made = as_mteb_task(Task(name="STS flat", split="dev", data=data), "tr")
    (row,), (again,) = (evaluate({"model": model}, [made]) for _ in range(2))
    assert (row.models, row.reason) == ({"model": None}, "mteb gives no number")
    assert again == row


def test_files_alone_are_written_as_results_of_mteb(tiny_teacher: Path, tmp_path: Path) -> None:
    sts = ["--sts", str(sample_file("sts.tsv")), "--lang", "tr"]
    succeeded(hub_distill("evaluate", str(tiny_teacher), *sts, "--mteb", "files", cwd=tmp_path))
    file = next((tmp_path / "evaluation/mteb").glob("*/STS-sts.json"))
    result = mteb.TaskResult.from_disk(file)
    row = json.loads((tmp_path / "evaluation/scores.json").read_text())["rows"][0]
    assert result.get_score() == pytest.approx(next(iter(row["models"].values()))["value"], abs=EQUAL)
    assert result.languages == ["tur"]
    refused(hub_distill("evaluate", "m", "--mteb", "files", cwd=tmp_path), "Nothing to measure on", code=2)


def test_the_tasks_of_a_language() -> None:
    tasks = {task.task.metadata.name: task.task for task in find_mteb_tasks(["tr"], ("tr",), load=False)}
    assert list(tasks) == [t.task.metadata.name for t in find_mteb_tasks(["tur", "XNLI"], ("tr",), load=False)]
    assert {"STS22.v2", "XQuADRetrieval", "XNLI", "NTREXBitextMining", "SIB200ClusteringS2S"} <= set(tasks)
    # Of hundreds of pairs of languages those with English; and nothing in many languages at once.
    assert sorted(tasks["FloresBitextMining"].hf_subsets) == ["eng_Latn-tur_Latn", "tur_Latn-eng_Latn"]
    assert "LanguageClassification" not in tasks
    assert language_codes("zh") == {"zho", "cmn"}


@pytest.mark.parametrize(
    ("name", "lang", "words"),
    [
        ("STS22v2", "tr", "mteb knows no such task. Expected a task or a language; did you mean STS22"),
        ("xx", "tr", "mteb knows no such task"),
        ("akk", "tr", "no text tasks in this language"),
        ("STS22.v2", "th", "has no part in th of --lang. It has "),
        ("CQADupstackRetrieval", "en", "several tasks in one"),
        ("SummEvalSummarization.v2", "en", "is Summarization of text. Expected a task with text of one of these: STS,"),
    ],
)
def test_what_mteb_does_not_have_is_refused(name: str, lang: str, words: str, tmp_path: Path) -> None:
    done = hub_distill("evaluate", "nowhere/model", "--mteb", name, "--lang", lang, cwd=tmp_path)
    refused(done, f"--mteb {name}", words)


def test_a_hub_that_cannot_be_reached_is_said_before_any_work(
    hub: FakeHub, online: dict[str, str], tmp_path: Path
) -> None:
    asked = ["evaluate", "nowhere/model", "--mteb", "STS22.v2", "--lang", "tr"]
    offline = hub_distill(*asked, cwd=tmp_path, **{**online, "HF_HUB_OFFLINE": "1"})
    refused(offline, "dataset of the mteb task 'STS22.v2'", "Check the network")
    unknown = hub_distill(*asked, cwd=tmp_path, **online)
    refused(unknown, "mteb cannot load the data of STS22.v2: Dataset 'mteb/sts22-crosslingual-sts' doesn't exist")
    hub.faults.append(Fault("datasets/mteb", 503, times=99))
    serve_sts(hub, tmp_path)
    cold = {**online, "HF_HOME": str(tmp_path / "cold")}
    refused(hub_distill(*asked, cwd=tmp_path, **cold), "The Hub is in trouble (status 503)")
    assert not (tmp_path / "evaluation").exists()


def test_mteb_that_is_not_installed_is_said(tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_tools.evaluation.mteb_tasks.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'hub-tools\[eval\]'"):
        api.evaluate({"teacher": str(tiny_teacher)}, mteb="STS22.v2")


def test_the_report_names_the_prompts(local_tasks: dict[str, Task], tiny_teacher: Path) -> None:
    made = [as_mteb_task(local_tasks[kind], "tr") for kind in ("sts", "retrieval")]
    rows = evaluate({"asked": subject(tiny_teacher, PROMPTS)}, made)
    assert [row.prompts["asked"] for row in rows] == [
        {"texts": PROMPTS["query"]},
        {"queries": PROMPTS["query"], "passages": PROMPTS["document"]},
    ]
