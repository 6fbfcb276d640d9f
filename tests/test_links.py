"""Links: a folder that came from somebody else does not decide what is read, copied and uploaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hub_tools.api import clone
from hub_tools.core.errors import UserError
from hub_tools.core.run_dir import RunDir
from hub_tools.hub import publish as hub_publish
from hub_tools.models.resolve import find_teacher, find_tokenizer
from hub_tools.reporting.report import read_report
from hub_tools.space.content import from_settings
from tests import fake_run
from tests.commands import hub_distill, refused, succeeded
from tests.fake_hub import FakeHub

SECRET = "the diary of somebody\n"
PUSH = ["--push-to-hub", "ada", "--name", "x-tr"]
# Files and folders of a run that may be links.
FILES = [
    "student/passwd", "student/modules.json", "student/1_Dense/config.json", "student/.done.json",
    "tokenizer/notes.json",
    "embeddings/train-00000.parquet", "embeddings/train-00001.parquet", "clone/license/LICENSE",
    "clone/license/NOTICE", "figures/x.png", "figures/tokens_per_word.png", "run.json", "run.json.tmp", "config.toml",
    ".lock", ".private", "log.txt", "report.json",
]  # fmt: skip
FOLDERS = ["student", "embeddings", "clone/license", "figures", "student.partial", "student/1_Pooling"]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    file = tmp_path / "home" / "diary.txt"
    file.write_text(SECRET)
    return file


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return fake_run.write_run(tmp_path / "run", fake_run.read_report())


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("name", FILES)
def test_a_link_out_of_a_run_is_refused_by_every_command(
    hub: FakeHub, online: dict[str, str], run: Path, secret: Path, name: str
) -> None:
    link(run / name, secret)
    for more in ([], ["--dry-run"]):
        refused(
            hub_distill("publish", "run", *PUSH, *more, cwd=run.parent, **online), f"{name} is a link that leads out"
        )
    assert hub.repos == {}
    with pytest.raises(UserError, match="is a link that leads out"):
        read_report(run)
    with pytest.raises(UserError, match="is a link that leads out"), RunDir(run, ""):
        pass
    assert secret.read_text() == SECRET
    assert [path.name for path in secret.parent.iterdir()] == ["diary.txt"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_a_run_that_is_a_link_is_refused(
    hub: FakeHub, online: dict[str, str], run: Path, secret: Path, name: str
) -> None:
    link(run / name, secret.parent)
    refused(hub_distill("publish", "run", *PUSH, cwd=run.parent, **online), f"{name} is a link that leads out")
    assert hub.repos == {}
    with pytest.raises(UserError, match="is a link that leads out"), RunDir(run, "", fresh=True):
        pass
    assert secret.read_text() == SECRET
    assert [path.name for path in secret.parent.iterdir()] == ["diary.txt"]


def test_an_export_takes_nothing_from_elsewhere(run: Path, secret: Path, tmp_path: Path) -> None:
    link(run / "student" / "1_Pooling" / "config.json", secret)
    for source in ("run", "run/student"):
        done = hub_distill("export", source, "--format", "onnx", "--output", "out", cwd=tmp_path)
        refused(done, "1_Pooling/config.json is a link that leads out")
    assert not (tmp_path / "out").exists()


def test_a_link_to_itself_is_refused_too(run: Path, tmp_path: Path) -> None:
    link(run / "student" / "modules.json", run / "student" / "modules.json")
    refused(hub_distill("publish", "run", *PUSH, "--dry-run", cwd=tmp_path), "modules.json")


def test_a_run_behind_a_link_is_a_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(run)
    plan = hub_distill("publish", "shortcut", *PUSH, "--dry-run", cwd=tmp_path)
    succeeded(plan)
    assert "model.safetensors" in plan.stdout


def test_only_what_the_stages_wrote_is_published(run: Path, tmp_path: Path) -> None:
    plan = hub_distill("publish", "run", *PUSH, "--dry-run", cwd=tmp_path)
    for name in (
        "student/diary.json",
        "tokenizer/diary.json",
        "embeddings/train-00001.parquet",
        "clone/license/COPYING",
    ):
        (run / name).write_text(SECRET)
        refused(hub_distill("publish", "run", *PUSH, "--dry-run", cwd=tmp_path), f"{name} is no file of this run")
        (run / name).unlink()
    for name in ("student/.diary.json", "figures/diary.png", "diary.json", "student/__pycache__/diary.py"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(SECRET)
    assert hub_distill("publish", "run", *PUSH, "--dry-run", cwd=tmp_path) == plan


def copy_of(teacher: Path, to: Path) -> Path:
    return Path(shutil.copytree(teacher, to))


@pytest.mark.parametrize(
    "name", ["LICENSE", "NOTICE.txt", "extra.json", "README.md", "1_Pooling/config.json", "1_Pooling/more.json"]
)
def test_a_link_out_of_a_teacher_is_refused_before_any_work(
    tiny_teacher: Path, secret: Path, tmp_path: Path, name: str
) -> None:
    teacher = copy_of(tiny_teacher, tmp_path / "teacher")
    target = secret if not name.startswith("1_Pooling/c") else tiny_teacher / name
    link(teacher / name, target)
    command = ["clone", "--teacher", "teacher", "--lang", "tr", "--corpus", "sample", "--output", "run"]
    refused(hub_distill(*command, cwd=tmp_path), f"{name} is a link that leads out of teacher, to {target}")
    assert not (tmp_path / "run").exists()


def test_a_module_of_a_teacher_is_no_link(tiny_teacher: Path, tmp_path: Path) -> None:
    teacher = copy_of(tiny_teacher, tmp_path / "teacher")
    link(teacher / "1_Pooling", tiny_teacher / "1_Pooling")
    with pytest.raises(UserError, match="1_Pooling is a link that leads out"):
        find_teacher(str(teacher))


def test_other_links_beside_a_teacher_are_nobodys_business(tiny_teacher: Path, secret: Path, tmp_path: Path) -> None:
    teacher = copy_of(tiny_teacher, tmp_path / "teacher")
    link(teacher / "venv" / "python", secret)
    assert find_teacher(str(teacher)).identity == find_teacher(str(tiny_teacher)).identity


def test_a_tokenizer_is_no_link(tiny_teacher: Path, secret: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_teacher / name, tmp_path)
    assert find_tokenizer(str(tmp_path)) == (tmp_path, None)
    link(tmp_path / "tokenizer_config.json", secret)
    (tmp_path / "own").mkdir()
    link(tmp_path / "own/tokenizer.json", tiny_teacher / "tokenizer.json")
    with pytest.raises(UserError, match=r"tokenizer\.json is a link that leads out"):
        find_tokenizer(str(tmp_path / "own"))


def cached(teacher: Path, cache: Path) -> Path:
    """Lay a model out as the Hub's cache does: a snapshot of links into the blobs of its repo."""
    snapshot, blobs = cache / "models--org--tiny" / "snapshots" / "abc", cache / "models--org--tiny" / "blobs"
    blobs.mkdir(parents=True)
    for number, file in enumerate(file for file in sorted(teacher.rglob("*")) if file.is_file()):
        name = file.relative_to(teacher)
        shutil.copy(file, blobs / f"{number:040d}")
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(Path("../" * (len(name.parts) + 1), "blobs", f"{number:040d}"))
    return snapshot


