"""Whatever is run or damaged afterwards: what was private is never public, and what is others' is never called ours."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import RunConfig
from hub_tools.core.run_record import read_record
from tests import fake_run
from tests.commands import Result, hub_distill, refused, succeeded
from tests.fake_hub import FakeHub

PUSH = ["--push-to-hub", "ada", "--name", "x-tr"]
COMMANDS = [
    ["corpus"], ["tokenizer"], ["clone"], ["embed"], ["distill"], [], ["corpus", "--fresh"], ["--dry-run"],
    ["distill", "--steps", "3"], ["corpus", "--teacher", "other"], ["clone", "--init", "mean"],
]  # fmt: skip
# Those that leave all stages as they belong together.
WHOLE = [["corpus"], ["tokenizer"], ["clone"], [], ["--dry-run"], ["corpus", "--teacher", "other"], ["evaluate"]]


@pytest.fixture(scope="module")
def private_run(
    finished: tuple[RunConfig, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A folder with the run of a private job on the vectors of others, and base.toml, which says neither."""
    root, output = tmp_path_factory.mktemp("private"), finished[0].output
    shutil.copytree(output, root / "run")
    shutil.copytree(output / "embeddings", root / "vectors", ignore=shutil.ignore_patterns(".*"))
    text = (output / "config.toml").read_text(encoding="utf-8").replace(str(output), "run")
    (root / "base.toml").write_text(text.replace("distill_limit = 20\n", ""), encoding="utf-8")
    assert "private = false" in text
    done = hub_distill("--config", "base.toml", "--embeddings", "vectors", "--private", cwd=root)
    succeeded(done)
    return root, json.loads((root / "run/run.json").read_text(encoding="utf-8"))["stages"]


@pytest.fixture
def folder(private_run: tuple[Path, dict[str, Any]], tiny_teacher: Path, tmp_path: Path) -> Path:
    shutil.copytree(private_run[0], tmp_path / "job")
    other = Path(shutil.copytree(tiny_teacher, tmp_path / "job/other"))
    (other / "README.md").write_text("---\nlicense: mit\n---\n")
    return tmp_path / "job"


def check_published(hub: FakeHub, done: Result, *, theirs: bool) -> None:
    """Everything is private or nothing is there; vectors of others are named so, and nowhere else."""
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert bool(hub.repos) == (done.returncode == 0), done.stderr
    assert all(repo.private for repo in hub.repos.values())
    assert all(collection["private"] for collection in hub.collections.values())
    if hub.repos:
        card = hub.read("model", "ada/x-tr", "README.md").decode()
        assert ("the vectors of `vectors`" in card) == theirs
        assert (("dataset", "ada/x-tr-embeddings") in hub.repos) == (not theirs)


@pytest.mark.parametrize(
    "command",
    [*COMMANDS, pytest.param(["evaluate"], marks=pytest.mark.slow)],
    ids=lambda words: " ".join(words) or "job",
)
def test_after_every_command_private_stays_private_and_theirs_theirs(
    hub: FakeHub, online: dict[str, str], folder: Path, command: list[str]
) -> None:
    done = hub_distill(*command, "--config", "base.toml", cwd=folder)
    succeeded(done)
    assert read_record(folder / "run").publish["private"]
    published = hub_distill("publish", "run", *PUSH, cwd=folder, **online)
    # The whole job does everything with the teacher's own vectors.
    check_published(hub, published, theirs=command not in ([], ["evaluate"]))
    assert (published.returncode == 0) == (command in WHOLE), published.stderr
    assert not any(b"license: mit" in blob.content for blob in blobs(hub))


def blobs(hub: FakeHub) -> list[Any]:
    return [blob for repo in hub.repos.values() for blob in repo.head.files.values()]


