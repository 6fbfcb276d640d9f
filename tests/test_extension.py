"""`hf distill` with the real hf, and jobs for Hugging Face Jobs."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.commands import CANARY, finish, hub_distill, hub_distill_process, refused, succeeded
from tests.fake_hub import FakeHub

ROOT = Path(__file__).parents[1]
HF = [sys.executable, "-m", "huggingface_hub.cli.hf"]
JOB = ["--teacher", "google/embeddinggemma-300m", "--lang", "tr", "--push-to-hub", "ada"]


@pytest.fixture
def extension(tmp_path: Path) -> dict[str, str]:
    """Environment in which hf-distill is installed as `hf extensions install` would."""
    folder = tmp_path / "home/.local/share/hf/extensions/hf-distill"
    folder.mkdir(parents=True)
    manifest = {
        "owner": "someone", "repo": "hf-distill", "repo_id": "someone/hf-distill", "short_name": "distill",
        "executable_path": str(Path(sys.executable).with_name("hf-distill")), "type": "python",
        "installed_at": "2026-11-21T00:00:00+00:00", "description": "Distill", "commit_sha": None,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return {"HOME": str(tmp_path / "home")}


def test_hf_runs_the_extension(extension: dict[str, str], tiny_teacher: Path, tmp_path: Path) -> None:
    done = finish([*HF, "distill", "--help"], cwd=tmp_path, **extension)
    succeeded(done)
    assert "Usage: hf distill [OPTIONS]" in done.stdout
    teacher = ["--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "sample"]
    done = finish([*HF, "distill", *teacher, "--dry-run"], cwd=tmp_path, **extension)
    succeeded(done)
    assert f"teacher      {tiny_teacher}" in done.stdout
    refused(finish([*HF, "distill", "--lang", "tr"], cwd=tmp_path, **extension), "Missing --teacher", code=2)
    refused(finish([*HF, "distill", "--teacher", "nowhere", "--lang", "xx"], cwd=tmp_path, **extension), "'xx'", code=2)


def test_hf_finds_what_it_needs_in_the_archive() -> None:
    """`hf extensions install` reads a description, makes a venv without git, and wants a script hf-<name>."""
    scripts = {s.name: s.value for s in metadata.distribution("hub-tools").entry_points}
    assert scripts["hf-distill"] == scripts["hub-distill"] == "hub_tools.cli:run"
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    description = next(line for line in lines if line.startswith("description"))
    assert re.fullmatch(r'description = "[^"]+"', description)
    assert any(line.startswith("version = ") for line in lines)
    assert not (ROOT / "hf-distill").exists()


def test_a_job_is_printed_and_checked_by_hf(tmp_path: Path) -> None:
    printed = hub_distill("jobs", *JOB, "--timeout", "6h", cwd=tmp_path)
    succeeded(printed)
    words = shlex.split(printed.stdout)
    assert words[:6] == ["hf", "jobs", "uv", "run", "--detach", "--timeout"]
    assert words[-6:] == JOB
    checked = hub_distill_process("jobs", *JOB, "--dry-run", cwd=tmp_path, HF_TOKEN=CANARY)
    succeeded(checked)
    said = checked.stdout + checked.stderr
    for line in ("flavor   a10g-small (from script)", "timeout  12h (from script)", "Job not submitted"):
        assert line in said
    assert re.search(r"secrets +HF_TOKEN", said)


def test_a_job_is_submitted(hub: FakeHub, online: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "en-tr.tsv").write_text("en\ttr\n")
    (tmp_path / "own.txt").write_text("Merhaba\n")
    more = ["--name", "own", "--only", "model", "--space", "--tag", "v1"]
    args = [*JOB, "--parallel", "en-tr.tsv", "--corpus=own.txt", *more, "--submit", "--flavor", "t4-small"]
    done = hub_distill_process("jobs", *args, cwd=tmp_path, **{**online, "HF_HUB_DISABLE_XET": "0"})
    succeeded(done)
    (job,) = hub.jobs
    assert job["flavor"] == "t4-small"
    assert job["secrets"]["HF_TOKEN"] == CANARY
    assert CANARY not in json.dumps({**job, "secrets": None})
    # `hf` has a --name of its own, and sends along whole words only.
    expected = ["job_script.py", *JOB, "--parallel", "/data/en-tr.tsv", "--corpus", "/data/own.txt", *more]
    assert " ".join(expected) in " ".join(job["command"])


def test_a_job_splits_the_vectors_over_others(tmp_path: Path) -> None:
    split = ["--executor", "jobs", "--workers", "8", "--executor-option", "storage=hf://buckets/ada/vectors"]
    printed = hub_distill("jobs", *JOB, *split, cwd=tmp_path)
    succeeded(printed)
    assert shlex.split(printed.stdout)[-len([*JOB, *split]) :] == [*JOB, *split]
    refused(hub_distill("jobs", *JOB, *split[:4], cwd=tmp_path), "expected --executor-option storage=URL", code=2)
    refused(hub_distill("jobs", *JOB, "--executor", "slurm", cwd=tmp_path), "a Job belongs to no cluster", code=2)
    checked = hub_distill_process("jobs", *JOB, *split, "--dry-run", cwd=tmp_path, HF_TOKEN=CANARY)
    succeeded(checked)
    assert "Job not submitted" in checked.stdout + checked.stderr


def test_a_job_cannot_see_this_machine(tiny_teacher: Path, tmp_path: Path) -> None:
    refused(hub_distill("jobs", *JOB[:-2], cwd=tmp_path), "give --push-to-hub NAMESPACE", code=2)
    refused(hub_distill("jobs", *JOB, "--corpus", "{lang}.txt", cwd=tmp_path), "{lang}.txt is on this machine")
    refused(hub_distill("jobs", *JOB, "--teacher", str(tiny_teacher), cwd=tmp_path), "is on this machine")
    refused(hub_distill("jobs", "corpus", *JOB, cwd=tmp_path), "unexpected extra argument", code=2)


def test_the_job_script_stands_alone() -> None:
    import tomllib

    text = (ROOT / "hub_tools/job_script.py").read_text(encoding="utf-8")
    header = re.search(r"(?m)^# /// script$\s((?:^#(?: .*)?$\s)+)^# ///$", text)
    assert header
    settings = tomllib.loads("\n".join(line[2:] for line in header[1].splitlines()))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert settings["dependencies"] == [f"hub-tools[eval,scale]=={version}"]
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom | ast.Import)]
    assert [ast.unparse(node) for node in imports] == ["from hub_tools.cli import run"]