@pytest.mark.parametrize("behind_a_link", [False, True])
def test_a_snapshot_of_the_hubs_cache_is_a_teacher(tiny_teacher: Path, tmp_path: Path, *, behind_a_link: bool) -> None:
    teacher = copy_of(tiny_teacher, tmp_path / "teacher")
    (teacher / "LICENSE").write_text("Apache\n")
    snapshot = cached(teacher, tmp_path / "cache")
    if behind_a_link:
        (tmp_path / "shortcut").symlink_to(tmp_path / "cache")
        snapshot = tmp_path / "shortcut" / snapshot.relative_to(tmp_path / "cache")
    assert all(file.is_symlink() for file in snapshot.rglob("*") if file.is_file())
    model = clone(snapshot, snapshot)
    assert model.encode("Merhaba").shape == (32,)
    command = ["clone", "--teacher", str(snapshot), "--lang", "tr", "--corpus", "sample", "--vocab-size", "4096"]
    succeeded(hub_distill(*command, "--limit", "60", "--output", "run", cwd=tmp_path))
    assert (tmp_path / "run/clone/license/LICENSE").read_text() == "Apache\n"
    assert not [file for file in (tmp_path / "run").rglob("*") if file.is_symlink()]


def test_blobs_that_all_repos_of_the_cache_share_are_known_by_their_mark(tiny_teacher: Path, tmp_path: Path) -> None:
    snapshot, shared = cached(tiny_teacher, tmp_path / "cache"), tmp_path / "cache" / "blobs"
    shared.mkdir()
    blob = next((snapshot.parents[1] / "blobs").iterdir())
    blob.rename(shared / "f1ef")
    blob.symlink_to("../../blobs/f1ef")
    with pytest.raises(UserError, match="is a link that leads out"):
        find_teacher(str(snapshot))
    (shared / ".huggingface-shared-blobs").touch()
    assert find_teacher(str(snapshot)).identity == find_teacher(str(tiny_teacher)).identity


def test_a_snapshot_whose_blobs_lie_elsewhere_is_refused(tiny_teacher: Path, secret: Path, tmp_path: Path) -> None:
    snapshot = cached(tiny_teacher, tmp_path / "cache")
    link(snapshot / "extra.json", Path("../../blobs/diary.txt"))
    blobs = snapshot.parents[1] / "blobs"
    for file in blobs.iterdir():
        shutil.copy(file, secret.parent)
    link(blobs, secret.parent)
    with pytest.raises(UserError, match="is a link that leads out"):
        find_teacher(str(snapshot))


@pytest.mark.parametrize("name", ["report.json", "space.json", "figures/diary.png"])
def test_the_page_of_a_folder_shows_nothing_from_elsewhere(secret: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "space"
    folder.mkdir()
    (folder / "space.json").write_text('{"student": "ada/x-tr"}')
    (folder / "report.json").write_text(json.dumps(fake_run.read_report()))
    link(folder / name, secret)
    with pytest.raises(UserError, match=f"{name} is a link that leads out"):
        from_settings(folder)


def test_a_plan_and_a_push_name_the_same_files(run: Path) -> None:
    assert "figures/heldout_cosine.png" in hub_publish.plan_push(run, {"namespace": "ada", "name": "x-tr"})