@pytest.mark.parametrize("stage", ["corpus", "whole job"])
def test_a_later_push_is_private_too(hub: FakeHub, online: dict[str, str], folder: Path, stage: str) -> None:
    command = [] if stage == "whole job" else [stage]
    push = [] if stage == "corpus" else PUSH
    done = hub_distill(*command, "--config", "base.toml", "--embeddings", "vectors", *push, cwd=folder, **online)
    succeeded(done)
    published = hub_distill("publish", "run", *PUSH, cwd=folder, **online)
    succeeded(published)
    check_published(hub, published, theirs=True)


def half(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def changed(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, **values}), encoding="utf-8")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "half a config": lambda run: half(run / "config.toml"),
    "no config": lambda run: (run / "config.toml").unlink(),
    "another config": lambda run: (run / "config.toml").write_text("teacher = 'org/mine'\n"),
    "half a record": lambda run: half(run / "run.json"),
    "an empty record": lambda run: (run / "run.json").write_bytes(b""),
    "no record": lambda run: (run / "run.json").unlink(),
    "a record of nothing": lambda run: (run / "run.json").write_text("{}"),
    "an edited record": lambda run: changed(run / "run.json", publish={"namespace": "ada"}),
    "an older record": lambda run: (run / "run.json").write_bytes((run.parent / "older.json").read_bytes()),
    "no mark": lambda run: (run / ".private").unlink(),
    "half a marker": lambda run: half(run / "embeddings/.done.json"),
    "no marker": lambda run: (run / "embeddings/.done.json").unlink(),
    "an edited marker": lambda run: changed(run / "embeddings/.done.json", result={}),
    "half a report": lambda run: half(run / "report.json"),
    "half a manifest": lambda run: half(run / "embeddings/manifest.json"),
    "another license": lambda run: (run / "clone/license/LICENSE").write_text("Public domain.\n"),
    "half a figure": lambda run: (run / "figures/tokens_per_word.png").write_bytes(b""),
}
# What nobody reads, or what is said twice.
HARMLESS = {
    "half a config", "no config", "another config", "an older record", "no mark", "half a report", "half a figure",
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_no_damage_makes_a_run_public_or_others_vectors_ours(
    hub: FakeHub, online: dict[str, str], tmp_path: Path, name: str
) -> None:
    values = fake_run.read_report()
    values["config"]["embed"] = {"use": "vectors"}
    values["embeddings"]["taken_from"] = {"name": "vectors", "revision": None}
    values["config"]["publish"] = {"private": False}
    run = fake_run.write_run(tmp_path / "run", values)
    (run / "report.json").write_text(json.dumps(values), encoding="utf-8")
    (tmp_path / "older.json").write_bytes((run / "run.json").read_bytes())
    plan = hub_distill("publish", "run", *PUSH, "--private", cwd=tmp_path, **online)
    check_published(hub, plan, theirs=True)
    hub.repos.clear()
    hub.collections.clear()
    DAMAGE[name](run)
    done = hub_distill("publish", "run", *PUSH, cwd=tmp_path, **online)
    check_published(hub, done, theirs=True)
    assert (done.returncode == 0) == (name in HARMLESS), done.stderr
    if done.returncode:
        refused(done)
        # Nor does it forget it.
        before = {file: file.read_bytes() for file in sorted(run.rglob("*.json"))}
        again = hub_distill("publish", "run", *PUSH, "--dry-run", cwd=tmp_path)
        refused(again)
        assert {file: file.read_bytes() for file in sorted(run.rglob("*.json"))} == before


@pytest.mark.parametrize("name", ["half a record", "an empty record", "no record", "a record of nothing"])
@pytest.mark.parametrize("command", [["corpus"], ["--fresh"], ["--push-to-hub", "ada"]], ids=" ".join)
def test_nothing_is_done_where_the_record_is_lost(
    hub: FakeHub, online: dict[str, str], folder: Path, name: str, command: list[str]
) -> None:
    DAMAGE[name](folder / "run")
    refused(hub_distill(*command, "--config", "base.toml", cwd=folder, **online), "run.json", "what is private")
    assert hub.repos == {}
    assert (folder / "run/student/model.safetensors").exists()
