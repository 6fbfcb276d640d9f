"""Stages name their inputs: what counts for a key, what does not, and which stages belong together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import CorpusConfig, DistillConfig, EmbedConfig, RunConfig, TokenizerConfig
from hub_tools.core.distributed import ALONE
from hub_tools.core.errors import UserError
from hub_tools.core.files import digest, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.plain import to_plain
from hub_tools.core.run_dir import FOLDERS, RunDir, Task, check_finished
from hub_tools.core.run_record import RunRecord, read_record, write_record
from hub_tools.models.resolve import find_teacher
from hub_tools.pipeline import stages_until
from hub_tools.stages.base import Finished, identity, neutral, parts_of
from hub_tools.stages.embed import ImportStage
from hub_tools.stages.job import HashedFile, Job, ReadyTokenizer, prepare
from hub_tools.vectors.imported import ImportedEmbeddings


@dataclass(frozen=True, kw_only=True)
class Inputs:
    config: DistillConfig
    seed: int = 1
    device: str = neutral()


def test_options_that_change_no_result_are_no_part_of_a_key() -> None:
    before = parts_of(Inputs(config=DistillConfig(), device="cpu"))
    for option, value in {"micro_batch_tokens": 64, "gradient_checkpointing": True, "compile": True}.items():
        changed = replace(DistillConfig(), **{option: value})
        assert parts_of(Inputs(config=changed, device="cuda")) == before
    assert parts_of(Inputs(config=DistillConfig(steps=3), device="cpu")) != before


def test_every_other_option_of_the_training_is_a_part_of_its_key() -> None:
    parts = parts_of(Inputs(config=DistillConfig(), device="cpu"))
    left_out = {field.name for field in dataclasses.fields(DistillConfig)} - parts.keys()
    assert left_out == {"micro_batch_tokens", "gradient_checkpointing", "compile", "tensorboard"}


def test_a_path_is_no_part_of_a_key_because_its_content_would_be_forgotten(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a path cannot be part of a key"):
        identity({"file": tmp_path})
    file = tmp_path / "pairs.tsv"
    file.write_text("a\tb\n")
    before = identity(HashedFile(path=file))
    file.write_text("a\tc\n")
    assert identity(HashedFile(path=file)) != before


def test_two_inputs_of_one_name_are_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Twice:
        steps: int
        config: DistillConfig

    with pytest.raises(TypeError, match="two inputs are called steps"):
        parts_of(Twice(steps=1, config=DistillConfig()))


def test_a_ready_tokenizer_is_known_by_its_own_files_alone(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    before = identity(ReadyTokenizer(path=tmp_path, revision="abc"))
    (tmp_path / "config.json").write_text("{}")  # loading the model elsewhere brings it into the same snapshot
    assert identity(ReadyTokenizer(path=tmp_path, revision="abc")) == before
    (tmp_path / "tokenizer.json").write_text('{"model": 1}')
    assert identity(ReadyTokenizer(path=tmp_path, revision="abc")) != before


def job_of(teacher: Path, **options: Any) -> Job:
    return Job(
        config=RunConfig(teacher=str(teacher), lang=("tr",), **options),
        teacher=find_teacher(str(teacher), tokenizer_only=True),
        languages=("tr", "en"),
        sources=(),
        parallel=(),
        tasks=(),
        ready=None,
        imported=None,
        labelled=(),
        hardware=Hardware(device="cpu", precision="fp32"),
        processes=ALONE,
    )


def test_stages_get_their_inputs_by_name(minilm: Path) -> None:
    job = job_of(minilm, distill=DistillConfig(steps=3))
    done = {folder: Finished(path=Path(folder), identity=f"key of {folder}") for folder in FOLDERS}
    parts = {stage.folder: parts_of(stage.of(job, done)) for stage in stages_until("publish", job.config)}
    assert parts["clone"] == {
        "teacher": job.teacher.identity,
        "legal_files": [],
        "teacher_license": {"license": "apache-2.0"},
        "tokenizer": "key of tokenizer",
        "corpus": "key of corpus",
        "init": "align",
        "layers": [],
        "static": False,
        "prompts": {},
        "targets": ["tr"],
        "chooses_split": True,
    }
    assert {"steps": 3, "seed": 42, "device": "cpu", "precision": "fp32"}.items() <= parts["student"].items()
    assert parts["embeddings"]["precision"] == "fp32"
    assert not {"device", "processes"} & parts["embeddings"].keys()


def test_a_ready_tokenizer_is_no_part_of_a_key_by_its_name(minilm: Path) -> None:
    options = (TokenizerConfig(use="here"), TokenizerConfig(use="there"))
    keys = []
    for config in options:
        job = job_of(minilm, tokenizer=config)
        tokenizer = stages_until("tokenizer", job.config)[-1]
        keys.append(parts_of(tokenizer.of(job, {"corpus": Finished(path=Path("corpus"), identity="key")})))
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("last", "names"),
    [
        ("corpus", "corpus"),
        ("clone", "corpus tokenizer clone"),
        ("embed", "corpus embed"),
        ("distill", "corpus tokenizer clone embed distill"),
        ("publish", "corpus tokenizer clone embed distill evaluate"),
    ],
)
def test_a_stage_alone_does_what_it_reads(last: str, names: str) -> None:
    config = RunConfig(teacher="org/model", lang=("tr",))
    assert [stage.name for stage in stages_until(last, config)] == names.split()


def test_vectors_of_others_have_to_fit_a_clone() -> None:
    config = RunConfig(teacher="org/model", lang=("tr",), embed=EmbedConfig(use="org/vectors"))
    assert [stage.name for stage in stages_until("embed", config)] == ["corpus", "tokenizer", "clone", "embed"]


def task(folder: str, parts: dict[str, Any], **options: Any) -> Task:
    def work(out: Path) -> dict[str, Any]:
        out.mkdir(exist_ok=True)
        write_json(out / "made.json", parts)
        return {"made": folder}

    return Task(folder=folder, title=folder, parts=parts, options=options, work=work)


def finish(root: Path, teacher: str = "A", **changed: str) -> None:
    """Do all stages, each of which reads the one before."""
    with RunDir(root, "") as run_dir:
        before: dict[str, str] = {}
        for folder in FOLDERS:
            record = run_dir.run(task(folder, {"teacher": teacher, **before, **changed}, teacher=teacher))
            before = {folder: record.key}
    write_json(root / "report.json", {})


def test_the_record_says_what_each_stage_had_and_measured(tmp_path: Path) -> None:
    finish(tmp_path / "run")
    record = check_finished(tmp_path / "run")
    assert tuple(record.stages) == FOLDERS
    assert record.stages["clone"].options == {"teacher": "A"}
    assert record.stages["clone"].result == {"made": "clone"}
    assert record.stages["clone"].inputs["tokenizer"] == digest(record.stages["tokenizer"].key)


def test_stages_of_another_teacher_do_not_belong_to_a_run(tmp_path: Path) -> None:
    finish(tmp_path / "run")
    with RunDir(tmp_path / "run", "") as run_dir:
        run_dir.run(task("corpus", {"teacher": "B"}))
    with pytest.raises(UserError, match=r"corpus in .* was made with another teacher"):
        check_finished(tmp_path / "run")


def test_a_stage_that_was_done_again_does_not_belong_to_those_after_it(tmp_path: Path) -> None:
    finish(tmp_path / "run")
    with RunDir(tmp_path / "run", "") as run_dir:
        run_dir.run(task("corpus", {"teacher": "A", "limit": 5}))
    with pytest.raises(UserError, match=r"tokenizer in .* was made with another corpus"):
        check_finished(tmp_path / "run")


def test_what_was_private_stays_private_whatever_follows(tmp_path: Path) -> None:
    root = tmp_path / "run"
    with RunDir(root, "") as run_dir:
        run_dir.update_record(lambda record: record.with_publish({"private": True, "only": ["model"]}))
    with RunDir(root, "private = false", fresh=True) as run_dir:
        run_dir.update_record(lambda record: record.with_publish({"private": False, "tag": "v1"}))
    assert read_record(root).publish == {"private": True, "only": ["model"], "tag": "v1"}


@pytest.mark.parametrize("names", [(".lock", "run.json"), (".lock", "run.json.tmp"), ("run.json", "config.toml.tmp")])
def test_a_run_that_was_killed_in_its_first_moment_can_be_continued(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).touch()
    if "run.json" in names:
        write_record(tmp_path, RunRecord())
    with RunDir(tmp_path, ""):
        assert (tmp_path / "config.toml").exists()


def test_a_damaged_record_stops_everything_that_would_believe_it(tmp_path: Path) -> None:
    finish(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"stages": {"corpus": ')
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        check_finished(tmp_path / "run")
    with pytest.raises(UserError, match=r"run\.json is damaged"), RunDir(tmp_path / "run", "", fresh=True):
        pass


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    finish(tmp_path / "run")
    record = replace(read_record(tmp_path / "run"), hardware={"asked": ["auto", "auto"], "chosen": {}})
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert to_plain(RunRecord()) == {"stages": {}, "publish": {}, "hardware": None, "students": []}


def test_imported_vectors_depend_on_the_clone_that_they_are_compared_with(minilm: Path) -> None:
    # The clone's key has the prompts in it; texts of which the dataset says no language count as the target's.
    job = job_of(minilm)
    done = {folder: Finished(path=Path(folder), identity=f"key of {folder}") for folder in FOLDERS}
    imported = ImportedEmbeddings(
        name="a/b", path=None, revision="c0", text_column="text", embedding_column="embedding", identity=["a/b", "c0"]
    )
    parts = parts_of(ImportStage.of(replace(job, imported=imported), done))
    assert parts["clone"] == "key of clone"
    assert (parts["imported"], parts["targets"], parts["dtype"]) == (["a/b", "c0"], ["tr"], "float16")


def test_leading_parts_longer_than_the_vectors_are_refused_before_any_work(minilm: Path, tmp_path: Path) -> None:
    config = RunConfig(
        teacher=str(minilm),
        lang=("tr",),
        output=tmp_path / "run",
        distill=DistillConfig(matryoshka=(512,)),
        corpus=CorpusConfig(sources=("sample",)),
    )
    with pytest.raises(UserError, match="--matryoshka 512: the teacher's vectors have only 384 numbers"):
        prepare(config)
    assert not (tmp_path / "run").exists()
