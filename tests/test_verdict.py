"""What a report says of its figures in words: how good a student is, what may help, in both languages."""

from __future__ import annotations

from dataclasses import replace

from hub_tools.reporting.report import FullReport
from hub_tools.reporting.scores import gain_of_training, prompts_note, row_label, scores_table, verdict
from hub_tools.reporting.text import verdict_of
from hub_tools.results import EvaluationRow, Figure, Interval
from tests import fake_run


def row(task: str, teacher: float, student: float, *, sure: bool, clone: float | None = None) -> EvaluationRow:
    def difference(value: float) -> Interval:
        return Interval(value=value, low=value - (0.001 if sure else 1), high=value + (0.001 if sure else 1))

    differences = {"teacher": difference(student - teacher)}
    if clone is not None:
        differences["clone"] = difference(student - clone)
    figures = {"teacher": Figure(value=teacher), "student": Figure(value=student, differences=differences)}
    return EvaluationRow(task=task, split="test", metric="spearman", n=900, models=figures)


def test_the_verdict_says_what_the_figures_say() -> None:
    better, worse = row("A", 0.7, 0.72, sure=True), row("B", 0.7, 0.65, sure=True, clone=0.68)
    level = row("C", 0.7, 0.71, sure=False)

    def say(*rows: EvaluationRow) -> str:
        return verdict(rows, student="student", teacher="teacher")

    assert say(better, level) == "The student is better than its teacher: better at A (+2.0); level at 1 of 2 tasks."
    assert say(level) == "The student is level with its teacher: level at 1 of 1 task."
    assert say(worse) == (
        "The student is worse than its teacher: worse at B (-5.0). Keep its teacher where these tasks matter, or train "
        "the student on text like theirs and compare again."
    )
    small = (
        "The student is better than its teacher: better at A (+2.0, n=22). Tasks with n have fewer than 200 items, so"
    )
    assert say(replace(better, n=22)).startswith(small)
    assert say(better, worse).startswith("The student is better at some tasks and worse at others than its teacher")
    assert say().startswith("No task says whether the student is as good as its teacher")
    other = Figure(value=1, differences={"a": Interval(value=0, low=-0.1, high=0.1)})
    renamed = replace(better, models={"a": better.models["teacher"], "b": other})
    assert verdict([renamed], student="b", teacher="a") == "b is level with a: level at 1 of 1 task."
    assert scores_table([better, level])[1:] == [
        ["A, spearman (test, n=900)", "70.0", "72.0 (+2.0)"],
        ["C, spearman (test, n=900)", "70.0", "71.0 (=)"],
    ]


def test_it_is_said_what_training_added_to_the_clone_and_what_is_noise() -> None:
    better, worse = (row(task, 0.5, 0.7, sure=True, clone=clone) for task, clone in (("A", 0.6), ("B", 0.8)))
    noise = replace(row("C", 0.5, 0.7, sure=False, clone=0.72), n=100)
    assert gain_of_training([better, worse, noise, row("D", 0.5, 0.7, sure=True)]) == (
        "What training added to the clone: better at A (+10.0); worse at B (-10.0); "
        "within the noise at C (-2.0, n=100)."
    )
    assert gain_of_training([row("D", 0.5, 0.7, sure=True)]) is None
    report = replace(FullReport.from_dict(fake_run.read_report()), evaluation=[better])
    assert verdict_of(report).endswith("What training added to the clone: better at A (+10.0).")
    assert "clone" not in verdict_of(replace(report, distill=replace(report.distill, kept_trim=True)))


def test_only_what_a_run_can_still_do_is_advised() -> None:
    """A run without learned tokens cannot learn fewer, and one with parallel text needs none."""
    report = FullReport.from_dict(fake_run.read_report())
    worse = [row("B", 0.7, 0.65, sure=True)]
    assert report.corpus.parallel is not None
    with_tokens = replace(report, evaluation=worse, tokenizer=replace(report.tokenizer, added=5))
    learns = (
        "More training (--steps), fewer learned tokens (--learn) or text like that of these tasks (--corpus) may help;"
    )
    assert learns in verdict_of(with_tokens)
    trim = replace(with_tokens, distill=replace(report.distill, kept_trim=True))
    for nothing_learned in (replace(with_tokens, tokenizer=replace(report.tokenizer, added=0)), trim):
        assert "--learn" not in verdict_of(nothing_learned)
    without_pairs = replace(with_tokens, corpus=replace(report.corpus, parallel=None))
    assert "(--corpus) or parallel text (--parallel) may help" in verdict_of(without_pairs)
    assert "--steps" not in verdict_of(replace(report, evaluation=[row("A", 0.7, 0.72, sure=True)]))


def test_models_that_read_behind_the_same_prompts_are_named_together() -> None:
    found = row("A", 0.7, 0.72, sure=True)
    prompts = {name: {"queries": "query: "} for name in found.models}
    assert prompts_note([replace(found, prompts=prompts)]) == "Prompts: all models read queries behind 'query: '."
    prompts["teacher"] = {}
    assert "all models" not in prompts_note([replace(found, prompts=prompts)])


def test_the_report_speaks_turkish() -> None:
    rows = [replace(row("retrieval sample (tr)", 0.7, 0.655, sure=True), n=60), row("STS x", 0.7, 0.72, sure=True)]
    report = replace(FullReport.from_dict(fake_run.read_report()), evaluation=rows)
    said = verdict_of(report, "tr")
    assert said.startswith("Öğrenci, öğretmeni ile karşılaştırıldığında kimi görevde daha iyi, kiminde daha kötü;")
    assert "arama örneği (tr) (-4,5, n=60)" in said
    assert "(--steps)" in said
    assert row_label(rows[0], "tr") == "arama örneği (tr), spearman (test bölümü, n=60)"
    margin = replace(rows[0], metric="accuracy tr-en, margin", task="translations found", split="heldout")
    assert row_label(margin, "tr") == "bulunan çeviriler, doğruluk tr-en, marjla (ayrılmış metin, n=60)"
