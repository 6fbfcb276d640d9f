"""What a visitor cannot do to the page and to the machine that it runs on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.hub.jobs import run_hf
from hub_tools.space import documents, limits, sandbox
from hub_tools.space.api import explain
from hub_tools.space.content import from_run
from hub_tools.space.limits import RefusedError
from hub_tools.space.service import Service
from tests.commands import environment, finish
from tests.fake_hub import FakeHub
from tests.page_server import DIARY, add_dataset


@pytest.fixture
def reading(online: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Reads from the Hub are those of a page that was started in this folder; the owner is logged in."""
    for key, value in online.items():
        monkeypatch.setenv(key, value)
    folder = tmp_path / "started here"
    (folder / "notes").mkdir(parents=True)
    (folder / "notes/diary.txt").write_text(DIARY)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def read(reading: Path, online: dict[str, str]) -> Iterator[Callable[[str], list[str]]]:
    """What the process for data from outside does with a dataset, in this process, which is faster."""
    with environment(**online):
        yield lambda repo: sandbox._dataset(repo, "", "", "")


# -- names


@pytest.mark.parametrize(
    "name", ["text", "json", "csv", "parquet", "arrow", "xml", "imagefolder", "webdataset", "notes"]
)
def test_a_name_of_a_reader_or_of_a_folder_reads_nothing(reading: Path, hub: FakeHub, name: str) -> None:
    with pytest.raises(RefusedError, match="is not a Hub id"):
        documents.from_hub(name)
    assert hub.requests == []


def test_an_id_is_that_of_the_hub_even_where_a_folder_has_its_name(reading: Path, hub: FakeHub, tmp_path: Path) -> None:
    add_dataset(hub, tmp_path / "public")
    for repo in ("bob/texts", "bob/none"):
        (reading / repo).mkdir(parents=True)
        (reading / repo / "train.csv").write_text(f"text\n{DIARY}\n")
    assert documents.from_hub("bob/texts") == ["a public text"]
    with pytest.raises(RefusedError, match="no public dataset bob/none"):
        documents.from_hub("bob/none")


@pytest.mark.parametrize("names", ["train.txt", "image.png"])
def test_datasets_of_other_kinds_are_refused(
    read: Callable[[str], list[str]], hub: FakeHub, tmp_path: Path, names: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / names).write_bytes(b"a line\n")
    hub.add("dataset", "bob/kind", tmp_path / "data")
    if names == "train.txt":
        assert read("bob/kind") == ["a line"]
    else:
        with pytest.raises(RefusedError, match="is not a dataset of text files"):
            read("bob/kind")


@pytest.mark.parametrize(
    "files",
    [
        "data_files: {inside}/train.csv",
        "data_files: '{folder}/notes/diary.txt'",
        "data_files: ../../../notes/diary.txt",
        "data_files: file://{folder}/notes/diary.txt",
        "data_files: hf://datasets/bob/other@main/train.csv",
        "data_files: zip://train.csv::{inside}/train.zip",
        "data_files: 'train.csv::{inside}/train.csv'",
        "data_files: [train.csv, '{folder}/notes/diary.txt']",
        "data_dir: {inside}/",
        "data_dir: '{folder}/notes'",
        "data_dir: ../..",
    ],
)
def test_a_dataset_names_no_files_outside_of_its_repo(
    *,
    read: Callable[[str], list[str]],
    reading: Path,
    hub: FakeHub,
    tmp_path: Path,
    inside: tuple[str, list[str]],
    files: str,
) -> None:
    address, asked = inside
    named = files.format(inside=address, folder=reading)
    add_dataset(hub, tmp_path / "other", repo="bob/other")
    add_dataset(hub, tmp_path / "public", f"configs:\n- config_name: default\n  {named}")
    with pytest.raises(RefusedError) as refusal:
        read("bob/texts")
    assert refusal.value.key == "error_dataset_files"
    assert asked == []


def test_a_cell_that_names_a_picture_opens_nothing(
    read: Callable[[str], list[str]], hub: FakeHub, tmp_path: Path, inside: tuple[str, list[str]]
) -> None:
    address, asked = inside
    readme = "dataset_info:\n  features:\n  - {name: text, dtype: string}\n  - {name: picture, dtype: image}"
    add_dataset(hub, tmp_path / "public", readme)
    (tmp_path / "public/train.csv").write_text(f"text,picture\na public text,{address}/x.png\n")
    hub.add("dataset", "bob/pictures", tmp_path / "public")
    assert read("bob/pictures") == ["a public text"]
    assert asked == []


# -- processes


_MODULES = ("datasets", "tokenizers", "json", "hub_tools", "huggingface_hub", "click", "httpx", "sitecustomize")


