"""Pictures and warnings: what is drawn, in which order and in which words, and which work was in vain."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from matplotlib import pyplot as plt
from matplotlib.text import Text

from hub_tools.cli.stages import run_job
from hub_tools.config import RunConfig
from hub_tools.core.run_record import read_record
from hub_tools.evaluation.bootstrap import figures
from hub_tools.evaluation.metrics import Measure
from hub_tools.reporting import drawing, plots, quality
from hub_tools.reporting.cards import model_card
from hub_tools.reporting.fertility import TokenizerComparison
from hub_tools.reporting.figures import draw_figures, figure_alts
from hub_tools.reporting.report import FullReport, read_report
from hub_tools.reporting.scores import kind_of, row_cells, warnings_of
from hub_tools.reporting.summary import summary_text
from hub_tools.reporting.text import models_of, size_rows, write_report
from hub_tools.results import EvaluationRow, Figure
from tests import fake_run

NAMES = ("teacher", "trim", "clone", "student")


def row(task: str, *scores: float, noise: float = 0.0, metric: str = "spearman") -> EvaluationRow:
    """A measurement of as many of `NAMES` as there are scores, with the real bounds of 200 items."""
    names = NAMES if len(scores) == len(NAMES) else ("teacher", "clone", "student")
    rng = np.random.default_rng(0)

    def measure(score: float) -> Measure:
        values = score + noise * rng.standard_normal(200)
        return Measure(metric, 200, lambda items: float(values[items].mean()))

    found = figures({name: measure(score) for name, score in zip(names, scores, strict=True)})
    return EvaluationRow(task=task, split="test", metric=metric, n=200, models=found)


def plain(task: str, metric: str) -> EvaluationRow:
    return EvaluationRow(
        task=task, split="heldout", metric=metric, n=9, models={name: Figure(value=0.5) for name in NAMES}
    )


# -- warnings


def test_each_step_has_to_be_worth_its_while() -> None:
    assert warnings_of([row("A", 0.8, 0.7, 0.75, 0.76)]) == []
    lost_training = warnings_of([row("A", 0.8, 0.7, 0.78, 0.75)])
    assert [said.partition(".")[0] for said in lost_training] == [
        "Training made the student worse than the clone at A (-3"
    ]
    both = warnings_of([row("A", 0.8, 0.78, 0.7, 0.75), row("B", 0.8, 0.7, 0.75, 0.78)])
    assert [said.partition(" at ")[0] for said in both] == [
        "The clone is worse than plain trimming, where no token is learned,",
        "The student is worse than plain trimming, where no token is learned,",
    ]
    assert all("A (-" in said and "B (" not in said for said in both)
    assert all("--learn" in said for said in both)
    # A loss within the noise is none, and other measures of a task do not count.
    assert warnings_of([row("A", 0.8, 0.71, 0.7, noise=1.0)]) == []
    assert warnings_of([replace(row("A", 0.8, 0.78, 0.7), is_main=False)]) == []
    assert warnings_of([plain("speed", "sentences/s")]) == []


@pytest.fixture
def values() -> dict[str, Any]:
    """A report of a run with a trimmed teacher, whose training and learned tokens did harm."""
    values = fake_run.read_report()
    rows = [row("STS x", 0.8, 0.79, 0.72, 0.7), row("found", 0.9, 0.8, 0.85, 0.86, metric="ndcg@10")]
    plain_rows = [own for own in values["evaluation"] if own["metric"] in ("cosine", "sentences/s")]
    made = replace(FullReport.from_dict(values), evaluation=rows).to_dict()["evaluation"]
    values["evaluation"] = [*plain_rows, *json.loads(json.dumps(made))]
    values["costs"]["trim"] = values["costs"]["clone"]
    return values


def test_warnings_stand_out_in_report_and_card(values: dict[str, Any], tmp_path: Path) -> None:
    run = fake_run.write_run(tmp_path / "run", values)
    report = read_report(run)
    write_report(run, report)
    own, card = (run / "report.md").read_text(encoding="utf-8"), model_card(report, {"model": "ada/x"})
    for text in (own, card):
        assert text.count("\n> [!WARNING]\n> ") == 3
        assert "> [!WARNING]\n> The clone is worse than plain trimming" in text
    assert "STS x (-2.0). Use the clone" in own
    assert "STS x (-2.0).\n" in card  # the clone is not published
    sound = replace(report, evaluation=[row("A", 0.8, 0.7, 0.75, 0.78)])
    assert "WARNING" not in model_card(sound, {"model": "ada/x"})


def test_a_run_warns_on_the_terminal(
    values: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = read_report(fake_run.write_run(tmp_path / "run", values))
    monkeypatch.setattr("hub_tools.pipeline.run", lambda *_, **__: report)
    monkeypatch.setattr("hub_tools.cli.stages.tune_process", lambda: None)
    monkeypatch.setattr(logging.getLogger("hub_tools"), "propagate", True)
    run_job(RunConfig(teacher="x", lang=("tr",), output=tmp_path), resume=True)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    messages = list(dict.fromkeys(caplog.messages))  # a logger that a test before it made to propagate says it twice
    assert len(messages) == 3
    assert messages[0].startswith("Warning: Training made the student worse than the clone at STS x (-2.0)")
    assert "worse at STS x (-10.0)" in capsys.readouterr().out


def test_a_trimmed_teacher_is_a_column_of_its_own(values: dict[str, Any]) -> None:
    report = FullReport.from_dict(values)
    assert models_of(report) == list(NAMES)
    assert size_rows(report)[1] == ["parameters", "999,072", "153,440", "153,440", "153,440"]
    assert row_cells(report.evaluation[0], NAMES)[1] == ""  # its cosine was not measured
    lines = summary_text(report, Path("run")).splitlines()
    assert lines[1].split() == [*NAMES, "change"]
    tokens = next(line for line in lines if line.startswith("tokens per word, Turkish"))
    assert tokens.split()[-4:] == ["3.46", "2.61", "2.61", "-25%"]  # the trimmed teacher's tokenizer was not measured


# -- pictures


def pixels(png: bytes) -> Any:
    return image.imread(BytesIO(png))


def drawn(monkeypatch: pytest.MonkeyPatch, draw: Any, *arguments: Any) -> Any:
    """The figure that is drawn, with its axes, before it is closed."""
    kept: list[Any] = []
    monkeypatch.setattr(plt, "close", kept.append)
    assert pixels(draw(*arguments)).shape[1] == 810
    return kept[0]


def texts(figure: Any) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_tasks_are_drawn_by_kind_and_only_they(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        plain("similarity to the teacher's vectors", "cosine"),
        row("found", 0.9, 0.8, 0.85, metric="ndcg@10"),
        row("STS $x$", 0.8, 0.7, 0.75),
        replace(row("STS $x$", 0.8, 0.7, 0.75, metric="pearson"), is_main=False),
        row("topics", 0.6, 0.6, 0.6, noise=0.5, metric="v-measure"),
        plain("speed", "sentences/s"),
    ]
    assert [own.task for own in plots.judged(rows)] == ["STS $x$", "found", "topics"]
    figure = drawn(monkeypatch, plots.draw_scores, rows)
    assert texts(figure)[:3] == ["Similarity", "STS $x$, spearman", "Retrieval"]
    assert figure.get_suptitle() == "Student against teacher on 3 tasks"
    dots = [line for line in figure.axes[0].lines if line.get_marker() in "o^D"]
    assert [round(float(dot.get_xdata()[0])) for dot in dots[:3]] == [80, 70, 75]
    hollow = [dot.get_markerfacecolor() == drawing.PAPER for dot in dots]
    assert hollow == [False] * 6 + [False, True, True]  # level with the teacher, within the noise
    assert plots.scores_alt(rows) == (
        "Student against teacher on 3 tasks: main score of teacher, clone, student at each task; "
        "the table has the numbers"
    )


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("spearman", "Similarity"),
        ("cosine_spearman", "Similarity"),
        ("ndcg@10", "Retrieval"),
        ("ndcg_at_10", "Retrieval"),
        ("accuracy tr-en", "Translations"),
        ("ap", "Pairs"),
        ("max_ap", "Pairs"),
        ("map", "Retrieval"),
        ("accuracy", "Classification"),
        ("v_measure", "Clustering"),
        ("anything", "Other"),
    ],
)
def test_kinds_of_measures(metric: str, kind: str) -> None:
    assert kind_of(metric) == kind


def test_figures_without_bounds_or_values_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    sure = row("A", 0.8, 0.7, 0.75)
    found = {"teacher": Figure(value=0.8), "clone": None, "student": sure.models["student"]}
    figure = drawn(monkeypatch, plots.draw_scores, [replace(sure, models=found)])
    assert len([line for line in figure.axes[0].lines if line.get_marker() in "o^D"]) == 2
    assert len(figure.axes[0].lines) == 4  # and one line between them, and the bounds of one
    assert plots.scores_alt([plain("speed", "sentences/s")]) is None


def test_quality_is_the_mean_of_what_all_models_have(monkeypatch: pytest.MonkeyPatch) -> None:
    some = row("B", 0.2, 0.2, 0.2)
    rows = [row("A", 0.8, 0.6, 0.7), row("C", 0.6, 0.4, 0.5), replace(some, models={**some.models, "clone": None})]
    params = {"teacher": 118_000_000, "clone": 34_100_000, "student": 34_100_000}
    assert quality.quality_alt(rows, params) == (
        "Quality against size, mean score of 2 tasks and parameters: "
        "teacher 70.0 with 118 million; clone 50.0 with 34 million; student 60.0 with 34 million"
    )
    figure = drawn(monkeypatch, quality.draw_quality, rows, params)
    assert sorted(texts(figure)) == ["clone, 50.0", "student, 60.0", "teacher, 70.0"]
    assert figure.axes[0].get_xscale() == "log"
    assert quality.quality_alt(rows, {"teacher": 5}) is None
    speeds = {"teacher": 1.0, "clone": 0.9, "student": 2.1}
    assert (quality.quality_alt(rows, params, speeds=speeds) or "").endswith(
        "clone 50.0 with 34 million and 0.9 times the speed; student 60.0 with 34 million and 2.1 times the speed"
    )
    assert quality.quality_alt([plain("speed", "sentences/s")], params) is None


def test_quality_is_drawn_against_size_and_against_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    params = {"teacher": 118_000_000, "clone": 34_100_000, "student": 34_100_000}
    speeds = {"teacher": 1.0, "clone": 0.9, "student": 2.1}
    for lang, labels in {"en": ("millions of parameters", "times the teacher's"), "tr": ("milyon", "katı")}.items():
        draw = partial(quality.draw_quality, [row("A", 0.8, 0.6, 0.7)], params, lang, speeds=speeds)
        figure = drawn(monkeypatch, draw)
        for axes, label, places in zip(figure.axes, labels, ((118, 34.1), (1.0, 2.1)), strict=True):
            assert label in axes.get_xlabel()
            marks = {line.get_marker(): line.get_xdata()[0] for line in axes.lines if line.get_marker() in "oD"}
            assert (marks["o"], marks["D"]) == places
    # Without tasks it is what is measured without labels.
    found = [plain("agreement with the teacher, sentences", "similarities ranked")]
    assert "mean score of 1 task" in (quality.quality_alt(found, params) or "")


@pytest.mark.parametrize("fifth", [0.5, 0.83])
def test_names_of_models_are_drawn_and_do_not_cover_one_another(monkeypatch: pytest.MonkeyPatch, fifth: float) -> None:
    values = {"teacher": 0.820, "layers-12": 0.826, "layers-6-vocab-16384": 0.745, "static": 0.502, "another": fifth}
    if fifth > 0.8:  # many near the top
        values["layers-6-vocab-16384"] = 0.825
    found = {name: Figure(value=value) for name, value in values.items()}
    rows = [replace(plain("agreement", "similarities ranked"), models=found)]
    params = dict(zip(values, (117_700_000, 34_200_000, 17_300_000, 12_600_000, 34_200_000), strict=True))
    speeds = dict(zip(values, (1.0, 0.95, 1.99, 66.3, 1.2), strict=True))
    figure = drawn(monkeypatch, partial(quality.draw_quality, rows, params, speeds=speeds))
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == 5
        assert all(text._check_xy() for text in axes.texts)  # one that is outside is not drawn
        assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))


def test_languages_are_sorted_and_what_is_not_read_has_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {
        "en": {"teacher": 1.2, "student": 1.3},
        "th": {"teacher": 0.06, "student": 0.07},
        "tr": {"teacher": 3.0, "student": 2.4},
        "ru": {"teacher": 6.0, "student": 6.0},
        "ja": {"teacher": 0.9, "student": 0.8},
    }
    unread = {("th", "teacher"), ("th", "student"), ("ru", "student")}
    figure = drawn(monkeypatch, plots.draw_tokens, rates, ("tr",), unread)
    spaced, unspaced = figure.axes
    assert [label.get_text() for label in spaced.get_yticklabels()] == ["Russian", "Turkish", "English"]
    assert [label.get_text() for label in unspaced.get_yticklabels()] == ["Japanese"]
    assert [label.get_weight() for label in spaced.get_yticklabels()] == ["normal", "bold", "normal"]
    assert unspaced.get_xlabel() == "tokens per character"
    marks = [(line.get_marker(), float(line.get_xdata()[0])) for line in spaced.lines if line.get_marker() in "oD"]
    assert marks == [("o", 6.0), ("o", 3.0), ("D", 2.4), ("o", 1.2), ("D", 1.3)]  # the student does not read Russian
    assert texts(figure) == ["3.00 → 2.40"]  # of the target alone
    note = figure.legends[0].get_title().get_text()
    assert note == "no mark: much of the text is unknown to the tokenizer\nread by none: Thai"
    assert figure.get_suptitle() == "20% fewer tokens for Turkish text"
    # Nothing is saved in a language that is not read.
    assert "5 languages" in (plots.tokens_alt(rates, ("th",), unread) or "")
    assert "fewer" not in (plots.tokens_alt(rates, ("th",), unread) or "")
    assert plots.tokens_alt({}, ("tr",), set()) is None


def test_languages_that_nobody_reads_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn(monkeypatch, plots.draw_tokens, {"th": {"teacher": 0.1}}, ("th",), {("th", "teacher")})
    assert "Thai" in figure.legends[0].get_title().get_text()
    assert not figure.axes[0].axison


def test_the_step_that_was_saved_is_marked(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    distill = FullReport.from_dict(values).distill
    history = [{"step": 0, "cosine": 0.9}, {"step": 2, "cosine": 0.99}, {"step": 4, "cosine": 0.985}]
    figure = drawn(monkeypatch, plots.draw_history, history, distill, 0.5)
    (mark,) = [line for line in figure.axes[0].lines if line.get_marker() == "D" and len(line.get_xdata())]
    assert (mark.get_xdata()[0], round(float(mark.get_ydata()[0]), 3)) == (2, 0.981)  # below the curve: blended
    assert texts(figure) == ["0.981"]
    assert figure.legends[0].get_texts()[1].get_text() == "saved: step 2, 50% blended back to the start"
    turkish = drawn(monkeypatch, plots.draw_history, history, distill, 0.5, "tr")
    turkish.canvas.draw()
    ticks = [label.get_text() for label in turkish.axes[0].get_yticklabels()]
    assert ticks
    assert all(re.fullmatch(r"[01],\d{3}", tick) for tick in ticks)
    assert plots.history_alt(distill, 0) == (
        "Held-out cosine over the training: 0.981 before, 0.981 for the best weights (saved: step 2)"
    )
    kept = replace(distill, kept_trim=True)
    assert "the trimmed teacher was saved instead" in (plots.history_alt(kept, 0.5) or "")
    assert plots.history_alt(replace(distill, cosine_after=None), 0.5) is None


def test_forty_languages_and_many_models_have_room() -> None:
    from hub_tools.core.languages import LANGUAGES

    rates = {lang: {"a-very-long-name-of-a-tokenizer" * 3: 2.0, "b": 1.0} for lang in LANGUAGES}
    assert pixels(plots.draw_tokens(rates, ("tr",), set())).shape[0] > 40 * 0.2 * 150
    assert pixels(plots.draw_tokens({"tr": {"a": 2.0}}, ("tr",), set())).shape[0] < 400


def test_every_figure_of_a_run_is_drawn_and_said_in_words(values: dict[str, Any], tmp_path: Path) -> None:
    run = fake_run.write_run(tmp_path / "run", values)
    report, record = read_report(run), read_record(run)
    names = {name.removesuffix(".png") for name in draw_figures(run, report)}
    assert names == {name for name, alt in figure_alts(report).items() if alt}
    card = model_card(report, {"model": "ada/x"})
    assert all(f"](figures/{name}.png)" in card for name in names)
    assert "![](" not in card
    assert record.stages  # it was a finished run


def test_figures_speak_the_language_of_the_page(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    """No word that a figure has in English is left in the Turkish one, but for names of data and measures."""
    report = FullReport.from_dict(values)
    rates = {code: {"teacher": 3.0, "student": 2.4} for code in ("tr", "th", "de")}
    history = [{"step": 0, "cosine": 0.9}, {"step": 2, "cosine": 0.99}]
    drawings = [
        (plots.draw_scores, report.evaluation),
        (quality.draw_quality, report.evaluation, {"teacher": 9_000_000, "student": 5_000_000}),
        (plots.draw_tokens, rates, ("tr",), {("th", "teacher"), ("th", "student")}),
        (plots.draw_history, history, report.distill, 0.5),
    ]
    for draw, *given in drawings:
        both = []
        for lang in ("en", "tr"):
            figure = drawn(monkeypatch, draw, *given, lang)
            written = {text.get_text() for text in figure.findobj(Text)} | {figure.get_suptitle()}
            both.append({word for text in written for word in re.findall(r"[^\W\d_]{4,}", text)})
        shared = both[0] & both[1] - {"tokens", "tokenizer", "spearman", "ndcg", "found"}
        assert shared == set(), draw
        assert len(both[1]) >= 5


def test_comparisons_mark_what_is_not_read() -> None:
    sure = {"tokens_per_word": 2.0, "characters_per_token": 2.0, "bytes_per_token": 2.0, "continued_words": 0.5}
    sure |= {"renyi_efficiency": 0.5, "tokens_used": 9, "unknown_tokens": 0.0, "unknown_text": 0.0}
    lost = {**sure, "unknown_tokens": 0.6, "unknown_text": 0.9}
    found = TokenizerComparison(vocabulary={"a": 9, "b": 9}, text={"tr": {"a": sure, "b": lost}}, parity={})
    shown = str(found).splitlines()
    assert "2.000?" not in shown[3]
    assert "2.000?" in shown[4]
    assert "60.0%" in shown[4]
    assert shown[-1].startswith("? More than 2% of the characters are unknown")
    clear = replace(found, text={"tr": {"a": sure}}, vocabulary={"a": 9})
    assert "?" not in str(clear)
    parity = replace(clear, parity={"th": {"a": None}})
    assert str(parity).splitlines()[-1].startswith("? More than")


def test_a_target_that_the_teacher_does_not_read_saves_nothing(values: dict[str, Any], tmp_path: Path) -> None:
    assert "? More than" not in summary_text(FullReport.from_dict(values), tmp_path)
    values["tokenizer"]["measures"]["tr"]["teacher"] |= {"unknown_tokens": 0.5, "unknown_text": 0.8}
    report = read_report(fake_run.write_run(tmp_path / "run", values))
    shown = summary_text(report, tmp_path)
    assert "3.46?" in shown
    assert "? More than 2% of the characters are unknown" in shown
    write_report(tmp_path / "run", report)
    text = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert "| Turkish | 3.46? | 2.61 |  | 50.0% | 0.0% |" in text
    assert "(parity): teacher 2.31?, student 1.18." in text
    assert "fewer tokens for Turkish" not in text
