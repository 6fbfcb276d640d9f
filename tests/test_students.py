"""Several students in one run: text and vectors once, a run folder for each, and the table by which one chooses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_tools.api import distill
from hub_tools.config import RunConfig
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.files import read_json
from hub_tools.core.run_dir import FOLDERS, check_finished, stage_folder
from hub_tools.core.run_record import parent_of, read_record
from hub_tools.corpus.readers import sample_file
from hub_tools.exporting.export import export
from hub_tools.hub.publish import check, plan_push
from hub_tools.models.loading import is_static, load_model
from hub_tools.pipeline import run
from hub_tools.reporting.report import Report, read_report
from hub_tools.reporting.students import read_students, students_table
from hub_tools.space.content import from_run
from hub_tools.stages.distill import DistillStage
from hub_tools.stages.job import prepare
from tests.commands import hub_distill, refused, succeeded
from tests.conftest import whole_job

NAMES = ("layers-1", "static")


@pytest.fixture(scope="module")
def options(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A whole job of two students that takes seconds: little text, and the teacher's tokenizer."""
    root = tmp_path_factory.mktemp("several")
    pairs = sample_file("tr-en.tsv").read_text(encoding="utf-8").splitlines()
    (root / "pairs.tsv").write_text("\n".join(pairs[:120]) + "\n", encoding="utf-8")
    (root / "tr.txt").write_text("\n".join(line.split("\t")[0] for line in pairs[200:300]), encoding="utf-8")
    return whole_job(tiny_teacher, root / "run") | {
        "student": ["layers=1", "static"],
        "tokenizer": {"use": str(tiny_teacher)},
        "corpus": {"sources": [str(root / "{lang}.txt")], "parallel": [str(root / "pairs.tsv")]},
        "distill": {"steps": 2, "batch_tokens": 1024, "eval_steps": 2},
        "evaluate": {},
    }


@pytest.fixture(scope="module")
def several(options: dict[str, Any]) -> tuple[RunConfig, Report]:
    """A finished run of two students and its report; leave its folder as it is."""
    config = RunConfig.from_dict(options)
    return config, run(config)


@pytest.fixture
def copy(several: tuple[RunConfig, Report], options: dict[str, Any], tmp_path: Path) -> RunConfig:
    """A copy of that run to change."""
    shutil.copytree(several[0].output, tmp_path / "run")
    return RunConfig.from_dict(options | {"output": str(tmp_path / "run")})


