"""A run whose student was trained with labels: which model is shown and published, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.core.files import digest, write_text
from hub_tools.core.plain import to_plain
from hub_tools.core.run_record import FINETUNED, RunRecord, StageRecord, read_record, student_of
from hub_tools.exporting.export import find_model
from hub_tools.hub.contents import collect
from hub_tools.pipeline import stages_until
from hub_tools.reporting import report as reports
from hub_tools.results import FinetuneData, FinetuneResult, FinetuneStep
from tests.fake_run import mark, read_report, record_of, write_run

RESULT = FinetuneResult(
    device="cpu",
    precision="fp32",
    data=[FinetuneData(skill="sts", name="org/sts", train=900, heldout=100, license="mit", revision="c0ffee")],
    skills=[
        FinetuneStep(
            skill="sts",
            steps=29,
            tokens_per_second=500.0,
            taken=True,
            share=0.5,
            measures={"sts org/sts, spearman": 84.0},
            lowered={},
        )
    ],
    before={"sts org/sts, spearman": 79.5},
    after={"sts org/sts, spearman": 84.0},
    anchors=1000,
    minutes=2.0,
)


def with_labels(record: RunRecord) -> RunRecord:
    """The record of a run whose student was trained with labels before it was measured."""
    distill, evaluation = record.stages["student"], record.stages["evaluation"]
    stage = StageRecord(
        key="a key",
        inputs={"student": digest(distill.identity)},
        options={**distill.options, "finetune": {"sts": ["org/sts"], "matryoshka": [64]}},
        result=to_plain(RESULT),
        files={},
        seconds=3.0,
    )
    measured = replace(evaluation, inputs={**evaluation.inputs, FINETUNED: digest(stage.identity)})
    stages = {**record.stages, FINETUNED: stage, "evaluation": measured}
    return replace(record, stages=stages)


@pytest.fixture
def values() -> dict[str, Any]:
    return read_report()


@pytest.fixture
def run(tmp_path: Path, values: dict[str, Any]) -> Path:
    root = write_run(tmp_path / "run", values)
    for name in ("model.safetensors", "modules.json", "training.json"):
        write_text(root / FINETUNED / name, f"finetuned/{name}\n")
    mark(root, with_labels(record_of(values)))
    return root


def test_the_trained_model_is_the_student_wherever_one_is_asked_for(run: Path) -> None:
    report = reports.read_report(run)
    assert report.student.id == str(run / FINETUNED) == str(student_of(run)) == str(find_model(run))
    assert report.finetune == RESULT
    assert report.lengths == (64,)
    assert report.timings["finetune"] == 3.0
    (model,) = collect(run, report, ["model"], {"model": "ada/x"})
    assert model.files["model.safetensors"] == run / FINETUNED / "model.safetensors"
    assert "training.json" not in model.files


def test_the_card_names_the_data_and_the_command_its_commit(run: Path) -> None:
    (model,) = collect(run, reports.read_report(run), ["model"], {"model": "ada/x"})
    card = model.files["README.md"]
    assert isinstance(card, bytes)
    text = card.decode()
    assert "## Training with labels" in text
    assert "| similarity | org/sts at `c0ffee` | 900 | 100 | mit |" in text
    assert "- Similarity: 50% of what the training changed in the weights was taken." in text
    assert "--finetune-sts org/sts@c0ffee" in text
    assert "- org/sts" in text.split("---")[1]


def test_a_student_that_was_measured_without_it_is_the_distilled_one(run: Path, values: dict[str, Any]) -> None:
    record = with_labels(record_of(values))
    stages = {**record.stages, "evaluation": record_of(values).stages["evaluation"]}
    mark(run, replace(record, stages=stages))
    report = reports.read_report(run)
    assert (report.student.id, report.finetune) == (str(run / "student"), None)
    assert read_record(run).student == "student"


def test_a_trained_model_that_is_damaged_or_of_another_student_is_not_used(run: Path, values: dict[str, Any]) -> None:
    record = with_labels(record_of(values))
    other = replace(record.stages[FINETUNED], inputs={"student": digest("another")})
    mark(run, replace(record, stages={**record.stages, FINETUNED: other}))
    with pytest.raises(UserError, match=r"finetuned in .* was made with another student"):
        reports.read_report(run)
    mark(run, record)
    write_text(run / FINETUNED / "model.safetensors", "FINETUNED/model.safetensors\n")
    with pytest.raises(UserError, match=r"model\.safetensors"):
        reports.read_report(run, {"student"})


def test_the_stage_runs_only_where_there_is_data() -> None:
    values = {"teacher": "bundled", "lang": "tr"}
    plain, asked = RunConfig.from_dict(values), RunConfig.from_dict({**values, "finetune": {"sts": ["a.tsv"]}})
    names = [[stage.name for stage in stages_until("publish", config)] for config in (plain, asked)]
    assert names[0] == ["corpus", "tokenizer", "clone", "embed", "distill", "evaluate"]
    assert names[1] == ["corpus", "tokenizer", "clone", "embed", "distill", "finetune", "evaluate"]
    assert [stage.name for stage in stages_until("finetune", asked)] == names[1][:-1]
