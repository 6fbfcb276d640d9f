"""Vectors computed in tasks: by processes here, Slurm, Ray and Jobs, whatever is killed, the same bytes as by one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_tools.config import EmbedConfig
from hub_tools.config_scale import ScaleConfig
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.files import hash_file, read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.loading import SAFE
from hub_tools.models.resolve import find_teacher
from hub_tools.results import EmbeddingsResult
from hub_tools.vectors import executors
from hub_tools.vectors.embed import embed
from hub_tools.vectors.executors import compute_shards
from hub_tools.vectors.tasks import TASKS, EmbedTask, SharedFolder, give_out

pytest.importorskip("datatrove")
CPU = Hardware(device="cpu", precision="fp32")
DATA = Path(__file__).parent / "data"
Make = Callable[..., EmbeddingsResult]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, pair_texts: dict[str, list[str]]) -> Corpus:
    """Turkish text alone."""
    folder = tmp_path_factory.mktemp("text") / "corpus"
    (folder / "text").mkdir(parents=True)
    texts = pair_texts["tr"][:300]
    splits = ["heldout" if number % 10 == 0 else "train" for number in range(len(texts))]
    pq.write_table(pa.table({"text": texts, "split": splits}), folder / "text" / "tr.parquet")
    count = {"sources": [], "train": splits.count("train"), "heldout": splits.count("heldout")}
    write_json(folder / "stats.json", {"languages": ["tr"], "missing": [], "text": {"tr": count}})
    return Corpus(folder)


@pytest.fixture
def make(corpus: Corpus, tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Embed a little text in 32 rows a shard, in this process or by tasks."""
    import torch

    monkeypatch.setattr("hub_tools.vectors.embed.SHARD_ROWS", 32)
    monkeypatch.setattr(executors, "_LOOK", 0.05)
    teacher = find_teacher(str(tiny_teacher))

    def run(out: Path, scale: ScaleConfig | None = None, **more: Any) -> EmbeddingsResult:
        config = EmbedConfig()
        elsewhere = None
        if scale is not None:
            how = {"policy": SAFE, "dtype": config.dtype, "device": "cpu", "precision": "fp32"}
            how["teacher"] = str(tiny_teacher)
            elsewhere = partial(compute_shards, scale=scale, **{**how, **more})
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return embed(teacher, corpus, out, targets=("tr",), config=config, hardware=CPU, elsewhere=elsewhere)
        finally:
            torch.set_num_threads(threads)

    return run


@pytest.fixture
def alone(make: Make, tmp_path: Path) -> dict[str, str]:
    """The files that one process writes."""
    make(tmp_path / "alone")
    files = files_of_stage(tmp_path / "alone")
    assert len(files) > 8
    return files


def files_of_stage(folder: Path) -> dict[str, str]:
    return {file.name: hash_file(file) for file in sorted(folder.glob("[!.]*")) if file.is_file()}


def local(**more: Any) -> ScaleConfig:
    return ScaleConfig(executor="local", workers=2, **more)


def test_two_processes_write_the_same_bytes_as_one(make: Make, alone: dict[str, str], tmp_path: Path) -> None:
    result = make(tmp_path / "out", local())
    assert files_of_stage(tmp_path / "out") == alone
    assert result.rows_per_second
    # A task each: none waits for the last shards of the other.
    assert len(read_json(tmp_path / "out" / TASKS / "ranges.json")) == len(alone) - 1
    assert not list((tmp_path / "out" / TASKS).glob("scratch-*"))


class DyingFolder(SharedFolder):
    """Kills the process that would deliver the third shard of all, as a machine does that runs out of memory."""

    def deliver(self, shard: Path) -> None:
        if not (self.root / TASKS / "cured").exists() and len(list(self.root.glob("*.parquet"))) >= 3:
            os.kill(os.getpid(), signal.SIGKILL)
        super().deliver(shard)