def times_of(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")}


def test_text_and_vectors_are_made_once_and_read_in_place(several: tuple[RunConfig, Report]) -> None:
    root = several[0].output
    shared = read_record(root).stages
    assert set(shared) == {"corpus", "embeddings"}
    for name in NAMES:
        folder = root / "students" / name
        assert {path.name for path in folder.iterdir() if path.is_dir()} >= {"tokenizer", "clone", "student"}
        assert not (folder / "corpus").exists() and not (folder / "embeddings").exists()
        assert stage_folder(folder, "embeddings") == root / "embeddings"
        record = check_finished(folder)
        assert [record.stages[stage] for stage in shared] == list(shared.values())
    assert (root / ".vectors").is_dir()  # the teacher's of the evaluation too


def test_each_student_is_what_was_asked_for_and_a_run_like_any_other(several: tuple[RunConfig, Report]) -> None:
    folders = {name: several[0].output / "students" / name for name in NAMES}
    assert read_json(folders["layers-1"] / "student" / "config.json")["num_hidden_layers"] == 1
    assert is_static(load_model(folders["static"] / "student", device="cpu"))
    for name, folder in folders.items():
        report = read_report(folder)
        assert report.config.student == () and report.config.output == folder
        assert (folder / "report.md").exists()
        assert from_run(folder).models["student"].title  # the page
        pushed = plan_push(folder, {"namespace": "ada"})
        assert f"ada/teacher-tr-{name}-embeddings" in pushed
        assert f"  {next((several[0].output / 'embeddings').glob('train-*')).name}" in pushed
        again = hub_distill("report", str(folder), cwd=folder)
        succeeded(again)
        assert "teacher" in again.stdout


def test_the_table_has_the_teacher_first_and_all_students(several: tuple[RunConfig, Report]) -> None:
    config, report = several
    table = {row[0]: row[1:] for row in students_table(report)}
    assert table[""] == ["teacher", *NAMES]
    assert table["parameters"][0] == f"{report.teacher.params / 1e6:.1f}M" if report.teacher else False
    assert table["times as fast"][0] == "1"
    assert float(table["times as fast"][2]) > 1
    speeds = [cost.sentences.texts_per_second for cost in report.costs.values()]
    own = read_report(config.output / "students" / "static").costs
    assert speeds[2] / speeds[0] == pytest.approx(
        own["student"].sentences.texts_per_second / own["teacher"].sentences.texts_per_second, rel=0.01
    )
    rows = {(row.task, row.metric): row for row in report.evaluation}
    for name in NAMES:
        for row in read_report(config.output / "students" / name).evaluation:
            assert rows[row.task, row.metric].value(name) == row.value("student")
    differences = [figure.differences for row in report.evaluation for figure in row.models.values() if figure]
    assert {other for found in differences for other in found} == {"teacher"}


def test_report_and_picture_of_all_are_written(several: tuple[RunConfig, Report]) -> None:
    root, report = several[0].output, several[1]
    assert Report.from_dict(json.loads((root / "report.json").read_text(encoding="utf-8"))) == report
    text = (root / "report.md").read_text(encoding="utf-8")
    assert "|  | teacher | layers-1 | static |" in text
    assert "![Quality against size and speed, mean score of" in text
    for name in NAMES:
        assert f"[{name}](students/{name}/report.md): {name} is " in text
    assert {path.name for path in (root / "figures").iterdir()} >= {"quality.png", "scores.png"}
    assert read_students(root).to_dict() == report.to_dict()
    shown, data = (hub_distill("report", str(root), *more, cwd=root) for more in ((), ("--json",)))
    succeeded(shown)
    assert "times as fast" in shown.stdout and f"hub-distill space {root}/students/NAME" in shown.stdout
    assert set(json.loads(data.stdout)["students"]) == set(NAMES)


def test_commands_for_one_student_ask_for_one(several: tuple[RunConfig, Report]) -> None:
    root = several[0].output
    expected = f"has several students. Expected the folder of one of them: {root}/students/layers-1, "
    refused(hub_distill("publish", str(root), "--push-to-hub", "ada", "--dry-run", cwd=root), expected)
    for work in (lambda: from_run(root), lambda: export(root, "onnx", None), lambda: check(root, {"namespace": "ada"})):
        with pytest.raises(UserError, match="has several students"):
            work()


def test_a_run_that_was_cut_off_goes_on_with_the_student_that_it_was_at(
    copy: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (copy.output / "students" / name for name in NAMES)
    for folder in ("student", "evaluation"):
        shutil.rmtree(second / folder)
    before = times_of(copy.output)
    with monkeypatch.context() as patch:
        patch.setattr(DistillStage, "work", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(copy, last="distill")
    assert not (second / "student").exists()
    run(copy, last="distill")
    assert (second / "student").exists()
    assert set(read_json(copy.output / "report.json")["students"]) == set(NAMES)  # that of the whole run stays
    assert {file: time for file, time in times_of(copy.output).items() if file in before} == before
    said = (first / "log.txt").read_text(encoding="utf-8")
    assert said.count("distill: already done") == 2
    assert "student static" in (copy.output / "log.txt").read_text(encoding="utf-8")


def test_other_text_of_one_student_is_its_own_until_it_is_the_same_again(copy: RunConfig) -> None:
    student = copy.students["static"]
    before = read_record(copy.output).stages["corpus"]
    run(replace(student, seed=2), last="corpus")
    assert (student.output / "corpus").is_dir()
    assert stage_folder(student.output, "corpus") == student.output / "corpus"
    assert read_record(copy.output).stages["corpus"] == before  # others read it
    run(student, last="corpus")
    assert not (student.output / "corpus").exists()
    assert read_report(student.output).corpus == read_students(copy.output).corpus


def test_what_is_shared_may_be_damaged_too(copy: RunConfig) -> None:
    folder = copy.output / "students" / "static"
    shard = next((copy.output / "embeddings").glob("train-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=f"{shard.name} is damaged"):
        check_finished(folder)
    shutil.move(folder, copy.output.parent / "alone")
    with pytest.raises(UserError, match="is not finished: corpus is missing"):
        check_finished(copy.output.parent / "alone")


def test_a_link_out_of_the_whole_run_is_refused_in_each_student(copy: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (copy.output / "corpus" / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link that leads out of"):
        check_finished(copy.output / "students" / "static", ())


def test_students_of_a_private_run_are_private(copy: RunConfig) -> None:
    assert not read_record(copy.output / "students" / "static").publish.get("private")
    (copy.output / ".private").touch()
    assert read_record(copy.output / "students" / "static").publish["private"]
    private = replace(copy, publish=replace(copy.publish, private=True))
    assert all(student.publish.private for student in private.students.values())


def test_only_a_run_in_the_folder_of_students_has_a_parent(several: tuple[RunConfig, Report], tmp_path: Path) -> None:
    root = several[0].output
    assert parent_of(root / "students" / "static") == root.resolve()
    assert parent_of(root) is None
    (tmp_path / "students" / "a").mkdir(parents=True)
    assert parent_of(tmp_path / "students" / "a") is None
    assert stage_folder(tmp_path / "students" / "a", "corpus") == tmp_path / "students" / "a" / "corpus"
    assert [stage_folder(root / "students" / "static", name).parent.name for name in FOLDERS].count("static") == 4


def test_a_stage_alone_does_what_it_needs(options: dict[str, Any], tmp_path: Path) -> None:
    config = RunConfig.from_dict(options | {"output": str(tmp_path / "run")})
    run(config, last="corpus")
    assert not (tmp_path / "run" / "students").exists()
    report = run(config, last="tokenizer")
    assert report.students == {} and report.embeddings is None
    assert [path.parent.name for path in sorted((tmp_path / "run").glob("students/*/tokenizer"))] == list(NAMES)
    assert not (tmp_path / "run" / "embeddings").exists()


def test_the_plan_says_once_what_all_have_in_common(options: dict[str, Any], tmp_path: Path) -> None:
    words = ["--teacher", str(options["teacher"]), "--lang", "tr", "--corpus", "sample", "--device", "cpu"]
    words += ["--student", "layers=1,vocab=3000", "--student", "static", "--vocab-size", "4096", "--epochs", "2"]
    done = hub_distill(*words, "--output", "run", "--dry-run", cwd=tmp_path)
    succeeded(done)
    shared, first, second = done.stdout.split("\n\n")
    assert shared.count("teacher      ") == shared.count("training     2 epochs") == 1
    assert first.splitlines()[:2] == ["layers-1-vocab-3000:", "tokenizer    3,000 tokens"]
    assert second.splitlines()[:2] == ["static:", "tokenizer    4,096 tokens"]
    assert f"output       {Path('run', 'students', 'static')}" in second
    assert not (tmp_path / "run").exists()


def test_layers_that_the_teacher_does_not_have_are_refused_before_any_work(
    options: dict[str, Any], tmp_path: Path
) -> None:
    config = RunConfig.from_dict(options | {"output": str(tmp_path / "run"), "student": ["static", "layers=3"]})
    with pytest.raises(UserError, match=r"--layers 3: .* has 2. Expected at most as many"):
        run(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("layers", [(2,), (0, 1)])
def test_all_layers_are_a_whole_student(options: dict[str, Any], layers: tuple[int, ...]) -> None:
    asked = {**options, "student": [], "clone": {"layers": layers}}
    assert prepare(RunConfig.from_dict(asked)).config.clone.layers == ()
    assert prepare(RunConfig.from_dict({**asked, "clone": {"layers": (1,)}})).config.clone.layers == (1,)


@pytest.mark.parametrize(
    ("specs", "reason"),
    [
        (["layers=x"], r"--student layers=x: --layers\[0\] = 'x'; expected a whole number"),
        (["layer=6"], "--student layer=6: expected layers=N_OR_LIST, vocab=N_OR_AUTO, epochs=X or static"),
        (["static=1"], "--student static=1: expected"),
        (["layers"], "--student layers: expected"),
        (["layers=1,layers=2"], "each once"),
        ([""], "expected layers="),
        (["vocab=big"], "--student vocab=big: --vocab-size = 'big'; expected a whole number or auto"),
        (["epochs=0"], "--student epochs=0: --epochs = 0.0; expected a number, above 0"),
        (["static,layers=6"], "--student static,layers=6: --static makes a student without layers"),
        (["static", "layers=6", "static"], "--student static is given twice"),
        (["vocab=300,layers=6", "layers=6,vocab=300"], "--student layers=6,vocab=300 is given twice"),
    ],
)
def test_what_no_student_can_be_is_one_sentence(specs: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        RunConfig.from_dict({"teacher": "org/model", "lang": "tr", "student": specs})


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"clone": {"layers": 6}}, "--layers is about one student"),
        ({"clone": {"static": True}}, "--static is about one student"),
        ({"publish": {"namespace": "ada"}}, "hub-distill publish runs/model-tr/students/NAME --push-to-hub ada"),
        ({"tokenizer": {"use": "org/other"}}, "--tokenizer is used as it is: --vocab-size has no effect"),
    ],
)
def test_what_does_not_go_together_is_refused(section: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        RunConfig.from_dict({"teacher": "org/model", "lang": "tr", "student": ["vocab=300"], **section})


def test_a_spec_may_hold_lists_and_has_one_name_whatever_its_order() -> None:
    specs = ["epochs=2.5,vocab=auto,layers=0, 1,11", "static"]
    students = RunConfig.from_dict({"teacher": "org/a b", "lang": "tr", "student": specs}).students
    assert list(students) == ["layers-0-1-11-vocab-auto-epochs-2.5", "static"]
    first, second = students.values()
    assert (first.clone.layers, first.tokenizer.vocab_size, first.distill.epochs) == ((0, 1, 11), "auto", 2.5)
    assert second.clone.static and second.output == Path("runs/a b-tr/students/static")
    assert second.publish.name == "a-b-tr-static"  # each its own repo


def test_a_function_that_returns_one_student_makes_one(tiny_teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one student"):
        distill(tiny_teacher, lang="tr", output=tmp_path / "run", student=["static"])
