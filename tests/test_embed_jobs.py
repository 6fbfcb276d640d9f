"""Runs on Hugging Face Jobs: the Hub is on loopback, and its Jobs are processes of this machine.

Each Job has a home and an empty folder of its own, so that it finds only what is on the Hub.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_tools import job_script
from hub_tools.core.errors import UserError
from hub_tools.hub.storage import Storage
from hub_tools.vectors.dataset import shards
from tests.commands import CANARY, environment, finish, hub_distill_process, refused, succeeded
from tests.fake_hub import FakeHub

pytest.importorskip("datatrove")
STORAGE = "hf://datasets/ada/store"
WHERE = ["--executor", "jobs", "--executor-option", f"storage={STORAGE}", "--executor-option", "poll_interval=1"]
# The script of a Job goes through Xet, whose storage on loopback is for one process at a time: it is left out.
SMALL = """
from huggingface_hub import HfApi
from hub_tools.vectors import embed
HfApi._upload_scripts_to_bucket = lambda self, **_: []
embed.SHARD_ROWS = 32
"""
RUN = "from hub_tools.cli import run\nrun()\n"
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


SCRIPT_NAME = "/data/job_script.py"
# The whole job, and one whose machine is lost when it is about to train.
SCRIPT = f"import runpy\nrunpy.run_path({str(Path(job_script.__file__))!r}, run_name='__main__')\n"
DIE_BEFORE_TRAINING = """
import os, signal
from hub_tools.training.trainer import Trainer
Trainer.train = lambda self: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def machines(hub: FakeHub, online: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Start Jobs; the first that computes vectors and the first of a whole job die. The environment of all of them."""
    env, died = {**online, "OMP_NUM_THREADS": "1"}, set[str]()

    def start(job: dict[str, Any]) -> subprocess.Popen[bytes]:
        home = tmp_path / f"job-{len(hub.jobs)}"
        home.mkdir()
        own = {**os.environ, **env, "HF_HOME": str(home / "hf"), **job["environment"]}
        own |= {name: str(value) for name, value in job["secrets"].items()}
        words = job["command"]
        if SCRIPT_NAME in words:
            death, script, words = DIE_BEFORE_TRAINING, SMALL + SCRIPT, words[words.index(SCRIPT_NAME) + 1 :]
        else:
            death, script, words = DIE, LAUNCH, words[-1:]
        first = "" if script in died else death
        died.add(script)
        return subprocess.Popen([sys.executable, "-c", first + script, *words], env=own, cwd=home)

    hub.start_job = start
    return env


def embed(root: Path, output: str, env: dict[str, str], *more: str) -> Any:
    job = ["--teacher", "org/tiny", "--lang", "tr", "--corpus", "text.txt", "--output", output, "--device", "cpu"]
    return finish([sys.executable, "-c", SMALL + RUN, "embed", *job, "--precision", "fp32", *more], cwd=root, **env)


def test_what_died_is_computed_again_and_nothing_else(
    hub: FakeHub, machines: dict[str, str], tiny_teacher: Path, pair_texts: dict[str, list[str]], tmp_path: Path
) -> None:
    hub.add("model", "org/tiny", tiny_teacher)
    (tmp_path / "text.txt").write_text("\n".join(pair_texts["tr"][:300]), encoding="utf-8")
    succeeded(embed(tmp_path, "jobs", machines, *WHERE))
    succeeded(embed(tmp_path, "alone", machines))
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
    succeeded(embed(tmp_path, "again", machines, *WHERE))
    assert len(hub.jobs) == 3
    assert {file.name: file.read_bytes() for file in shards(tmp_path / "again" / "embeddings")} == first
    # The token is in no file of the storage.
    repo = hub.repos["dataset", "ada/store"]
    assert not [path for path in repo.head.files if CANARY.encode() in hub.read("dataset", "ada/store", path)]


LOAD = """
from datasets import load_dataset
from sentence_transformers import SentenceTransformer
print(SentenceTransformer("ada/student", device="cpu").encode("Kütüphane bugün açık.").shape[0])
print(load_dataset("ada/student-embeddings", split="train").num_rows)
"""


@pytest.mark.slow
def test_a_job_that_others_compute_for_trains_and_pushes_though_it_dies_itself(
    hub: FakeHub, machines: dict[str, str], tiny_teacher: Path, pair_texts: dict[str, list[str]], tmp_path: Path
) -> None:
    hub.add("model", "org/tiny", tiny_teacher)
    (tmp_path / "text").mkdir()
    pq.write_table(pa.table({"text": pair_texts["tr"][:300]}), tmp_path / "text" / "tr.parquet")
    hub.add("dataset", "org/text", tmp_path / "text")
    job = ["--teacher", "org/tiny", "--lang", "tr", "--corpus", "org/text", "--vocab-size", "4096", "--learn", "500"]
    job += ["--device", "cpu", "--precision", "fp32", "--steps", "4", "--push-to-hub", "ada", "--name", "student"]

    def submit() -> int:
        """The status with which the Job ends."""
        name, more = f"job{len(hub.jobs) + 1}", {"HF_HUB_DISABLE_XET": "0"}
        succeeded(hub_distill_process("jobs", *job, *WHERE, "--submit", cwd=tmp_path, **{**machines, **more}))
        return hub.processes[name].wait(600)

    assert submit() == -signal.SIGKILL
    assert len(hub.jobs) == 1 + 3  # two for the vectors, and the one of them that died once more
    assert ("model", "ada/student") not in hub.repos
    assert submit() == 0
    assert len(hub.jobs) == 5  # all vectors were there
    loaded = finish([sys.executable, "-c", LOAD], cwd=tmp_path, **machines)
    succeeded(loaded)
    assert loaded.stdout.split() == ["32", "369"]
    assert hub.repos["dataset", "ada/store"].private


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
    refused(embed(tmp_path, "run", online, *WHERE, "--teacher", str(tiny_teacher)), "where Jobs cannot see it")