def test_a_killed_process_is_noticed_and_only_what_is_missing_is_computed(
    make: Make, alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(executors, "SharedFolder", DyingFolder)
    with pytest.raises(UserError, match=r"A process was killed.*fewer --workers.*Run the same command again"):
        make(out, local())
    done = {file.name: file.stat().st_mtime_ns for file in out.glob("*.parquet")}
    assert 0 < len(done) < len(alone) - 1
    (out / TASKS / "cured").touch()
    make(out, local())
    assert files_of_stage(out) == alone
    assert {name: (out / name).stat().st_mtime_ns for name in done} == done


PROGRAM = """
import sys
from hub_tools.vectors import embed
from hub_tools.cli import run
if __name__ == "__main__":
    embed.SHARD_ROWS = 16
    run()
"""


def test_a_run_that_is_killed_takes_its_processes_along_and_is_continued(
    tiny_teacher: Path, pair_texts: dict[str, list[str]], tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("\n".join(pair_texts["tr"]), encoding="utf-8")
    (tmp_path / "small.py").write_text(PROGRAM, encoding="utf-8")
    job = ["embed", "--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "text.txt", "--precision", "fp32"]
    words = [sys.executable, "small.py", *job, "--device", "cpu", "--output", "run"]
    env, tasks = {**os.environ, "OMP_NUM_THREADS": "1"}, ["--executor", "local", "--workers", "2"]
    partial = tmp_path / "run" / "embeddings.partial"
    process = subprocess.Popen([*words, *tasks], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(done := list(partial.glob("*.parquet"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    own = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(own) > 2
    assert psutil.wait_procs(own, timeout=30)[1] == []
    times = {file.name: file.stat().st_mtime_ns for file in done}
    subprocess.run([*words, *tasks], cwd=tmp_path, env=env, check=True)
    files = files_of_stage(tmp_path / "run" / "embeddings")
    assert {name: (tmp_path / "run" / "embeddings" / name).stat().st_mtime_ns for name in times} == times
    assert not (tmp_path / "run" / "embeddings" / TASKS).exists()
    # The key of the stage does not know who computed it.
    again = subprocess.run(words, cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
    assert "embed: already done" in again.stderr
    subprocess.run([*words[:-1], "alone"], cwd=tmp_path, env=env, check=True)
    assert files_of_stage(tmp_path / "alone" / "embeddings") == files


class Forgetful(SharedFolder):
    """Sees no shard, as a task does that runs at the same time as another."""

    def has(self, name: str) -> bool:
        return False


def test_a_task_that_runs_twice_changes_nothing(make: Make, alone: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, local())
    assert give_out(out / TASKS, [name for name in alone if name.endswith(".parquet")], 2) == 2
    before = (out / "train-00000.parquet").stat().st_mtime_ns
    for rank in (0, 1, 0):
        EmbedTask(Forgetful(out))(None, rank, 2)
    assert files_of_stage(out) == alone
    assert (out / "train-00000.parquet").stat().st_mtime_ns > before


def test_neighbours_are_one_task_and_each_worker_has_one(tmp_path: Path) -> None:
    assert give_out(tmp_path, list("abcdefg"), 3) == 3
    assert read_json(tmp_path / "ranges.json") == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert give_out(tmp_path, [str(number) for number in range(1000)], 2) == 16
    assert give_out(tmp_path, [str(number) for number in range(100)], None) == 2


def program(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's commands, as far as a launch needs them: sbatch runs each task of the array, one after the other."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    program(folder, "scontrol", "#!/bin/bash\necho node1\n")
    program(folder, "srun", '#!/bin/bash\nwhile [ "${1#-}" != "$1" ]; do [ "$1" = -n ] && shift; shift; done\n"$@"\n')
    program(
        folder,
        "sbatch",
        f"""#!/bin/bash
echo "$@" >> {folder}/arguments
script="${{@: -1}}"
cp "$script" {folder}/script-$(ls {folder} | grep -c script-)
grep -q launch_pickled_pipeline "$script" || {{ echo Submitted batch job 8; exit; }}
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
for task in $(seq 0 $last); do
  SLURM_ARRAY_TASK_ID=$task SLURM_NODELIST=node1 bash "$script" >> {folder}/log 2>&1 || exit 1
done
echo Submitted batch job 7
""",
    )
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_slurm_runs_an_array_and_what_a_failed_task_left_is_kept(
    make: Make, alone: dict[str, str], slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    asked = ("partition=gpu", "time=24:00:00", "gpus_per_task=1", "cpus_per_task=8", "qos=")
    scale = ScaleConfig(executor="slurm", workers=2, executor_option=asked)
    monkeypatch.setattr(executors, "SharedFolder", DyingFolder)
    with pytest.raises(UserError, match=r"sbatch ended with exit code 1: a task failed, and .*logs says why"):
        make(out, scale)
    script = (slurm / "script-0").read_text(encoding="utf-8")
    script = script.replace(str(Path(sys.executable).parent), "BIN").replace(str(out.absolute()), "EMBEDDINGS")
    snapshot = DATA / "embed.slurm"
    if os.environ.get("WRITE_SLURM"):
        snapshot.write_text(script, encoding="utf-8")
    assert script == snapshot.read_text(encoding="utf-8")
    assert (slurm / "arguments").read_text(encoding="utf-8").startswith("--export=ALL,RUN_OFFSET=0 ")
    done = {file.name: file.stat().st_mtime_ns for file in out.glob("*.parquet")}
    assert 0 < len(done) < len(alone) - 1
    (out / TASKS / "cured").touch()
    make(out, scale)
    assert files_of_stage(out) == alone
    assert {name: (out / name).stat().st_mtime_ns for name in done} == done


def test_ray_runs_two_workers(make: Make, alone: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    scale = ScaleConfig(executor="ray", workers=2, executor_option=("mem_per_cpu_gb=1",))
    make(tmp_path / "out", scale)
    assert files_of_stage(tmp_path / "out") == alone


def test_shards_that_a_failed_task_left_out_are_missed(make: Make, tmp_path: Path) -> None:
    # As Ray and Jobs do it, which only note down that a task failed.
    with pytest.raises(
        UserError, match=r"10 of 10 shards are missing, .*a task failed, and its log in .*logs says why"
    ):
        make(tmp_path / "out", local(), run=lambda folder, left: None)


def test_what_an_executor_lacks_is_said(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for executor, options, message in (
        ("slurm", ("partition=gpu",), "has to know time: give --executor-option time=VALUE"),
        ("slurm", ("partition=gpu", "time=1:00:00"), "there is no sbatch here"),
        ("local", ("partition=gpu",), "--executor local takes no partition; expected one of workers"),
        ("local", ("tasks=3",), "takes no tasks"),
    ):
        with pytest.raises(UserError, match=message):
            make(tmp_path / "out", ScaleConfig(executor=executor, executor_option=options))
    for options, message in (
        ({"workers": 2}, "--workers is about --executor"),
        ({"executor": "local", "executor_option": ("gpu",)}, "expected NAME=VALUE"),
        ({"executor": "jobs"}, "expected --executor-option storage=URL"),
    ):
        with pytest.raises(UsageError, match=message):
            ScaleConfig(**options)
