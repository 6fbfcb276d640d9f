"""`--dry-run` on a teacher that is not here: what it asks the Hub for, and that it changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commands import Result, hub_distill, refused, succeeded
from tests.fake_hub import FakeHub

OPTIONS = ["--lang", "tr", "--corpus", "sample", "--device", "cpu", "--precision", "fp32"]
# More than the header of the small teacher's weights, and far less than the weights.
HEADER = 200_000


def plan(teacher: str, cwd: Path, **env: str) -> Result:
    return hub_distill("--teacher", teacher, *OPTIONS, "--output", "run", "--dry-run", cwd=cwd, **env)


def bytes_of_weights_sent(hub: FakeHub, repo_id: str) -> int:
    """An upper bound of what was downloaded of model.safetensors, from the requests that reached the storage."""
    weights = hub.repos["model", repo_id].head.files["model.safetensors"]
    sent = 0
    for request in hub.asked(f"GET /storage/{weights.sha256}"):
        start, _, end = (request.range or "bytes=0-").removeprefix("bytes=").partition("-")
        sent += (int(end) + 1 if end else weights.size) - int(start)
    return sent


def test_the_plan_for_a_teacher_on_the_hub_downloads_no_weights(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    weights = (tiny_teacher / "model.safetensors").stat().st_size
    assert weights > 10 * HEADER
    hub.add("model", "org/tiny", tiny_teacher)
    done = plan("org/tiny", tmp_path, **online)
    succeeded(done)
    assert hub.asked("org/tiny")
    assert "limits       at most of each language but English a tenth of what the target has, 1,000" in done.stdout
    assert "by the teacher, of at most 4,000 monolingual texts of" in done.stdout
    assert bytes_of_weights_sent(hub, "org/tiny") < HEADER
    assert [f for f in (tmp_path / "hf").rglob("*") if f.is_file() and f.stat().st_size >= weights] == []
    assert not (tmp_path / "run").exists()


def test_the_plan_is_the_same_for_a_teacher_on_the_hub_and_in_a_folder(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    hub.add("model", "org/tiny", tiny_teacher)
    remote, local = plan("org/tiny", tmp_path, **online), plan(str(tiny_teacher), tmp_path, **online)
    succeeded(remote)
    succeeded(local)
    assert f"{(tiny_teacher / 'model.safetensors').stat().st_size / 1e6:,.0f} MB, 30,522 tokens" in remote.stdout
    assert remote.stdout.replace("org/tiny", str(tiny_teacher)) == local.stdout


def test_the_plan_asks_nothing_of_the_hub_that_a_push_would_change(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    hub.add("model", "org/tiny", tiny_teacher)
    args = ["--teacher", "org/tiny", *OPTIONS, "--push-to-hub", "ada", "--private", "--dry-run"]
    done = hub_distill(*args, cwd=tmp_path, **online)
    succeeded(done)
    assert "ada/tiny-tr (private)" in done.stdout
    assert list(hub.repos) == [("model", "org/tiny")]
    assert hub.asked("^(POST|PUT|DELETE) ") == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("weights", ["pytorch_model.bin", None], ids=["pickle", "none"])
def test_the_plan_refuses_weights_that_the_run_would_refuse(
    *, hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path, weights: str | None
) -> None:
    teacher = Path(shutil.copytree(tiny_teacher, tmp_path / "teacher"))
    (teacher / "model.safetensors").unlink()
    if weights:
        (teacher / weights).write_bytes(b"x")
    hub.add("model", "org/old", teacher)
    refused(plan("org/old", tmp_path, **online), "org/old", "no safetensors weights")
    assert hub.asked("GET .*pytorch_model") == []
