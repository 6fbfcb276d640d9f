"""Vectors computed on Hugging Face Jobs: the Hub is on loopback, and its Jobs are processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hub_tools.core.errors import UserError
from hub_tools.hub.storage import Storage
from hub_tools.vectors.dataset import shards
from tests.commands import CANARY, environment, finish, refused, succeeded
from tests.fake_hub import FakeHub

pytest.importorskip("datatrove")
STORAGE = "hf://datasets/ada/store"
# The script of a Job goes through Xet, whose storage on loopback is for one process at a time: it is left out.
SMALL = """
from huggingface_hub import HfApi
from hub_tools.vectors import embed
from hub_tools.cli import run
HfApi._upload_scripts_to_bucket = lambda self, **_: []
embed.SHARD_ROWS = 32
run()
"""
# What a Job runs, and one that dies when its first shard is there.
LAUNCH = "from datatrove.tools.launch_pickled_pipeline import main\nmain()\n"
DIE = """
import os, signal
from hub_tools.hub.storage import Storage
deliver = Storage.deliver
def last(self, shard):
    deliver(self, shard)
    os.kill(os.getpid(), signal.SIGKILL)
Storage.deliver = last
"""


def embed(root: Path, output: str, env: dict[str, str], *more: str) -> Any:
    job = ["--teacher", "org/tiny", "--lang", "tr", "--corpus", "text.txt", "--output", output, "--device", "cpu"]
    return finish([sys.executable, "-c", SMALL, "embed", *job, "--precision", "fp32", *more], cwd=root, **env)


def test_what_died_is_computed_again_and_nothing_else(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, pair_texts: dict[str, list[str]], tmp_path: Path
) -> None:
    hub.add("model", "org/tiny", tiny_teacher)
    (tmp_path / "text.txt").write_text("\n".join(pair_texts["tr"][:300]), encoding="utf-8")
    env = {**online, "OMP_NUM_THREADS": "1"}

    def start(job: dict[str, Any]) -> subprocess.Popen[bytes]:
        own = {**os.environ, **env, "HF_HOME": str(tmp_path / f"job-{len(hub.jobs)}"), **job["environment"]}
        own |= {name: str(value) for name, value in job["secrets"].items()}
        script = DIE + LAUNCH if len(hub.jobs) == 1 else LAUNCH
        return subprocess.Popen([sys.executable, "-c", script, job["command"][-1]], env=own)

    hub.start_job = start
    where = ["--executor", "jobs", "--executor-option", f"storage={STORAGE}", "--executor-option", "poll_interval=1"]
    done = embed(tmp_path, "jobs", env, *where)
    succeeded(done)
    succeeded(embed(tmp_path, "alone", env))
    folders = [tmp_path / name / "embeddings" for name in ("jobs", "alone")]
    first, second = ({file.name: file.read_bytes() for file in shards(folder)} for folder in folders)
    assert first == second
    assert len(hub.jobs) == 3  # two, and the one that died once more
    assert hub.jobs[0]["flavor"] == "a10g-small"
    assert hub.repos["dataset", "ada/store"].private
    commits = hub.repos["dataset", "ada/store"].commits
    uploads = Counter(
        Path(path).name
        for before, after in pairwise(commits)
        for path, blob in after.files.items()
        if path.endswith(".parquet") and "/rows/" not in path and before.files.get(path) is not blob
    )
    assert uploads == dict.fromkeys(first, 1)
    # A run that begins anew elsewhere finds all of them.
    succeeded(embed(tmp_path, "again", env, *where))
    assert len(hub.jobs) == 3
    assert {file.name: file.read_bytes() for file in shards(tmp_path / "again" / "embeddings")} == first
    # The token is in no file of the storage.
    repo = hub.repos["dataset", "ada/store"]
    assert not [path for path in repo.head.files if CANARY.encode() in hub.read("dataset", "ada/store", path)]


def test_texts_do_not_go_where_all_can_read_them(hub: FakeHub, online: dict[str, str]) -> None:
    hub.add("dataset", "ada/open")
    hub.add("dataset", "ada/closed", private=True)
    with environment(**online):
        with pytest.raises(UserError, match="hf://datasets/ada/open is public, and so would be the texts"):
            Storage("hf://datasets/ada/open/folder").create()
        for name in ("closed", "new"):
            Storage(f"hf://datasets/ada/{name}/folder").create()
    assert {name: repo.private for (_, name), repo in hub.repos.items()} == {
        "ada/open": False,
        "ada/closed": True,
        "ada/new": True,
    }


def test_a_teacher_of_this_machine_cannot_be_seen(tiny_teacher: Path, tmp_path: Path, online: dict[str, str]) -> None:
    (tmp_path / "text.txt").write_text("Merhaba\n", encoding="utf-8")
    where = ["--executor", "jobs", "--executor-option", f"storage={STORAGE}", "--teacher", str(tiny_teacher)]
    refused(embed(tmp_path, "run", online, *where), "where Jobs cannot see it")
