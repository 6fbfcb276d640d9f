"""What was done in a run folder counts, whatever commands are given there later."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from hub_tools.config import RunConfig
from tests.commands import environment, hub_distill, refused, succeeded
from tests.fake_hub import FakeHub

PUSH = ["--push-to-hub", "ada", "--name", "tiny-tr"]


@pytest.fixture
def run_folder(finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of the finished run; run.toml beside it holds its options."""
    folder = Path(shutil.copytree(finished[0].output, tmp_path / "run"))
    options = (folder / "config.toml").read_text(encoding="utf-8")
    (tmp_path / "run.toml").write_text(options.replace(str(finished[0].output), str(folder)), encoding="utf-8")
    return folder


def visible(hub: FakeHub) -> list[tuple[str, str, str]]:
    """Kind, id and visibility of each repo."""
    return [(kind, repo_id, "private" if repo.private else "public") for (kind, repo_id), repo in hub.repos.items()]


@pytest.mark.parametrize("later", ["corpus", "evaluate", "whole job", "damaged config.toml"])
def test_a_run_that_was_private_and_partial_is_never_published_otherwise(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path, later: str
) -> None:
    command = ["--config", "run.toml"]
    succeeded(hub_distill(*command, *PUSH, "--private", "--only", "model", cwd=tmp_path, **online))
    assert visible(hub) == [("model", "ada/tiny-tr", "private")]
    if later == "damaged config.toml":
        (run_folder / "config.toml").write_text("# The options of a hub-distill run.\n[publish\n")
    else:
        succeeded(hub_distill(*(command if later == "whole job" else [later, *command]), cwd=tmp_path, **online))
    hub.repos.clear()
    succeeded(hub_distill("publish", "run", *PUSH, cwd=tmp_path, **online))
    assert visible(hub) == [("model", "ada/tiny-tr", "private")]
    assert hub.collections == {}


def test_a_stage_of_another_teacher_makes_the_run_unpublishable_and_names_nobody_else(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tiny_teacher: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_teacher, tmp_path / "other-teacher"))
    weights = {name: tensor * 1.5 for name, tensor in load_file(other / "model.safetensors").items()}
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    (other / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    before = json.loads((run_folder / "report.json").read_bytes())
    succeeded(hub_distill("corpus", "--config", "run.toml", "--teacher", str(other), cwd=tmp_path))
    done = hub_distill("publish", "run", "--push-to-hub", "ada", cwd=tmp_path, **online)
    refused(done, "made with another")
    assert "other-teacher-tr" not in done.stderr
    assert hub.repos == {}
    # The whole job with the first teacher brings the stages together again, and trains nothing.
    done = hub_distill("--config", "run.toml", *PUSH, "--only", "model", cwd=tmp_path, **online)
    succeeded(done)
    assert "distill: already done" in done.stderr
    card = hub.read("model", "ada/tiny-tr", "README.md").decode()
    assert "other-teacher" not in card
    assert "cc-by-nc-4.0" not in card
    after = json.loads((run_folder / "report.json").read_bytes())
    for section in ("teacher", "tokenizer", "clone", "embeddings", "distill", "evaluation"):
        assert after[section] == before[section]


@pytest.mark.parametrize(
    "options", [["--gradient-checkpointing"], ["--micro-batch-tokens", "512"]], ids=lambda options: options[0]
)
def test_options_that_only_save_memory_redo_nothing(run_folder: Path, tmp_path: Path, options: list[str]) -> None:
    before = (run_folder / "student/model.safetensors").stat()
    done = hub_distill("distill", "--config", "run.toml", *options, cwd=tmp_path)
    succeeded(done)
    assert "distill: already done" in done.stderr
    assert "done again" not in done.stderr
    after = (run_folder / "student/model.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_ready_tokenizer_is_the_same_when_the_cache_gets_more_files_of_its_repo(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    from huggingface_hub import hf_hub_download

    ready = tmp_path / "ready"
    ready.mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(run_folder / "tokenizer" / file, ready)
    (ready / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 4096}))
    hub.add("model", "org/ready", ready)
    options = (tmp_path / "run.toml").read_text(encoding="utf-8")
    (tmp_path / "run.toml").write_text(
        options.replace("vocab_size = 4096\n", "").replace("learn = 1500\n", ""), encoding="utf-8"
    )
    command = ["tokenizer", "--config", "run.toml", "--tokenizer", "org/ready"]
    first = hub_distill(*command, cwd=tmp_path, **online)
    succeeded(first)
    assert "tokenizer: done again" in first.stderr
    with environment(**online):
        hf_hub_download("org/ready", "config.json")
    (snapshot,) = (tmp_path / "hf/hub/models--org--ready/snapshots").iterdir()
    assert (snapshot / "config.json").exists()
    second = hub_distill(*command, cwd=tmp_path, **online)
    succeeded(second)
    assert "tokenizer: already done" in second.stderr


def test_a_run_inside_the_folder_of_its_teacher_is_used_again(tiny_teacher: Path, tmp_path: Path) -> None:
    teacher = Path(shutil.copytree(tiny_teacher, tmp_path / "teacher"))
    options = ["--lang", "tr", "--corpus", "sample", "--limit", "40", "--vocab-size", "4096"]
    command = ["tokenizer", "--teacher", ".", *options]
    succeeded(hub_distill(*command, cwd=teacher))
    assert (teacher / "runs/teacher-tr/tokenizer/tokenizer.json").exists()
    again = hub_distill(*command, cwd=teacher)
    succeeded(again)
    assert "tokenizer: already done" in again.stderr
    assert "done again" not in again.stderr


@pytest.mark.parametrize("stage", [[], ["tokenizer"]], ids=["whole job", "stage"])
def test_private_counts_even_where_nothing_is_pushed_yet(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path, stage: list[str]
) -> None:
    options = (tmp_path / "run.toml").read_text(encoding="utf-8")
    assert "private = false" in options
    (tmp_path / "private.toml").write_text(options.replace("private = false", "private = true"), encoding="utf-8")
    succeeded(hub_distill(*stage, "--config", "private.toml", cwd=tmp_path, **online))
    plan = hub_distill("--config", "run.toml", *PUSH, "--dry-run", cwd=tmp_path, **online)
    assert plan.stdout.count("(private)") == 3
    succeeded(hub_distill("publish", "run", *PUSH, cwd=tmp_path, **online))
    assert {state for _, _, state in visible(hub)} == {"private"}


def test_a_tag_names_one_published_state_alone(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    succeeded(hub_distill("--config", "run.toml", *PUSH, "--tag", "v1", cwd=tmp_path, **online))
    assert set(hub.repos["model", "ada/tiny-tr"].tags) == {"v1"}
    assert "tag" not in json.loads((run_folder / "run.json").read_text(encoding="utf-8"))["publish"]
