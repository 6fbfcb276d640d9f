"""The whole job on a tiny real teacher: what it writes, what it uses again, what a kill costs."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.core.plain import to_plain
from hub_tools.core.run_record import read_record, write_record
from hub_tools.pipeline import run
from hub_tools.reporting.reproduce import reproduce
from hub_tools.stages.job import prepare
from hub_tools.stages.plan import plan
from tests.commands import finish, hub_distill, succeeded

ROOT = Path(__file__).parents[1]
SECTIONS = {"teacher", "student", "tokenizer", "clone", "embeddings", "distill", "evaluation", "versions", "timings"}


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*"))
        if f.is_file() and not f.name.startswith(".")
    }


def result_of(root: Path) -> dict[str, str]:
    return {
        k: v
        for stage in ("corpus", "tokenizer", "clone", "embeddings", "student")
        for k, v in files_of(root / stage).items()
    }


def test_the_report_has_what_others_rely_on(finished: tuple[RunConfig, dict[str, Any]]) -> None:
    config, report = finished
    on_disk = json.loads((config.output / "report.json").read_text(encoding="utf-8"))
    assert on_disk == json.loads(json.dumps(report))
    assert set(report) >= SECTIONS
    assert report["student"]["vocab_size"] == report["tokenizer"]["vocab_size"] == 4096
    assert report["tokenizer"]["added_reachable"] == report["tokenizer"]["added"] > 0
    assert report["tokenizer"]["specials_kept"] == 5
    for lang in ("tr", "en"):  # the others get what is left
        unknown = {name: row["unknown_text"] for name, row in report["tokenizer"]["measures"][lang].items()}
        assert unknown["student"] <= unknown["teacher"]
    # Nothing is lost but what is unknown.
    assert report["tokenizer"]["round_trip_failures"] == report["tokenizer"]["new_unknowns"]
    assert set(report["tokenizer"]["fertility"]["tr"]) == {"teacher", "student"}
    assert len(report["tokenizer"]["fertility"]) == 40
    # Of the 40 sentences of another language too few are held out to measure on them alone.
    assert set(report["tokenizer"]["seen"]) == set(report["tokenizer"]["fertility"]) - {"tr"}
    assert report["clone"]["exact"] + report["clone"]["composed"] == 4096
    assert report["clone"]["fallback"] == 0
    assert report["distill"]["steps"] == 6
    assert report["distill"]["cosine_after"] > report["distill"]["cosine_before"]
    row = report["evaluation"][0]
    names = {"task", "split", "metric", "n", "models", "is_main", "prompts", "supervised", "reason"}
    assert set(row) == names
    assert row["metric"] == "cosine"
    assert row["models"]["student"]["value"] == pytest.approx(report["distill"]["cosine_after"], abs=1e-4)
    assert len(report["searches"]) == 3


def test_markdown_and_figures_are_written(finished: tuple[RunConfig, dict[str, Any]]) -> None:
    root = finished[0].output
    text = (root / "report.md").read_text(encoding="utf-8")
    assert "tokens per word, Turkish" in text
    assert "STS sample (tr), spearman (test, n=100)" in text
    for name in ("tokens_per_word", "heldout_cosine"):
        assert f"figures/{name}.png" in text
        assert (root / "figures" / f"{name}.png").stat().st_size > 5000
        assert b"<svg" in (root / "figures" / f"{name}.svg").read_bytes()
    assert "distill" in (root / "log.txt").read_text(encoding="utf-8") or "student" in (root / "log.txt").read_text(
        encoding="utf-8"
    )


def test_each_folder_loads_with_the_library_that_it_is_for(finished: tuple[RunConfig, dict[str, Any]]) -> None:
    root = finished[0].output
    tokenizer = AutoTokenizer.from_pretrained(str(root / "tokenizer"))
    assert len(tokenizer) == 4096
    assert tokenizer.model_max_length == 64
    student = SentenceTransformer(str(root / "student"), device="cpu")
    assert student.encode(["Merhaba"]).shape == (1, 32)
    dataset = datasets.load_dataset(str(root / "embeddings"), cache_dir=str(root / "cache"))
    assert set(dataset) == {"train", "validation"}
    assert dataset["train"].column_names == [
        "text",
        "lang",
        "translation",
        "source",
        "prompt_name",
        "split",
        "tokens",
        "embedding",
    ]
    assert len(dataset["train"][0]["embedding"]) == 32


def test_vectors_are_the_teachers(finished: tuple[RunConfig, dict[str, Any]]) -> None:
    from hub_tools.vectors.dataset import EmbeddingDataset

    config, report = finished
    embeddings = EmbeddingDataset(config.output / "embeddings")
    batch = next(embeddings.batches("train"))
    teacher = SentenceTransformer(config.teacher, device="cpu")
    found = teacher.encode(batch.texts[:50])
    stored = batch.vectors[:50].astype(np.float32)
    cosines = (found * stored).sum(axis=1) / np.linalg.norm(stored, axis=1)
    assert cosines.min() > 0.9999
    assert report["embeddings"]["rows"] == embeddings.rows("train") + embeddings.rows("validation")
    assert embeddings.manifest["sha256"].keys() == {f.name for f in (config.output / "embeddings").glob("*.parquet")}


def test_a_second_run_uses_everything_again(
    finished: tuple[RunConfig, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, report = finished
    for module in ("core.run_dir", "reporting.report"):
        monkeypatch.setattr(f"hub_tools.{module}.versions", lambda: {"torch": "99.0"})
    before = {f: f.stat().st_mtime_ns for f in config.output.rglob("*.safetensors")}
    again = to_plain(run(config))
    assert {f: f.stat().st_mtime_ns for f in config.output.rglob("*.safetensors")} == before
    assert again["timings"] == report["timings"]
    # Those that trained the student, not those of today.
    assert again["versions"] == report["versions"]
    assert "versions" not in again["distill"]


def test_changed_options_redo_what_depends_on_them(finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path) -> None:
    config, _ = finished
    shutil.copytree(config.output, tmp_path / "run")
    values = {**plain(config), "output": str(tmp_path / "run"), "clone": {"init": "mean"}}
    run(RunConfig.from_dict(values), last="distill")
    said = (tmp_path / "run/log.txt").read_text(encoding="utf-8")
    assert "tokenizer: already done" in said
    assert "embed: already done" in said
    assert "clone: done again, because it depends on what changed: init" in said
    assert "distill: done again, because it depends on what changed: clone" in said


def plain(config: RunConfig) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(config.to_toml())


@pytest.mark.slow  # the run that is killed in each stage has the same inputs
def test_the_same_inputs_give_the_same_files(finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path) -> None:
    config, _ = finished
    run(RunConfig.from_dict({**plain(config), "output": str(tmp_path / "again")}), last="distill")
    first, second = result_of(config.output), result_of(tmp_path / "again")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_run_killed_in_each_stage_goes_on_and_ends_the_same(
    finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path
) -> None:
    config, _ = finished
    file = tmp_path / "run.toml"
    file.write_text(RunConfig.from_dict({**plain(config), "output": str(tmp_path / "run")}).to_toml(), encoding="utf-8")
    command = ["distill", "--config", str(file)]
    moments = [f"{stage}.partial" for stage in ("corpus", "tokenizer", "clone", "embeddings")]
    moments.append("student.partial/checkpoint")
    killed = [sys.executable, "-m", "tests.killed_run", str(tmp_path / "run"), *moments, "--", *command]
    done = finish(killed, cwd=ROOT)
    succeeded(done)
    assert done.stdout.splitlines() == [f"{moment} -9" for moment in moments], done.stderr
    succeeded(hub_distill(*command, cwd=tmp_path))
    first, second = result_of(config.output), result_of(tmp_path / "run")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_folder_with_other_files_is_refused(job_options: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="holds files that are no run"):
        run(RunConfig.from_dict(job_options))
    assert [f.name for f in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_a_project_with_a_config_of_its_own_is_refused(job_options: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "run" / "corpus").mkdir(parents=True)
    (tmp_path / "run" / "config.toml").write_text("[project]\n")
    with pytest.raises(UserError, match="holds files that are no run"):
        run(RunConfig.from_dict(job_options), fresh=True)
    assert (tmp_path / "run" / "config.toml").read_text() == "[project]\n"
    assert (tmp_path / "run" / "corpus").is_dir()


def test_an_sts_table_is_checked_before_any_work(job_options: dict[str, object], tmp_path: Path) -> None:
    table = tmp_path / "sts.tsv"
    table.write_text("sentence1\tsentence2\tscore\na\tb\thigh\n")
    with pytest.raises(UserError, match="line 2: score 'high' is no number"):
        run(RunConfig.from_dict({**job_options, "evaluate": {"sts": [str(table)]}}))
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused(job_options: dict[str, object]) -> None:
    from hub_tools.core.run_dir import RunDir

    config = RunConfig.from_dict(job_options)
    with RunDir(config.output, config.to_toml()), pytest.raises(UserError, match="in use by another run"):
        run(config)


def test_the_plan_changes_nothing(job_options: dict[str, object], tmp_path: Path) -> None:
    text = plan(RunConfig.from_dict(job_options))
    assert "4,096 tokens" in text
    assert "40 of 40 with text" in text
    assert not (tmp_path / "run").exists()


def test_a_ready_tokenizer_can_be_used(
    job_options: dict[str, object], finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path
) -> None:
    ready = finished[0].output / "tokenizer"
    shutil.copytree(finished[0].output, tmp_path / "run")
    report = to_plain(run(RunConfig.from_dict({**job_options, "tokenizer": {"use": str(ready)}}), last="clone"))
    assert report["tokenizer"]["vocab_size"] == 4096
    assert report["clone"]["fallback"] == 0


def test_what_auto_chose_is_remembered_with_the_first_vectors_and_not_before(
    job_options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig.from_dict({**job_options, "device": "auto", "precision": "auto"})
    monkeypatch.setattr("hub_tools.core.hardware._gains_from_bf16", lambda device: False)  # it depends on the machine
    run(config, last="corpus")
    assert read_record(config.output).hardware is None
    run(config, last="embed")
    assert prepare(config).hardware.precision == "fp32"
    record = read_record(config.output)
    assert record.hardware is not None
    assert record.hardware["chosen"]["device"] == "cpu"
    # As if it had been begun on a GPU that this machine does not have.
    gpu = {**record.hardware, "chosen": {"device": "cuda", "precision": "bf16"}}
    write_record(config.output, replace(record, hardware=gpu))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert prepare(config).hardware.device == "cuda"
    with pytest.raises(UserError, match=r"started on cuda, and torch finds no such device here.*--device cpu"):
        run(config, last="embed")
    assert prepare(config, fresh=True).hardware.device == "cpu"


def test_prompts_that_the_teachers_files_do_not_name_are_given(
    job_options: dict[str, object], finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path
) -> None:
    shutil.copytree(finished[0].output, tmp_path / "run")  # for its corpus and tokenizer
    given = {"query_prompt": "query: ", "document_prompt": "passage: "}
    config = RunConfig.from_dict({**job_options, "embed": {"distill_limit": 20, **given}})
    done = run(config)
    report = to_plain(done)
    prompts = {"query": "query: ", "document": "passage: "}
    assert report["embeddings"]["prompts"] == prompts
    assert {"query", "document"} < set(report["embeddings"]["rows_by_prompt"])
    for name in ("clone", "student"):
        assert SentenceTransformer(str(config.output / name), device="cpu").prompts == prompts
    assert "--query-prompt 'query: '" in reproduce(done)[0]


def test_licenses_of_another_teacher_do_not_stay(
    job_options: dict[str, object], finished: tuple[RunConfig, dict[str, Any]], tiny_teacher: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished[0].output, tmp_path / "run"))  # for its corpus and tokenizer
    with_license = Path(shutil.copytree(tiny_teacher, tmp_path / "with"))
    (with_license / "LICENSE").write_text("theirs")
    run(RunConfig.from_dict({**job_options, "teacher": str(with_license)}), last="clone")
    assert (folder / "clone/license/LICENSE").read_text() == "theirs"
    run(RunConfig.from_dict(job_options), last="clone")
    assert not (folder / "clone/license").exists()


def test_fresh_forgets_what_is_finished(job_options: dict[str, object], tmp_path: Path) -> None:
    config = RunConfig.from_dict(job_options)
    for fresh in (False, False, True):
        run(config, last="corpus", fresh=fresh)
    said = (tmp_path / "run/log.txt").read_text(encoding="utf-8")
    assert [said.count(words) for words in ("[1/1] corpus\n", "corpus: already done")] == [2, 1]
