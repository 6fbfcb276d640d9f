"""Publishing with the real huggingface_hub to a Hub on loopback: what arrives, and what may not be published."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from hub_tools.core.errors import UserError
from hub_tools.core.files import write_sealed
from tests.commands import environment, finish, hub_distill, hub_distill_process, refused, succeeded
from tests.fake_hub import FakeHub
from tests.pictures import picture_size
from tests.pushed import IDS, check_loads, check_nothing_leaked, commits, push

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("storage", ["lfs", "xet"])
def test_a_run_goes_to_the_hub_and_comes_back(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path, storage: str
) -> None:
    ids = [repo_id for _, repo_id in IDS]
    args = ["publish", str(run_folder), "--push-to-hub", "ada", "--name", "tiny-tr", "--tag", "v1"]
    if storage == "lfs":
        first, second = (hub_distill(*args, cwd=tmp_path, **online) for _ in range(2))
        with environment(**online):
            check_loads(*ids, run_folder)
    else:
        env = {**online, "HF_HUB_DISABLE_XET": "0"}
        first, second = (hub_distill_process(*args, cwd=tmp_path, **env) for _ in range(2))
        assert hub.lfs == {}
        loads = "import sys; from tests.pushed import check_loads; check_loads(*sys.argv[1:])"
        env["PYTHONPATH"] = str(ROOT)
        succeeded(finish([sys.executable, "-c", loads, *ids, str(run_folder)], cwd=tmp_path, **env))
    assert first.stderr.count("published") == 3, first
    assert second.stderr.count("nothing changed") == 3, second
    assert commits(hub) == [1, 1, 1]
    assert all(hub.repos[repo].tags == {"v1": hub.repos[repo].head.oid} for repo in IDS)
    (collection,) = hub.collections.values()
    assert len(collection["items"]) == 3
    assert collection["description"].startswith("A Turkish student of ")
    check_nothing_leaked(hub, run_folder)


def test_each_repo_gets_its_files_and_no_path_of_this_machine(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    succeeded(push(run_folder, cwd=tmp_path, **online))
    files = {repo: set(hub.repos[repo].head.files) - {".gitattributes"} for repo in IDS}
    assert files[IDS[1]] == {"README.md", "tokenizer.json", "tokenizer_config.json"}
    assert files[IDS[2]] == {"README.md", "manifest.json", "train-00000.parquet", "validation-00000.parquet"}
    assert {"model.safetensors", "modules.json", "figures/tokens_per_word.png", "README.md"} <= files[IDS[0]]
    published = b"".join(hub.read(*repo, path) for repo in IDS for path in files[repo])
    for private in (str(tmp_path.parent), str(ROOT)):
        assert private.encode() not in published, private


def test_dry_run_lists_every_file_and_asks_nobody(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    command = ["publish", str(run_folder), "--push-to-hub", "ada", "--private", "--dry-run"]
    done = hub_distill(*command, cwd=tmp_path, **online)
    succeeded(done)
    size = (run_folder / "student" / "model.safetensors").stat().st_size
    assert f"{size:,}  model.safetensors" in done.stdout
    for line in ("ada/teacher-tr (private)", "ada/teacher-tr-embeddings (private)", "train-00000.parquet", "README.md"):
        assert line in done.stdout
    assert hub.requests == []


def test_private_repos_and_collections_are_made_and_public_ones_are_refused(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    succeeded(push(run_folder, "--private", cwd=tmp_path, **online))
    assert all(hub.repos[repo].private for repo in IDS)
    assert all(c["private"] for c in hub.collections.values())
    hub.repos[IDS[2]].private = False
    done = push(run_folder, "--private", cwd=tmp_path, **online)
    refused(done, "dataset repo 'ada/tiny-tr-embeddings' is public, and --private was asked for")
    assert commits(hub) == [1, 1, 1]


def test_a_new_push_replaces_shards_and_keeps_other_files(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for name in ("train-00000.parquet", "train-00001.parquet", "notes.md"):
        (old / name).write_text(f"old {name}")
    hub.add("dataset", IDS[2][1], old)
    succeeded(push(run_folder, "--only", "dataset", cwd=tmp_path, **online))
    files = hub.repos[IDS[2]].head.files
    assert "train-00001.parquet" not in files
    assert "notes.md" in files
    assert hub.read(*IDS[2], "train-00000.parquet") == (run_folder / "embeddings/train-00000.parquet").read_bytes()
    assert len(hub.repos[IDS[2]].commits) == 3


def test_a_new_push_replaces_weights_and_keeps_those_of_others(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    stale = ["model-00001-of-00002.safetensors", "model.safetensors.index.json"]
    own = ["adapter/adapter_model.safetensors", "adapter/model.safetensors", "mine.safetensors", "notes.md"]
    for name in (*stale, *own):
        (old / name).parent.mkdir(exist_ok=True, parents=True)
        (old / name).write_text(f"old {name}")
    hub.add("model", IDS[0][1], old)
    succeeded(push(run_folder, "--only", "model", cwd=tmp_path, **online))
    files = hub.repos[IDS[0]].head.files
    assert not set(stale) & set(files)
    assert {*own, "model.safetensors"} <= set(files)


def test_a_tag_that_exists_is_not_moved(hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path) -> None:
    succeeded(push(run_folder, "--only", "tokenizer", "--tag", "v1", cwd=tmp_path, **online))
    tagged = hub.repos[IDS[1]].tags["v1"]
    hub.repos[IDS[1]].commit("somebody's", {})
    done = push(run_folder, "--only", "tokenizer", "--tag", "v1", cwd=tmp_path, **online)
    refused(done, "has a tag 'v1' with other files")
    assert hub.repos[IDS[1]].tags["v1"] == tagged
    assert len(hub.repos[IDS[1]].commits) == 3


def test_a_space_goes_along(hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path) -> None:
    from huggingface_hub import snapshot_download

    from hub_tools.space.content import from_hub, from_settings

    dry = hub_distill(
        "publish", str(run_folder), "--push-to-hub", "ada", "--space", "--dry-run", cwd=tmp_path, **online
    )
    assert "space      ada/teacher-tr-demo" in dry.stdout, dry.stderr
    first, second = (push(run_folder, "--space", cwd=tmp_path, **online) for _ in range(2))
    assert "space repo 'ada/tiny-tr-demo': published" in first.stderr, first
    assert "space repo 'ada/tiny-tr-demo': nothing changed" in second.stderr, second
    space = ("space", "ada/tiny-tr-demo")
    files = set(hub.repos[space].head.files)
    assert {"README.md", "app.py", "requirements.txt", "space.json", "report.json"} <= files
    assert "figures/tokens_per_word.png" in files
    settings = json.loads(hub.read(*space, "space.json"))
    # A teacher in a folder of this machine is of no use to others.
    assert settings == {"teacher": None, "student": IDS[0][1], "tokenizer": IDS[1][1], "dataset": IDS[2][1]}
    card = hub.read(*space, "README.md").decode()
    assert "models:\n- ada/tiny-tr\n" in card
    # Links to the Space show a picture that is in it.
    picture = re.search(r"^thumbnail: https://huggingface.co/spaces/ada/tiny-tr-demo/resolve/main/(.+)$", card, re.M)
    assert picture and picture_size(hub.read(*space, picture[1])) == (1200, 630)
    assert "spaces/ada/tiny-tr-demo" in hub.read(*IDS[0], "README.md").decode()
    assert [len(c["items"]) for c in hub.collections.values()] == [4]
    published = b"".join(hub.read(*space, path) for path in files)
    for private in (str(tmp_path.parent), str(ROOT)):
        assert private.encode() not in published, private
    check_nothing_leaked(hub, run_folder)
    # A Space's machine has the repo's files, and the models from the Hub.
    with environment(**online):
        shown = from_settings(Path(snapshot_download("ada/tiny-tr-demo", repo_type="space")))
        student = shown.models["student"]
        assert (list(shown.models), len(student.tokenizer.vocabulary), student.title) == (["student"], 4096, "tiny-tr")
        assert shown.links["link_model"] == "https://huggingface.co/ada/tiny-tr"
        assert student.load().encode(["Merhaba"]).shape == (1, shown.report.student.dim)
        # Another Space finds it by the student's id alone.
        by_id = from_hub("ada/tiny-tr")
        assert (by_id.links, by_id.figures, by_id.report) == (shown.links, shown.figures, shown.report)
        with pytest.raises(UserError, match="The Hub knows no Space 'ada/other-demo'"):
            from_hub("ada/other")


@pytest.mark.parametrize("namespace", ["../x", "a/b", "a b", "-ada", "$(id)", "a--b", ""])
def test_impossible_names_are_refused(run_folder: Path, tmp_path: Path, namespace: str) -> None:
    done = hub_distill("publish", str(run_folder), "--push-to-hub", namespace, "--dry-run", cwd=tmp_path)
    refused(done, "--push-to-hub NAMESPACE" if namespace == "" else "cannot be a repo on the Hub", code=2)


def without_checksum(text: str) -> dict[str, Any]:
    return {key: value for key, value in json.loads(text).items() if key != "checksum"}


def test_an_unfinished_run_or_one_with_stages_of_another_is_not_published(run_folder: Path, tmp_path: Path) -> None:
    args = ["--push-to-hub", "ada", "--dry-run"]
    refused(hub_distill("publish", "nothing", *args, cwd=tmp_path), "nothing is no run folder")
    refused(hub_distill("publish", str(run_folder), "--dry-run", cwd=tmp_path), "Missing --push-to-hub", code=2)
    marker = run_folder / "student/.done.json"
    whole = marker.read_text()
    write_sealed(marker, {**without_checksum(whole), "key": "0" * 16})
    done = hub_distill("publish", str(run_folder), *args, cwd=tmp_path)
    refused(done, f"student in {run_folder} is not the one that run.json describes")
    marker.write_text(whole)
    shutil.rmtree(run_folder / "evaluation")
    done = hub_distill("publish", str(run_folder), *args, cwd=tmp_path)
    refused(done, f"{run_folder} is not finished: evaluation is missing")


def test_a_stage_pushes_nothing(tiny_teacher: Path, tmp_path: Path) -> None:
    args = ["--push-to-hub", "ada", "corpus", "--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "sample"]
    refused(hub_distill(*args, cwd=tmp_path), "A single stage pushes nothing", code=2)
