"""Publishing with the real huggingface_hub to a Hub on loopback: what arrives, what goes wrong, what a rerun does."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import REPOS, RunConfig
from hub_tools.core.files import write_sealed
from tests.commands import CANARY, Result, environment, finish, hub_distill, hub_distill_process, refused, succeeded
from tests.fake_hub import FakeHub, Fault, User

ROOT = Path(__file__).parents[1]
IDS = [("model", "ada/tiny-tr"), ("model", "ada/tiny-tr-tokenizer"), ("dataset", "ada/tiny-tr-embeddings")]


@pytest.fixture
def run_folder(finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of the finished run, which remembers what it is published with."""
    return Path(shutil.copytree(finished[0].output, tmp_path / "run"))


def push(run: Path, *args: str, cwd: Path, **env: str) -> Result:
    return hub_distill("publish", str(run), "--push-to-hub", "ada", "--name", "tiny-tr", *args, cwd=cwd, **env)


def commits(hub: FakeHub) -> list[int]:
    """Commits of ours in each repo."""
    return [len(hub.repos[repo].commits) - 1 if repo in hub.repos else 0 for repo in IDS]


def check_nothing_leaked(hub: FakeHub, *folders: Path) -> None:
    """The token is in no file and went to no other host than the Hub."""
    commits = [commit for repo in hub.repos.values() for commit in repo.commits]
    published = [blob.content for commit in commits for blob in commit.files.values()]
    local = [f.read_bytes() for folder in folders for f in folder.rglob("*") if f.is_file()]
    assert not any(CANARY.encode() in content for content in [*published, *hub.lfs.values(), *local])
    assert [r for r in hub.requests if r.host == "localhost" and r.token] == []


def check_loads(model: str, tokenizer: str, dataset: str, run: Path) -> None:
    """What is on the Hub loads with the libraries that it is for, and is what the run has."""
    from datasets import load_dataset
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer

    published, local = SentenceTransformer(model, device="cpu"), SentenceTransformer(f"{run}/student", device="cpu")
    assert (published.encode(["Merhaba dünya"]) == local.encode(["Merhaba dünya"])).all()
    assert len(AutoTokenizer.from_pretrained(tokenizer)) == 4096
    rows = load_dataset(dataset)
    assert set(rows) == {"train", "validation"}, rows
    assert len(rows["train"][0]["embedding"]) == 32
    first = next(iter(load_dataset(dataset, split="train", streaming=True)))
    assert first["text"] == rows["train"][0]["text"]


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
        loads = "import sys; from tests.test_publish import check_loads; check_loads(*sys.argv[1:])"
        env["PYTHONPATH"] = str(ROOT)
        succeeded(finish([sys.executable, "-c", loads, *ids, str(run_folder)], cwd=tmp_path, **env))
    assert first.stderr.count("published") == 3, first
    assert second.stderr.count("nothing changed") == 3, second
    assert commits(hub) == [1, 1, 1]
    assert all(hub.repos[repo].tags == {"v1": hub.repos[repo].head.oid} for repo in IDS)
    assert [len(c["items"]) for c in hub.collections.values()] == [3]
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


def faults(last_shard: Path) -> list[tuple[Fault, str, list[int]]]:
    """What goes wrong at each push, what the user reads, and the commits that are there afterwards."""
    shard = hashlib.sha256(last_shard.read_bytes()).hexdigest()
    gone = {"X-Error-Code": "RepoNotFound"}
    broken = "connection to the Hub broke off"
    return [
        (Fault("POST /api/repos/create", 403, message="no rights"), "token is not allowed", [0, 0, 0]),
        (Fault("POST /api/repos/create", 409, message="exists"), "that huggingface_hub cannot read", [0, 0, 0]),
        (Fault("POST .*/preupload", 404, gone, "gone"), "shows your token no model repo", [0, 0, 0]),
        (Fault("PUT /storage", 413, message="too large"), "too large for the Hub", [0, 0, 0]),
        (Fault("PUT /storage", 503, times=6), "The Hub is in trouble (status 503)", [0, 0, 0]),
        (Fault("PUT /storage", cut=5000, times=6), broken, [0, 0, 0]),
        (Fault("POST .*/commit/", 401, message="Invalid username"), "hf auth login", [0, 0, 0]),
        (Fault("POST .*/commit/", 403, message="no write access"), "token is not allowed", [0, 0, 0]),
        (Fault("POST .*/commit/", 429, {"Retry-After": "7"}, "slow"), "asks to wait 7 seconds", [0, 0, 0]),
        (Fault("POST .*/tag/", 403, message="no"), "token is not allowed", [1, 0, 0]),
        (Fault("POST .*-tokenizer/commit/", 500, message="oops"), "The Hub is in trouble", [1, 0, 0]),
        (Fault(f"PUT /storage/{shard}", cut=5000, times=6), broken, [1, 1, 0]),
        (Fault("POST .*-embeddings/commit/", 412, message="moved"), "someone else", [1, 1, 0]),
        (Fault("POST /api/collections", 409, message="exists"), "in the way of what was asked: exists", [1, 1, 1]),
        (Fault("POST /api/collections", 500, message="oops"), "trouble (status 500) with collection", [1, 1, 1]),
    ]


