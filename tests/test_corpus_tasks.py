"""Datasets of the Hub that tasks read, a shard each: whatever is killed, the same corpus as by one process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_tools.core.errors import UserError
from hub_tools.core.files import hash_file
from hub_tools.corpus import shards, sources
from hub_tools.corpus.build import build_corpus
from hub_tools.corpus.shards import TASKS, CutTask
from hub_tools.corpus.sources import find_sources
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.commands import Result, environment, finish, hub_distill, refused, succeeded
from tests.fake_hub import FakeHub

SHARDS = 13  # more than `datasets` reads in turns
LITTLE = 150
# What a README says of a dataset of two configurations.
CARD = """---
configs:
- config_name: default
  data_files: '*.parquet'
- config_name: one
  data_files: 13.parquet
dataset_info:
- config_name: default
  features:
  - name: text
    dtype: string
  - name: id
    dtype: int64
  splits:
  - name: train
    num_bytes: 1
    num_examples: 364
---
"""
Run = Callable[[CutTask, list[Path]], None]


def texts_of(shard: int) -> list[str]:
    """From 0 to 48 texts: short and long ones, and some that other shards have too."""
    long = "Çok uzun bir metin, ve sonra. " * 20
    return [f"{shard if n % 5 else 0} {n}. metin. {long * (n % 3) if n % 7 == 0 else ''}" for n in range(4 * shard)]


@pytest.fixture
def dataset(hub: FakeHub, online: dict[str, str], tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub that can be reached, with two datasets of the same texts, org/parquet and org/json."""
    for name in ("parquet", "json"):
        (tmp_path / name).mkdir()
    for shard in range(1, SHARDS + 1):
        rows = texts_of(shard)
        table = pa.table({"text": rows, "id": range(len(rows))})
        pq.write_table(table, tmp_path / f"parquet/{shard:02d}.parquet", row_group_size=9)
        lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in rows)
        (tmp_path / f"json/{shard:02d}.jsonl").write_text("".join(lines), encoding="utf-8")
    for name in ("parquet", "json"):
        hub.add("dataset", f"org/{name}", tmp_path / name)
    with environment(**online):
        yield hub


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SHUFFLE_BUFFER", 50)
    monkeypatch.setattr(shards, "LEAST_FOR_TASKS", 100)


def build(out: Path, spec: str, files: TokenizerSpec, *, run: Run | None = None, limit: int = 1000) -> dict[str, str]:
    """The hashes of the files of a corpus."""
    how: Any = {"targets": ("tr",), "languages": ("tr",), "limits": {"tr": limit}, "seed": 1}
    build_corpus(out, find_sources(spec, ("tr",), 1), [], tokenizer=files.load(), max_tokens=64, run=run, **how)
    return {file.name: hash_file(file) for file in out.rglob("*") if file.is_file() and TASKS not in file.parts}


def in_two(task: CutTask, files: list[Path]) -> None:
    """Two tasks, the second one first, which both run twice."""
    for rank in (1, 0):
        task(None, rank, 2)
    times = [file.stat().st_mtime_ns for file in files]
    for rank in (0, 1):
        task(None, rank, 2)
    assert [file.stat().st_mtime_ns for file in files] == times


@pytest.mark.parametrize(("name", "limit"), [("parquet", 1000), ("parquet", LITTLE), ("json", 1000)])
def test_tasks_give_the_corpus_of_one_process(
    name: str, limit: int, dataset: FakeHub, minilm_files: TokenizerSpec, tmp_path: Path
) -> None:
    alone = build(tmp_path / "alone", f"org/{name}", minilm_files, limit=limit)
    assert build(tmp_path / "shared", f"org/{name}", minilm_files, limit=limit, run=in_two) == alone
    stats = json.loads((tmp_path / "shared/stats.json").read_text(encoding="utf-8"))["text"]["tr"]
    assert stats["dropped_duplicate"] and stats["cut"]
    assert stats["kept"] == limit if limit == LITTLE else stats["kept"] > LITTLE
    assert len(list((tmp_path / "shared" / TASKS / "tr-0").glob("*.parquet"))) == SHARDS


def test_what_failed_is_read_again_and_nothing_else(
    dataset: FakeHub, minilm_files: TokenizerSpec, tmp_path: Path
) -> None:
    out, launched = tmp_path / "out", []

    def half(task: CutTask, files: list[Path]) -> None:
        launched.append(task.missing)
        task(None, 0, 2)

    def rest(task: CutTask, files: list[Path]) -> None:
        launched.append(task.missing)
        in_two(task, files)

    with pytest.raises(UserError, match=r"6 of 13 shards of org/parquet are missing, shard-00001\.parquet among them"):
        build(out, "org/parquet", minilm_files, run=half)
    done = {file: file.stat().st_mtime_ns for file in out.rglob("shard-*.parquet")}
    alone = build(tmp_path / "alone", "org/parquet", minilm_files)
    assert build(out, "org/parquet", minilm_files, run=rest) == alone
    assert launched == [tuple(range(SHARDS)), tuple(range(1, SHARDS, 2))]
    assert {file: file.stat().st_mtime_ns for file in done} == done


