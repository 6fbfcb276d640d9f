"""Damage in a run folder: every command says which file it is, and none uses it without a word."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.core.run_dir import FOLDERS, RunDir, Task
from hub_tools.core.run_record import read_record
from hub_tools.space.model import Model
from hub_tools.vectors.dataset import EmbeddingDataset
from tests import fake_run
from tests.commands import Result, hub_distill, refused, succeeded

PUSH = ["--push-to-hub", "ada", "--name", "x-tr"]
# Files of the fake run beside those of its stages; what they hold decides nothing.
UNUSED = ("config.toml", "log.txt", "report.json", "report.md", "figures/tokens_per_word.png", ".private", ".lock")
KINDS: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "cut": lambda content, dice: content[: dice.randrange(len(content) or 1)],
    "flipped": lambda content, dice: flipped(content, dice.randrange(8 * len(content) or 1)),
    "longer": lambda content, dice: content + dice.randbytes(9),
    "emptied": lambda _content, _dice: b"",
    "deleted": lambda _content, _dice: None,
    "a list": lambda _content, _dice: b"[]",
    "an object": lambda _content, _dice: b"{}",
    "a number": lambda _content, dice: str(dice.randrange(10)).encode(),
    "deep": lambda _content, dice: dice.choice([b"[", b'{"a":']) * 100_000,
    "a huge number": lambda _content, dice: b'{"seconds": ' + dice.choice([b"9" * 5000, b"1e999", b"9" * 400]) + b"}",
    "no UTF-8": lambda content, _dice: b"\xff\xfe" + content,
}


def seeded(*words: str) -> random.Random:
    return random.Random(" ".join(words))


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    if changed:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    values = fake_run.read_report()
    values["config"]["publish"] = {"private": True}
    run = fake_run.write_run(tmp_path_factory.mktemp("whole") / "run", values)
    for name in UNUSED:
        (run / name).touch()
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, whose figures and page cost nothing."""
    monkeypatch.setattr("hub_tools.hub.contents.draw_figures", lambda *_: {})
    monkeypatch.setattr("hub_tools.space.content.draw_figures", lambda *_: {})
    monkeypatch.setattr("hub_tools.space.content.find_model", lambda name, *_: Model(name, "x", Path()))
    monkeypatch.setattr("hub_tools.space.serve.serve", lambda content, **_: sys.stdout.write(repr(content.report)))
    return Path(shutil.copytree(whole, tmp_path / "run"))


def task(folder: str, *, more: dict[str, Any], reads: tuple[str, ...] = ()) -> Task:
    parts = fake_run.parts_of(folder, fake_run.read_report()["teacher"])
    more_parts = {**parts, **more}
    return Task(folder=folder, title=folder, parts=more_parts, reads=reads, options={}, work=lambda _: {"made": folder})


def resume(run: Path) -> None:
    """Use all stages again but the last, which reads those before it."""
    with RunDir(run, "") as run_dir:
        for folder in FOLDERS[:-1]:
            run_dir.run(task(folder, more={}))
        record = run_dir.run(task(FOLDERS[-1], more={"sts": "another"}, reads=FOLDERS[:-1]))
        assert record.result == {"made": "evaluation"}


def outcome(command: str, run: Path) -> Result:
    if command == "resume":
        try:
            resume(run)
        except UserError as error:
            return Result(1, "", f"Error: {error}\n")
        return Result(0, "", "")
    args = ["publish", str(run), *PUSH, "--dry-run"] if command == "publish" else ["space", str(run)]
    done = hub_distill(*args, cwd=run.parent)
    return Result(done.returncode, done.stdout, done.stderr)


def names_of(run: Path) -> list[str]:
    return sorted(file.relative_to(run).as_posix() for file in run.rglob("*") if file.is_file())