def test_after_every_fault_a_rerun_goes_on(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    expected = faults(run_folder / "embeddings/validation-00000.parquet")
    hub.faults += [fault for fault, _, _ in expected]
    published = [0, 0, 0]
    for fault, words, commits_then in expected:
        done = push(run_folder, "--tag", "v1", cwd=tmp_path, **online)
        refused(done, words)
        said = done.stderr
        assert "secret-of-the-storage" not in said.split("Error:")[1], fault
        for place, (what, (_, repo_id)) in enumerate(zip(REPOS, IDS, strict=True)):
            published[place] += said.count(f"{what} repo '{repo_id}': published")
        assert published == commits_then, said
    assert [fault.times for fault in hub.faults] == [0] * len(expected)
    succeeded(push(run_folder, "--tag", "v1", cwd=tmp_path, **online))
    # One commit each: nothing was ever half on main, and nothing is done or uploaded twice.
    assert commits(hub) == [1, 1, 1]
    assert all(hub.repos[repo].tags == {"v1": hub.repos[repo].head.oid} for repo in IDS)
    assert [len(c["items"]) for c in hub.collections.values()] == [3]
    assert len(hub.asked("PUT /storage")) == len(hub.lfs) + 1 + 6 + 6 + 6
    check_nothing_leaked(hub, run_folder)


def test_somebody_elses_commit_is_not_overwritten(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    repo = hub.add("model", IDS[1][1])
    hub.hooks["POST .*/preupload"] = lambda: repo.commit("somebody's", dict(repo.head.files))
    first, second = (push(run_folder, "--only", "tokenizer", cwd=tmp_path, **online) for _ in range(2))
    refused(first, "was changed by someone else during the upload")
    succeeded(second)
    assert [c.title for c in repo.commits[1:]] == ["somebody's", repo.head.title]


def test_passing_trouble_is_waited_out(hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path) -> None:
    hub.faults += [
        Fault("POST .*/preupload", 429, {"Retry-After": "7"}, "slow down"),
        Fault("PUT /storage", 503),
        Fault("PUT /storage", cut=5000, skip=1),
    ]
    done = push(run_folder, cwd=tmp_path, **online)
    succeeded(done)
    assert "waited 8.0" in done.stderr  # what the Hub asked for, and one
    assert commits(hub) == [1, 1, 1]


@pytest.mark.parametrize(
    ("user", "token", "words"),
    [
        (User("ada"), "hf_wrongAndRevoked", ["does not accept your token", "hf auth login"]),
        (User("ada", role="read"), CANARY, ["may not create the model repo", "write access"]),
        (User("ada", role="fineGrained", write=("bob",)), CANARY, ["may not create the model repo"]),
        (User("bob"), CANARY, ["You are logged in as 'bob'", "may not create repos of 'ada'"]),
        (User("bob", orgs={"ada": "read", "eve": "contributor"}), CANARY, ["repos of 'ada'", "one of: bob, eve."]),
        (User("ada"), "", ["Not logged in", "hf auth login"]),
    ],
    ids=["wrong token", "read only", "wrong scope", "wrong namespace", "reads in the org", "not logged in"],
)
def test_access_is_checked_before_any_work(
    *,
    hub: FakeHub,
    online: dict[str, str],
    tiny_teacher: Path,
    tmp_path: Path,
    user: User,
    token: str,
    words: list[str],
) -> None:
    hub.users[CANARY] = user
    hub.add("model", "org/tiny", tiny_teacher)
    env = {**online, "HF_TOKEN": token}
    args = ["--teacher", "org/tiny", "--lang", "tr", "--corpus", "sample", "--push-to-hub", "ada"]
    done = hub_distill(*args, cwd=tmp_path, **env)
    refused(done, *words)
    assert token not in done.stderr or not token
    assert hub.asked("org/tiny/resolve") == []
    assert not (tmp_path / "runs").exists()


def test_a_token_for_one_repo_publishes_that_repo(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    for kind, repo_id in IDS:
        hub.add(kind, repo_id)
    hub.users[CANARY] = User("ci", role="fineGrained", write=("ada/tiny-tr-embeddings",))
    succeeded(push(run_folder, "--only", "dataset", cwd=tmp_path, **online))
    assert commits(hub) == [0, 0, 1]
    assert hub.collections == {}
    assert "ada/tiny-tr-tokenizer" in hub.read(*IDS[2], "README.md").decode()
    refused(push(run_folder, "--only", "model", cwd=tmp_path, **online), "Your token is not allowed")
    assert commits(hub) == [0, 0, 1]


def test_a_token_without_collections_publishes_the_repos(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    hub.users[CANARY] = User("ada", collections=False)
    done = push(run_folder, cwd=tmp_path, **online)
    succeeded(done)
    assert "The repos are published. Your token may make no collection of them" in done.stderr
    assert commits(hub) == [1, 1, 1]
    assert hub.collections == {}


def test_publishing_needs_the_hub(online: dict[str, str], tmp_path: Path) -> None:
    offline = {**online, "HF_HUB_OFFLINE": "1"}
    said = "HF_HUB_OFFLINE is set, and publishing needs the Hub. Unset it."
    args = ["--teacher", "org/tiny", "--lang", "tr", "--push-to-hub", "ada"]
    refused(hub_distill(*args, cwd=tmp_path, **offline), said)
    args = ["publish", "run", "--push-to-hub", "ada", "--check"]
    refused(hub_distill(*args, "--name", "tiny-tr", cwd=tmp_path, **offline), said)
    refused(hub_distill(*args, cwd=tmp_path, **online), "--check needs --name", code=2)


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

    from hub_tools.space.content import from_settings

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


def test_from_one_command_to_three_repos(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(tiny_teacher, teacher)
    (teacher / "README.md").write_text("---\nlicense: gemma\n---\n# Teacher\n")
    (teacher / "LICENSE").write_text("The terms.\n")
    (teacher / "NOTICE").write_text("The teacher's notice.\n")
    (teacher / "onnx").mkdir()
    (teacher / "onnx" / "model.json").write_text("{}")
    (teacher / "pytorch_model.bin").write_bytes(b"a copy of the weights")
    repo = hub.add("model", "ada/private-teacher", teacher, private=True)
    repo.tags["v1"] = repo.head.oid
    args = ["--teacher", "ada/private-teacher@v1", "--lang", "tr", "--corpus", "sample", "--limit", "40"]
    args += ["--steps", "2"]
    args += ["--vocab-size", "4096", "--device", "cpu", "--precision", "fp32", "--push-to-hub", "ada", "--private"]
    args += ["--only", "model", "--only", "dataset", "--tag", "v1"]
    done = hub_distill(*args, cwd=tmp_path, **online)
    succeeded(done)
    assert hub.asked(r"resolve/.*(onnx|\.bin)") == []
    files = hub.repos["model", "ada/private-teacher-tr"].head.files
    assert "LICENSE" in files
    notice = files["NOTICE"].content.decode()
    assert notice.startswith("The teacher's notice.\n\nGemma is provided under")
    card = files["README.md"].content.decode()
    assert "base_model: ada/private-teacher\n" in card
    assert f"--teacher ada/private-teacher@{repo.head.oid} " in card
    run = tmp_path / "runs/private-teacher-tr"
    check_nothing_leaked(hub, run)
    published = {repo_id: repo.tags for (_, repo_id), repo in hub.repos.items() if "private-teacher-tr" in repo_id}
    assert list(published) == ["ada/private-teacher-tr", "ada/private-teacher-tr-embeddings"]
    assert [list(tags) for tags in published.values()] == [["v1"], ["v1"]]
    assert hub.collections == {}


_OWN_CODE = """
from transformers import BertConfig, BertModel

class OwnConfig(BertConfig):
    model_type = "own"

class OwnModel(BertModel):
    config_class = OwnConfig
"""


def test_a_trusted_teacher_with_code_and_pickled_weights_goes_all_the_way(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer

    teacher = tmp_path / "teacher"
    shutil.copytree(tiny_teacher, teacher)
    torch.save(load_file(teacher / "model.safetensors"), teacher / "pytorch_model.bin")
    (teacher / "model.safetensors").unlink()
    (teacher / "own.py").write_text(_OWN_CODE)
    config = json.loads((teacher / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}}
    (teacher / "config.json").write_text(json.dumps(config))
    hub.add("model", "org/own", teacher)
    args = ["--teacher", "org/own", "--lang", "tr", "--corpus", "sample", "--limit", "40", "--steps", "2"]
    args += ["--vocab-size", "4096", "--device", "cpu", "--precision", "fp32", "--push-to-hub", "ada"]
    refused(hub_distill(*args, "--allow-pickle", cwd=tmp_path, **online), "org/own comes with Python code of its own")
    refused(hub_distill(*args, "--trust-remote-code", cwd=tmp_path, **online), "org/own has no safetensors weights")
    done = hub_distill(*args, "--allow-pickle", "--trust-remote-code", cwd=tmp_path, **online)
    succeeded(done)
    files = hub.repos["model", "ada/own-tr"].head.files
    # The student needs the code, and has no pickle any more.
    assert {"own.py", "model.safetensors"} <= set(files)
    assert not [file for file in files if file.endswith(".bin")]
    card = files["README.md"].content.decode()
    assert 'SentenceTransformer("ada/own-tr", trust_remote_code=True)' in card
    assert "--trust-remote-code --allow-pickle" in card
    with environment(**{**online, "HF_HOME": str(tmp_path / "elsewhere")}):
        model = SentenceTransformer("ada/own-tr", device="cpu", trust_remote_code=True)
    assert type(model[0].auto_model).__name__ == "OwnModel"
    assert model.encode(["Merhaba"]).shape == (1, 32)


def test_trouble_with_xet_is_said_and_waits_for_a_rerun(
    hub: FakeHub, online: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    hub.faults += [Fault("GET .*/xet-write-token", 403, message="no write access", times=9)]
    args = ["publish", str(run_folder), "--push-to-hub", "ada", "--name", "tiny-tr", "--only", "tokenizer"]
    env = {**online, "HF_HUB_DISABLE_XET": "0"}
    done = hub_distill_process(*args, cwd=tmp_path, **env)
    refused(done)
    expected = "token is not allowed|upload of large files to the tokenizer repo .* broke off"
    assert re.search(expected, done.stderr), done
    assert commits(hub) == [0, 0, 0]
    hub.faults.clear()
    succeeded(hub_distill_process(*args, cwd=tmp_path, **env))
    assert commits(hub) == [0, 1, 0]


def test_signed_addresses_and_tokens_are_not_shown() -> None:
    from types import SimpleNamespace

    from huggingface_hub.errors import HfHubHTTPError

    from hub_tools.core.hub_errors import explain_push

    response: Any = SimpleNamespace(status_code=418, headers={}, request=None)
    text = f"418 for url 'https://storage.example/x?X-Amz-Signature=abc' with {CANARY}"
    said = explain_push(HfHubHTTPError(text, response=response), "model repo 'ada/x'") or ""
    assert "https://storage.example/x" in said
    assert "abc" not in said
    assert CANARY not in said


def test_a_token_of_a_workflow_is_not_shown() -> None:
    from hub_tools.core.hub_errors import without_secrets

    assert without_secrets("with hf_jwt_eyJh.eyJz-d_W.c2ln here") == "with hf_*** here"


def test_a_conflict_is_explained_with_what_the_hub_said() -> None:
    from types import SimpleNamespace

    from huggingface_hub.errors import HfHubHTTPError

    from hub_tools.core.hub_errors import explain_push

    response: Any = SimpleNamespace(status_code=409, headers={}, request=None)
    error = HfHubHTTPError("conflict", response=response, server_message="a branch of that name is there")
    said = explain_push(error, "model repo 'ada/x'")
    assert said == "Model repo 'ada/x' is in the way of what was asked: a branch of that name is there."
