"""What a run ends with: the table, the searches and what to do next, in words, in colours and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hub_tools.cli import main
from hub_tools.evaluation.evaluate import telling
from hub_tools.reporting.report import FullReport, Report, read_report
from hub_tools.reporting.summary import summary_data, summary_text
from hub_tools.results import EvaluationRow, Figure, Interval, Search
from tests import fake_run
from tests.commands import hub_distill, refused, succeeded

RUN = Path("runs/a b")


def row(task: str, value: float, difference: Interval | None, metric: str = "spearman") -> EvaluationRow:
    student = Figure(value=value, differences={"teacher": difference} if difference else {})
    models = {"teacher": Figure(value=0.5), "clone": Figure(value=0.4), "student": student}
    return EvaluationRow(task=task, split="test", metric=metric, n=60, models=models)


@pytest.fixture
def report() -> FullReport:
    rows = [
        row("A", 0.7, Interval(value=0.2, low=0.1, high=0.3)),
        row("B", 0.4, Interval(value=-0.1, low=-0.2, high=-0.05)),
        row("C", 0.51, Interval(value=0.01, low=-0.1, high=0.1)),
        row("D", 0.6, Interval(value=0.1)),
        row("E", 0.6, None),
        replace(row("retrieval sample (tr)", 0.3, None, "recall@1"), is_main=False),
    ]
    searches = [
        Search(query="Neden?", teacher="Yanlış.", student="Doğru.", teacher_place=7, student_place=1),
        Search(query="Ne zaman?", teacher="Doğru.", student="Yanlış.", teacher_place=1, student_place=2),
    ]
    return replace(FullReport.from_dict(fake_run.read_report()), evaluation=rows, searches=searches)


def test_the_last_column_says_what_changed_and_whether_it_is_more_than_noise(report: FullReport) -> None:
    lines = summary_text(report, RUN).splitlines()
    assert lines[1].split() == ["teacher", "clone", "student", "change"]
    ends = {line.split()[0].rstrip(","): line.split()[-3:] for line in lines[3:13]}
    assert ends["parameters"] == ["0.2M", "0.2M", "-85%"]
    assert ends["vocabulary"] == ["4,096", "4,096", "-87%"]
    assert ends["A"] == ["70.0", "+20.0", "✓"]
    assert ends["B"] == ["40.0", "-10.0", "✗"]
    assert ends["C"] == ["51.0", "+1.0", "="]
    assert ends["D"] == ["60.0", "+10.0", "?"]
    assert ends["E"] == ["50.0", "40.0", "60.0"]
    assert "retrieval sample" not in ends
    assert not any(line.endswith(" ") for line in lines)


def test_searches_say_whether_the_right_passage_was_found(report: FullReport) -> None:
    text = summary_text(report, RUN)
    assert "The right passage comes first, of 60 questions: teacher 30, student 18." in text
    assert "? Neden?\n  teacher ✗ (the right one is number 7) Yanlış.\n  student ✓ Doğru.\n" in text
    unknown = replace(report, searches=[Search(query="Ne?", teacher="Bu.", student="Şu.")])
    assert "? Ne?\n  teacher: Bu.\n  student: Şu.\n" in summary_text(unknown, RUN)


def test_next_steps_are_commands_that_can_be_copied(report: FullReport) -> None:
    *steps, verdict = summary_text(report, RUN).partition("Next:\n")[2].splitlines()
    last = "\n".join(steps)
    assert verdict.startswith("The student is better at some tasks and worse at others than its teacher")
    for step in (
        "hub-distill space 'runs/a b' ",
        'SentenceTransformer("runs/a b/student") ',
        "hub-distill publish 'runs/a b' --push-to-hub NAME --dry-run ",
        "runs/a b/report.md ",
    ):
        assert f"  {step}" in last


def test_colours_are_those_of_the_marks_and_change_no_letter(report: FullReport) -> None:
    painted = summary_text(report, RUN, lambda text, style: f"<{style}>{text}</>")
    assert "<green>+20.0 ✓</>" in painted
    assert "<red>-10.0 ✗</>" in painted
    assert "  student <green>✓</> Doğru." in painted
    plain = painted.replace("</>", "")
    for style in ("green", "red", "dim", "bold"):
        plain = plain.replace(f"<{style}>", "")
    assert plain == summary_text(report, RUN)


def test_the_same_is_there_as_json(report: FullReport) -> None:
    data = json.loads(json.dumps(summary_data(report, RUN)))
    assert (data["run"], data["teacher"], data["languages"]) == ("runs/a b", "google/embeddinggemma-300m", ["tr"])
    results = {result["name"]: result for result in data["results"]}
    assert results["B, spearman, n=60"] == {
        "name": "B, spearman, n=60",
        "teacher": 0.5,
        "clone": 0.4,
        "student": 0.4,
        "change": -0.1,
        "student_is": "worse",
    }
    assert results["tokens per word, Turkish"]["change"] == pytest.approx(2.609 / 3.461 - 1, abs=0.01)
    assert data["searches"][0]["student_place"] == 1
    assert data["verdict"].startswith("The student is better at some tasks and worse at others")
    values: dict[str, Any] = {**fake_run.read_report(), "distill": None, "evaluation": []}
    part = summary_data(Report.from_dict(values), RUN)
    assert (part["results"], part["verdict"]) == ([], None)
    assert part["seconds"] == values["timings"]


def test_a_finished_run_is_shown_again(tmp_path: Path) -> None:
    run = fake_run.write_run(tmp_path / "run", fake_run.read_report())
    done = hub_distill("report", "run", cwd=tmp_path)
    succeeded(done)
    assert done.stdout == summary_text(read_report(run), Path("run")) + "\n"
    as_json = hub_distill("report", "run", "--json", cwd=tmp_path)
    assert json.loads(as_json.stdout) == json.loads(json.dumps(summary_data(read_report(run), Path("run"))))
    assert as_json.stderr == ""
    refused(hub_distill("report", "nothing", cwd=tmp_path), "nothing is no run folder")
    assert "Show the results of a finished RUN again." in CliRunner().invoke(main, ["report", "--help"]).output


def test_the_searches_that_are_shown_begin_with_one_that_works_and_have_a_miss() -> None:
    def search(query: str, teacher: int, student: int) -> Search:
        return Search(query=query, teacher="", student="", teacher_place=teacher, student_place=student)

    both, mine, miss, theirs = search("b", 1, 1), search("m", 3, 1), search("x", 9, 4), search("t", 1, 2)
    assert telling([theirs, both, miss, mine, both]) == [mine, both, theirs]
    assert telling([miss, mine]) == [mine, miss]
    assert telling([miss, both]) == [both, miss]
    assert telling([miss, theirs]) == [miss, theirs]