def test_tasks_are_for_those_who_want_most_of_a_dataset(
    dataset: FakeHub, minilm_files: TokenizerSpec, tmp_path: Path
) -> None:
    def fail(task: CutTask, files: list[Path]) -> None:
        raise AssertionError

    build(tmp_path / "few", "org/parquet", minilm_files, run=fail, limit=99)
    (tmp_path / "parquet/README.md").write_text(CARD, encoding="utf-8")
    dataset.add("dataset", "org/counted", tmp_path / "parquet")
    build(tmp_path / "part", "org/counted", minilm_files, run=fail, limit=181)
    build(tmp_path / "file", "org/counted:one", minilm_files, run=fail, limit=100)
    with pytest.raises(AssertionError):
        build(tmp_path / "most", "org/counted", minilm_files, run=fail, limit=182)


def test_the_plan_says_who_reads_the_text(
    dataset: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    pytest.importorskip("datatrove")
    dataset.add("model", "org/tiny", tiny_teacher)
    job = ["--teacher", "org/tiny", "--lang", "tr", "--corpus", "org/parquet", "--limit", "tr=1000,*=99"]
    job += ["--corpus", "org/json:nothing", "--dry-run"]  # which the run only warns of

    def plan(*more: str) -> list[str]:
        done = hub_distill(*job, *more, cwd=tmp_path, **online)
        succeeded(done)
        return [line.strip() for line in done.stdout.splitlines() if "process" in line or "tasks of" in line]

    local, jobs = (
        f"tasks of --executor {how}" for how in ("local (2 at once)", "jobs (storage=hf://buckets/ada/store)")
    )
    two = ["--executor", "local", "--workers", "2"]
    assert plan(*two) == [f"13 files of tr read in {local}", f"in {local}"]
    assert plan(*two, "--limit", "99") == ["read by one process", f"in {local}"]
    storage = ["--executor", "jobs", "--executor-option", "storage=hf://buckets/ada/store"]
    assert plan(*storage) == ["read by one process", f"in {jobs}"]
    assert plan() == []


PROGRAM = """
import os, signal
from hub_tools.cli import run
from hub_tools.corpus import shards, sources
sources.SHUFFLE_BUFFER, shards.LEAST_FOR_TASKS = 50, 100
cut = shards.CutTask._cut
def die(self, number):
    if number == 5 and not os.path.exists("cured"):
        os.kill(os.getpid(), signal.SIGKILL)
    cut(self, number)
shards.CutTask._cut = die
if __name__ == "__main__":
    run()
"""


def test_processes_read_the_shards_and_one_that_is_killed_is_noticed(
    dataset: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    pytest.importorskip("datatrove")
    (tmp_path / "small.py").write_text(PROGRAM, encoding="utf-8")
    job = ["corpus", "--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "org/parquet", "--limit", "1000"]

    def collect() -> Result:
        command = [sys.executable, "small.py", *job, "--output", "run", "--executor", "local", "--workers", "2"]
        return finish(command, cwd=tmp_path, **online, OMP_NUM_THREADS="1")

    refused(collect(), "A process was killed", "Run the same command again")
    files = tmp_path.glob("run/corpus.partial/tasks/tr-0/shard-*")
    done = [int(file.stem.removeprefix("shard-")) for file in files if file.stem != "shard-00000"]  # all look at that
    assert 0 < len(done) < SHARDS - 1
    asked = [len(dataset.asked(f"{number + 1:02d}.parquet")) for number in done]
    (tmp_path / "cured").touch()
    succeeded(collect())
    assert [len(dataset.asked(f"{number + 1:02d}.parquet")) for number in done] == asked
    assert not (tmp_path / "run/corpus/tasks").exists()
    succeeded(hub_distill(*job, "--output", "alone", cwd=tmp_path, **online))
    first, second = (
        {file.name: hash_file(file) for file in (tmp_path / name / "corpus").rglob("[!.]*") if file.is_file()}
        for name in ("run", "alone")
    )
    assert first == second
    # The key of the stage does not know who read the text.
    assert "corpus: already done" in hub_distill(*job, "--output", "run", cwd=tmp_path, **online).stderr