def is_used(command: str, name: str, kind: str) -> bool:
    """Whether the command uses a file, so that its damage must not go unsaid."""
    if name in UNUSED:
        return False
    folder = name.partition("/")[0]
    if command == "resume":
        # The last stage is done again in any case; a stage without a marker is not finished, and done again too.
        return folder != "evaluation" and not (name.endswith(".done.json") and kind == "deleted")
    content_alone = kind == "flipped" and not name.endswith((".done.json", "run.json"))
    return command == "publish" or not content_alone or folder == "student"


# A hundred damages a command; with the slow ones more than twice as many.
FAST = ("cut", "flipped", "deleted", "a list", "deep")


@pytest.mark.parametrize("command", ["resume", "publish", "space"])
@pytest.mark.parametrize(
    "kind", [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_damage_of_any_file_is_said_in_one_sentence(run: Path, whole: Path, kind: str, command: str) -> None:
    dice = seeded(kind, command)
    expected = outcome(command, run)
    succeeded(expected)
    for name in names_of(whole):
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        content = (run / name).read_bytes()
        damaged = KINDS[kind](content, dice)
        if damaged == content:
            continue
        if damaged is None:
            (run / name).unlink()
        else:
            (run / name).write_bytes(damaged)
        done = outcome(command, run)
        if is_used(command, name, kind):
            assert done.returncode == 1, (name, damaged)
            refused(done, "run.json" if name == "run.json" else name.partition("/")[0])
            assert len(done.stderr.splitlines()) == 1, done.stderr
        elif done.returncode == 0:
            assert done.stdout == expected.stdout, name
        else:
            refused(done, name)
        if name == "run.json" and damaged is not None:
            assert (run / name).read_bytes() == damaged  # nothing is written over it


def test_there_are_a_hundred_damages_for_each_command(whole: Path) -> None:
    assert len(names_of(whole)) * len(FAST) >= 100


@pytest.mark.parametrize("name", ["embeddings/train-00001.parquet", "clone/license/OTHER", "tokenizer/vocab.txt"])
def test_a_file_that_no_stage_wrote_is_named(run: Path, name: str) -> None:
    (run / name).write_text("of another run")
    for command in ("resume", "publish", "space"):
        refused(outcome(command, run), f"{name} is no file of this run. Delete it")


def test_a_deleted_file_is_named(run: Path) -> None:
    (run / "embeddings/train-00000.parquet").unlink()
    for command in ("resume", "publish", "space"):
        refused(outcome(command, run), "train-00000.parquet is missing", f"or delete {run / 'embeddings'} and run")


def test_sizes_are_compared_at_every_resume_and_content_before_it_is_read(run: Path) -> None:
    weights = run / "clone/model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(flipped(content, 3))
    with RunDir(run, "") as run_dir:
        for folder in FOLDERS:
            run_dir.run(task(folder, more={}))
    with pytest.raises(UserError, match=r"clone/model\.safetensors is damaged: its content"):
        resume(run)
    weights = run / "student/model.safetensors"
    weights.write_bytes(flipped(weights.read_bytes(), 3))
    for source in ("run", "run/student"):
        done = hub_distill("export", source, "--format", "onnx", cwd=run.parent)
        refused(done, "student/model.safetensors is damaged: its content")
    weights = run / "clone/model.safetensors"
    weights.write_bytes(content[:5])
    with pytest.raises(UserError, match="damaged: it has 5 bytes instead of 24"), RunDir(run, "") as run_dir:
        run_dir.run(task("clone", more={}))


def test_doing_a_damaged_stage_again_helps(run: Path) -> None:
    (run / "clone/model.safetensors").write_bytes(b"")
    refused(outcome("resume", run), f"delete {run / 'clone'} and run the job again: the other stages are kept")
    shutil.rmtree(run / "clone")
    succeeded(outcome("resume", run))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [".key.json", ".done.json"])
def test_a_damaged_marker_of_an_unfinished_stage_is_named(run: Path, name: str, kind: str) -> None:
    def fail(_: Path) -> dict[str, Any]:
        raise UserError("killed")

    began = Task(folder="clone", title="clone", parts={"another": 1}, options={}, work=fail)
    with pytest.raises(UserError, match="killed"), RunDir(run, "") as run_dir:
        run_dir.run(began)
    marker = run / "clone.partial" / name
    shutil.copy(run / "clone.partial/.key.json", marker) if name == ".done.json" else None
    damaged = KINDS[kind](marker.read_bytes(), seeded(kind))
    if damaged is None:
        return
    marker.write_bytes(damaged)
    with pytest.raises(UserError, match=rf"{name} is damaged: .*delete .*clone\.partial"), RunDir(run, "") as run_dir:
        run_dir.run(began)


@pytest.mark.parametrize("name", ["run.json", "clone/.done.json"])
def test_a_stage_without_a_list_of_its_files_is_not_used(run: Path, name: str) -> None:
    content = json.loads((run / name).read_text(encoding="utf-8"))
    del content["checksum"], (content["stages"]["clone"] if name == "run.json" else content)["files"]
    (run / name).write_text(json.dumps(content), encoding="utf-8")
    for command in ("resume", "publish", "space"):
        refused(outcome(command, run), f"{run / name} is damaged")


def test_what_only_a_continued_attempt_needs_is_gone_before_the_stage_counts(run: Path) -> None:
    def work(out: Path) -> dict[str, Any]:
        (out / "best").mkdir()
        (out / "best/weights").write_text("")
        (out / "model").write_text("")
        return {}

    with RunDir(run, "") as run_dir:
        record = run_dir.run(
            Task(folder="student", title="student", parts={}, options={}, work=work, leftovers=("best*",))
        )
        assert list(record.files) == ["model"]
        assert sorted(path.name for path in (run / "student").iterdir()) == [".done.json", "model"]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_vectors_are_named(finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(finished[0].output / "embeddings", tmp_path / "embeddings"))
    for name in ("manifest.json", "train-00000.parquet"):
        content = (folder / name).read_bytes()
        damaged = KINDS[kind](content, seeded(kind))
        (folder / name).unlink() if damaged is None else (folder / name).write_bytes(damaged)
        try:
            vectors = EmbeddingDataset(folder)
            read = [batch.vectors.shape for split in ("train", "validation") for batch in vectors.batches(split)]
        except UserError as error:
            assert name in str(error)
        else:
            assert kind == "flipped", name
            assert len(read) == 2
        (folder / name).write_bytes(content)


COMMANDS = {
    "corpus/text/tr.parquet": ["tokenizer", "--vocab-size", "4000"],
    "tokenizer/tokenizer.json": ["clone", "--init", "mean"],
    "clone/model.safetensors": ["distill", "--steps", "3"],
    "embeddings/train-00000.parquet": ["distill", "--steps", "3"],
    "student/model.safetensors": ["evaluate", "--sts", "sts.tsv"],
}


@pytest.mark.parametrize("kind", ["cut", "flipped"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_real_run_does_no_work_on_damaged_files(
    finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path, name: str, kind: str
) -> None:
    run = Path(shutil.copytree(finished[0].output, tmp_path / "run"))
    config = (run / "config.toml").read_text(encoding="utf-8").replace(str(finished[0].output), str(run))
    (tmp_path / "run.toml").write_text(config, encoding="utf-8")
    (tmp_path / "sts.tsv").write_text("sentence1\tsentence2\tscore\nBir kedi.\tİki köpek.\t1\nBir ev.\tBir ev.\t5\n")
    before = read_record(run)
    content = (run / name).read_bytes()
    (run / name).write_bytes(KINDS[kind](content, seeded(name)) or b"")
    done = hub_distill(*COMMANDS[name], "--config", "run.toml", cwd=tmp_path)
    refused(done, f"{run / name} is damaged", f"or delete {run / Path(name).parts[0]} and run the job again")
    stages = read_record(run).stages
    # The new data to measure on made the corpus be read again, which left its files as they were.
    assert {**stages, "corpus": None} == {**before.stages, "corpus": None}
