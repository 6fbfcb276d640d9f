"""The typed report: built from the record of a run, written as JSON, Markdown and figures, and redacted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_tools.core.errors import UserError
from hub_tools.core.files import write_text
from hub_tools.core.run_record import RunRecord, read_record
from hub_tools.demo import demo_config
from hub_tools.hub.repos import repo_ids
from hub_tools.hub.space_repo import run_files
from hub_tools.models.resolve import bundled_teacher, find_teacher
from hub_tools.reporting.cards import model_card
from hub_tools.reporting.redact import redact_paths, redact_report
from hub_tools.reporting.report import FullReport, Report, read_report
from hub_tools.reporting.reproduce import reproduce
from hub_tools.reporting.space_settings import SpaceSettings
from hub_tools.reporting.summary import summary_text
from hub_tools.reporting.tables import markdown_table, score_text, terminal_table
from hub_tools.reporting.text import write_report
from tests import fake_run


@pytest.fixture
def values() -> dict[str, Any]:
    return fake_run.read_report()


def test_the_json_of_a_report_is_read_back_as_it_was_written(values: dict[str, Any]) -> None:
    report = FullReport.from_dict(values)
    assert json.loads(json.dumps(report.to_dict())) == values
    assert json.dumps(report.tokenizer.measures["tr"]["student"]["tokens_used"]) == "611"
    assert Report.from_dict({**values, "distill": None, "evaluation": []}).distill is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"timings": None}, "timings"),
        ({"anything": 1}, "(?i)unknown key 'anything'"),
        ({"clone": {"exact": "many"}}, r"clone\.\w+|clone has no"),
        ({"corpus": None}, "corpus"),
    ],
)
def test_a_report_that_lacks_something_is_refused(values: dict[str, Any], change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FullReport.from_dict({**values, **change})


def test_the_report_says_what_the_record_says(values: dict[str, Any], tmp_path: Path) -> None:
    run = fake_run.write_run(tmp_path / "run", values)
    write_text(run / "student" / "modeling.py", "")
    fake_run.mark(run, read_record(run))
    report = read_report(run)
    expected = {
        **values,
        "student": {**values["student"], "id": str(run / "student"), "code": ["modeling.py"]},
        "config": {**values["config"], "output": str(run)},
    }
    assert json.loads(json.dumps(report.to_dict())) == expected


def test_report_and_card_name_the_prompt_of_each_side(values: dict[str, Any], tmp_path: Path) -> None:
    assert "None of the models uses prompts." in model_card(FullReport.from_dict(values), {"model": "ada/x"})
    prompts = {"queries": "query: ", "passages": "title | text: "}
    for row in values["evaluation"]:
        if row["task"] == "retrieval sample (tr)":
            row["prompts"] = dict.fromkeys(("teacher", "student"), prompts) | {"clone": {}}
    run = fake_run.write_run(tmp_path / "run", values)
    report = read_report(run)
    write_report(run, report)
    for text in ((run / "report.md").read_text(encoding="utf-8"), model_card(report, {"model": "ada/x"})):
        assert (
            "Prompts: teacher, student read queries behind 'query: '; "
            "teacher, student read passages behind 'title \\| text: '."
        ) in text


def test_a_table_of_text_has_no_columns_of_zeros(values: dict[str, Any], tmp_path: Path) -> None:
    def head() -> str:
        run = fake_run.write_run(tmp_path / "run", values)
        write_report(run, read_report(run))
        lines = (run / "report.md").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("| language | read | kept"))

    for text in values["corpus"]["text"].values():
        text |= {"dropped_duplicate": 0, "dropped_contaminated": 0}
    assert "duplicates" not in head()
    values["corpus"]["text"]["de"] |= {"dropped_duplicate": 3, "dropped_contaminated": 1}
    assert "| duplicates |" in head()
    assert "| evaluation texts |" in head()


@pytest.mark.parametrize("text", ["teacher = 'org/another'\nlang = 'de'\n", "no [ TOML", ""])
def test_another_configuration_changes_nothing_in_the_report(values: dict[str, Any], tmp_path: Path, text: str) -> None:
    run = fake_run.write_run(tmp_path / "run", values)
    before = read_report(run)
    write_text(run / "config.toml", "# The options of a hub-distill run.\n" + text)
    assert read_report(run) == before


def test_of_options_that_stages_share_the_last_stages_count(values: dict[str, Any], tmp_path: Path) -> None:
    record = fake_run.record_of(values)
    clone, embeddings = record.stages["clone"], record.stages["embeddings"]
    clone = replace(
        clone, options={**clone.options, "device": "mps", "embed": {"query_prompt": "q: ", "dtype": "float32"}}
    )
    embeddings = replace(embeddings, options={**embeddings.options, "embed": {"dtype": "float16"}})
    record = replace(record, stages={**record.stages, "clone": clone, "embeddings": embeddings})
    config = Report.from_record(record, tmp_path).config
    assert (config.device, config.embed.query_prompt, config.embed.dtype) == ("cpu", "q: ", "float16")


def test_the_report_of_some_stages_has_no_other_sections(values: dict[str, Any], tmp_path: Path) -> None:
    record = fake_run.record_of(values)
    stages = {folder: record.stages[folder] for folder in ("corpus", "tokenizer")}
    report = Report.from_record(RunRecord(stages=stages), tmp_path)
    assert not isinstance(report, FullReport)
    assert (report.teacher, report.clone, report.distill, report.evaluation) == (None, None, None, [])
    assert list(report.timings) == ["corpus", "tokenizer"]
    write_report(tmp_path, report)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# A Turkish tokenizer from google/embeddinggemma-300m\n")
    assert re.search(r"!\[25% fewer tokens for Turkish text: .*4 languages.*\]\(figures/tokens_per_word.png\)", text)
    assert (tmp_path / "figures" / "tokens_per_word.png").stat().st_size > 5000
    assert "cosine" not in text


def test_a_report_of_some_stages_does_not_replace_that_of_all(values: dict[str, Any], tmp_path: Path) -> None:
    run = fake_run.write_run(tmp_path / "run", values)
    write_report(run, read_report(run))
    before = (run / "report.json").read_bytes()
    write_report(run, Report.from_dict({**values, "distill": None, "evaluation": []}))
    assert (run / "report.json").read_bytes() == before


def test_what_was_not_measured_is_not_reported(values: dict[str, Any], tmp_path: Path) -> None:
    values["distill"] |= {"cosine_before": None, "cosine_after": None, "tokens_per_second": None}
    values["evaluation"][0]["models"] |= {"clone": None, "student": None}
    values["evaluation"][0]["n"] = None
    run = fake_run.write_run(tmp_path / "run", values)
    (run / "student" / "training.json").write_text('{"history": [{"step": 0, "cosine": null}]}')
    fake_run.mark(run, read_record(run))
    write_text(run / "figures" / "heldout_cosine.png", "of an earlier run")
    report = read_report(run)
    assert report.clone.cosine_to_teacher is None
    write_report(run, report)
    text = (run / "report.md").read_text(encoding="utf-8")
    assert "on cpu in fp32; best held-out cosine not measured." in text
    assert "| similarity to the teacher's vectors, cosine (heldout) | 1.000 |  |  |" in text
    assert "heldout_cosine.png" not in text
    assert not (run / "figures" / "heldout_cosine.png").exists()
    assert re.search(r"similarity to the teacher's vectors +1\.000$", summary_text(report, run), re.M)


@pytest.mark.parametrize(
    "damage",
    [
        {"corpus": {"options": {}}},
        {"clone": {"options": {"lang": 5}}},
        {"evaluation": {"result": {}}},
        {"student": {"options": {"teacher": "x", "distill": {"no_such_option": 1}}}},
    ],
)
def test_a_damaged_record_is_named(values: dict[str, Any], tmp_path: Path, damage: dict[str, Any]) -> None:
    run = fake_run.write_run(tmp_path / "run", values)
    record = fake_run.record_of(values)
    stages = dict(record.stages)
    for folder, changes in damage.items():
        stages[folder] = replace(stages[folder], **changes)
    if "corpus" in damage:  # the options of all stages are gone
        stages = {folder: replace(stage, options={}) for folder, stage in stages.items()}
    fake_run.mark(run, replace(record, stages=stages))
    with pytest.raises(UserError, match=r"run\.json is damaged .* nothing was changed"):
        read_report(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run folder"):
        read_report(tmp_path)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/ada/secret/teacher/", "PATH/teacher"),
        ("~/texts/tr.txt.gz", "PATH/tr.txt.gz"),
        (r"C:\Users\ada\texts\tr.txt", "PATH/tr.txt"),
        ("/data/q.tsv.gz,/data/p.tsv.gz", "PATH/q.tsv.gz,PATH/p.tsv.gz"),
        (r"C:\data\q.tsv,C:\data\p.tsv", "PATH/q.tsv,PATH/p.tsv"),
        ("q.tsv,~ada/p.tsv", "q.tsv,PATH/p.tsv"),
        ("bugün,~5 km,/h", "bugün,~5 km,PATH/h"),
        ("org/model@v1", "org/model@v1"),
        ("wikimedia/wikipedia:20231101.{lang}", "wikimedia/wikipedia:20231101.{lang}"),
    ],
)
def test_paths_are_shown_without_their_folders(value: str, shown: str) -> None:
    assert redact_paths(value) == shown


def test_a_redacted_report_names_no_folder_of_the_machine(values: dict[str, Any]) -> None:
    values["teacher"] |= {"id": "/home/ada/teachers/minilm", "revision": None}
    values["config"] |= {"teacher": "/home/ada/teachers/minilm", "output": "/home/ada/runs/minilm-tr"}
    values["student"]["id"] = "/home/ada/runs/minilm-tr/student"
    report = redact_report(FullReport.from_dict(values))
    assert "/home" not in json.dumps(report.to_dict())
    assert report.config.corpus.sources[1] == "PATH/news.txt.gz"
    assert report.evaluation == FullReport.from_dict(values).evaluation


def test_the_bundled_teacher_has_its_own_name(values: dict[str, Any], tmp_path: Path) -> None:
    values["teacher"] |= {"id": "bundled", "revision": None}
    values["config"] |= {"teacher": "bundled", "publish": {**values["config"]["publish"], "namespace": "ada"}}
    report = read_report(fake_run.write_run(tmp_path / "run", values))
    write_report(tmp_path / "run", report)
    name = "sentence-transformers/all-MiniLM-L6-v2"
    title = (tmp_path / "run/report.md").read_text(encoding="utf-8").splitlines()[0]
    assert title == f"# A Turkish student of {name}"
    card = model_card(report, {"model": "ada/x"})
    assert f"\nbase_model: {name}\n" in card
    assert f"[{name}](https://huggingface.co/{name})" in card
    assert f"--teacher {name} " in reproduce(report)[0]
    assert repo_ids(report.config)["model"] == "ada/all-MiniLM-L6-v2-tr"
    space = run_files(report, {"model": "ada/x"})
    assert json.loads(space["space.json"])["teacher"] == "bundled"
    assert f"\n- {name}\n" in space["README.md"].decode()
    assert demo_config(tmp_path).teacher == "bundled"
    assert find_teacher("bundled").path == bundled_teacher()


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("spearman", 0.7336, "73.4"), ("cosine", 0.98061, "0.981"), ("mrr", None, "")],
)
def test_values_are_written_as_their_metric_is_read(metric: str, value: float | None, text: str) -> None:
    assert score_text(metric, value) == text


def test_tables_are_aligned() -> None:
    rows = [["", "teacher"], ["tokens", "1.50"]]
    assert markdown_table(rows) == "|  | teacher |\n|---|---:|\n| tokens | 1.50 |"
    assert terminal_table(rows) == "        teacher\n---------------\ntokens     1.50"


def test_a_change_that_rounds_to_nothing_has_no_minus(values: dict[str, Any]) -> None:
    english = values["tokenizer"]["measures"]["en"]
    english["student"]["tokens_per_word"] = english["teacher"]["tokens_per_word"] - 0.001
    card = model_card(FullReport.from_dict(values), {"model": "ada/x"})
    assert "| English | 1.18 | 1.18 | +0% |" in card


def test_settings_of_a_space_are_checked(tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text('{"student": "ada/x-tr", "teacher": "bundled"}')
    assert SpaceSettings.read(tmp_path) == SpaceSettings(student="ada/x-tr", teacher="bundled")
    for text in ('{"teacher": "org/x"}', '{"student": 5}', "{", '{"student": "ada/x-tr", "modle": "x"}'):
        (tmp_path / "space.json").write_text(text)
        with pytest.raises(UserError, match=r"space\.json is damaged"):
            SpaceSettings.read(tmp_path)
