"""Publishing where something goes wrong: faults of the Hub, tokens that may do little, and what a rerun does."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import REPOS
from tests.commands import CANARY, hub_distill, hub_distill_process, refused, succeeded
from tests.fake_hub import FakeHub, Fault, User
from tests.pushed import IDS, check_nothing_leaked, commits, push


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