def test_what_lies_in_the_folder_of_the_page_is_neither_run_nor_changed(
    reading: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dataset(hub, tmp_path / "public")
    for name in _MODULES:
        (reading / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\n")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    before = sorted(reading.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", f".{os.pathsep}{reading}")
        assert documents.from_hub("bob/texts") == ["a public text"]
    run_hf(["version"])
    assert not (tmp_path / "ran").exists()
    assert sorted(reading.rglob("*")) == before
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "hf/hub").exists()  # the owner's cache


def test_no_module_is_started_with_the_working_directory_on_its_path() -> None:
    root = Path(sandbox.__file__).parents[1]
    started = [line for file in root.rglob("*.py") for line in file.read_text("utf-8").splitlines() if '"-m"' in line]
    assert started
    assert [line for line in started if '"-P", "-m"' not in line] == []


_FILL = """
from datasets import load_dataset
from huggingface_hub import hf_hub_download
for name in ("tokenizer.json", "tokenizer_config.json"):
    hf_hub_download("ada/secret", name)
assert load_dataset("ada/diary")["train"][0]["text"]
"""


@pytest.mark.parametrize("offline", ["0", "1"])
def test_what_the_owner_has_cached_is_read_by_no_visitor(
    *,
    reading: Path,
    hub: FakeHub,
    finished: tuple[RunConfig, Any],
    minilm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    offline: str,
) -> None:
    (tmp_path / "secret").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "secret" / name).write_bytes((minilm / name).read_bytes())
    hub.add("model", "ada/secret", tmp_path / "secret", private=True)
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary/train.csv").write_text(f"text\n{DIARY}\n")
    hub.add("dataset", "ada/diary", tmp_path / "diary", private=True)
    filled = finish([sys.executable, "-c", _FILL], cwd=tmp_path)
    assert filled.returncode == 0, filled.stderr
    content = from_run(finished[0].output)
    service = Service(replace(content, links={"link_model": "https://huggingface.co/ada/student"}))
    for name, value in {"HF_HUB_OFFLINE": offline, "HF_HUB_CACHE": str(tmp_path / "hf/hub")}.items():
        monkeypatch.setenv(name, value)
    refused = "could not be reached" if offline == "1" else "no public"
    with pytest.raises(RefusedError, match=refused):
        service.compare("a", "ada/secret", "student")
    with pytest.raises(RefusedError, match=refused):
        documents.from_hub("ada/diary")
    # What the page names itself is there.
    expected = service.compare("a", "student", "teacher")
    assert service.compare("a", "ada/student", "teacher") == expected


def test_at_most_four_processes_run_however_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[int] = []
    most: list[int] = []

    def start(*_: object) -> subprocess.CompletedProcess[bytes]:
        running.append(1)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()
        return subprocess.CompletedProcess([], 0, b'{"result": ["a"]}', b"")

    monkeypatch.setattr(sandbox, "_start", start)
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: documents.from_hub("bob/texts"), range(48)))
    assert answers == [["a"]] * 48
    assert max(most) == sandbox.AT_ONCE == 4
    monkeypatch.setattr(sandbox, "SECONDS", 0.1)
    for _ in range(4):
        assert sandbox._PLACES.acquire(timeout=0)
    try:
        with pytest.raises(RefusedError, match="Too many requests"):
            documents.from_hub("bob/texts")
    finally:
        for _ in range(4):
            sandbox._PLACES.release()


# -- tables


@pytest.mark.parametrize(
    "content",
    [
        "a," * 2_400_000 + "\n",
        "a," * 2_400_000 + "\n" + "a\n" * 50_000,
        "x\n" * 50_000 + "a," * 2_300_000,
        ",".join("ab" for _ in range(1_500)) + "\n" + "a\n" * 1_250_000,
        "a,b\n" * 1_240_000,
        '\n"' * 2_400_000,
        "a" * 4_900_000,
        ("," * 999 + "\n") * 4_900,
    ],
)
def test_a_table_of_any_shape_is_read_or_refused_at_once(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.csv").write_text(content[: limits.UPLOAD])
    start = time.process_time()
    try:
        assert documents.from_file(tmp_path / "x.csv")
    except RefusedError as refusal:
        assert refusal.key in {"error_columns", "error_csv", "error_empty"}
    assert time.process_time() - start < 5


# -- messages


def test_a_message_shows_no_path_of_the_machine(caplog: pytest.LogCaptureFixture) -> None:
    for error in (UserError("/home/ada/run/tokenizer.json is damaged."), OSError(2, "No such file", "/home/ada/x")):
        assert explain(error, "en") == "Something went wrong; it was logged. Try something else."
    assert "/home/ada/run/tokenizer.json" in caplog.text
