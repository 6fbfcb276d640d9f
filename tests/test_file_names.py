"""Which files a name stands for, and that nothing of this machine is read through a dataset."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hub_tools.config import EmbedConfig, RunConfig
from hub_tools.core.errors import UserError
from hub_tools.corpus.readers import TABLES, find_files
from hub_tools.corpus.sources import find_sources
from hub_tools.hub.jobs import check_remote
from hub_tools.reporting.redact import is_path
from hub_tools.stages.job import prepare
from hub_tools.vectors.imported import find_embeddings, import_embeddings
from tests.commands import environment, hub_distill, refused
from tests.fake_hub import FakeHub
from tests.test_ready_vectors import CPU, SAFE
from tests.text_files import put

# Which files a name stands for


def test_a_folder_and_a_pattern_are_all_files_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a/c.CSV", "a/d.jsonl.gz", ".hidden.txt", ".git/x.txt", "notes.md", "a/e.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        put(tmp_path, name, "")
    inside = ["a/c.CSV", "a/d.jsonl.gz", "a/e.parquet", "b.txt"]
    assert [str(file.relative_to(tmp_path)) for file in find_files("--corpus", str(tmp_path))] == inside
    assert [source.name for source in find_sources(str(tmp_path), ("tr", "en"), 1)] == [
        str(tmp_path / name) for name in inside
    ]
    assert find_files("--corpus", f"{tmp_path}/*.txt") == [tmp_path / "b.txt"]
    assert find_files("--corpus", f"{tmp_path}/**/*.jsonl*") == [tmp_path / "a/d.jsonl.gz"]
    assert find_files("--parallel", str(tmp_path), TABLES) == [tmp_path / name for name in inside[:3]]
    put(tmp_path, "[odd]*.txt", "")
    assert find_files("--corpus", f"{tmp_path}/[odd]*.txt") == [tmp_path / "[odd]*.txt"]


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--parallel", "p.txt", "p.txt has no columns. Write a .tsv: first their names"),
        ("--corpus", "x.txt.bz2", "x.txt.bz2 has an unknown format; expected .txt, .tsv"),
        ("--corpus", "empty", "the folder holds no file to read; expected .txt"),
        ("--corpus", "none/*.txt", "there is no file"),
        ("--corpus", "fifo.txt", "there is no file"),
        ("--corpus", "zero.txt", "there is no file"),
        ("--corpus", "linked", "secret.txt is a link to a file outside of the folder"),
        (
            "--corpus",
            "languages",
            r"de.txt seems to hold another language than tr; did you mean .*languages/\{lang\}.txt",
        ),
        ("--corpus", "[z-a]*.txt", "there is no file"),
        ("--corpus", "x" * 5000 + ".txt", "can be no file: File name too long"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, option: str, name: str, message: str) -> None:
    for folder in ("empty", "linked", "languages"):
        (tmp_path / folder).mkdir()
    for file in ("p.txt", "x.txt.bz2", "secret.txt", "languages/tr.txt", "languages/de.txt"):
        put(tmp_path, file, "")
    os.mkfifo(tmp_path / "fifo.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "linked/secret.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(UserError, match=message):
        if option == "--corpus":
            find_sources(f"{tmp_path}/{name}", ("tr", "en"), 1)
        else:
            find_files(option, f"{tmp_path}/{name}", TABLES)


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x.csv", "a\0b.csv", "x" * 300 + ".csv", "x/" * 3000 + "x.csv"])
@pytest.mark.parametrize("option", ["--corpus", "--parallel", "--sts", "--embeddings", "--config"])
def test_odd_names_are_refused_in_a_sentence(tmp_path: Path, tiny_teacher: Path, option: str, name: str) -> None:
    job = ["--teacher", str(tiny_teacher), "--lang", "tr", "--dry-run", option, name]
    done = hub_distill(*job, *([] if option == "--corpus" else ["--corpus", "sample"]), cwd=tmp_path)
    assert done.returncode in (1, 2) and done.stderr.startswith("Error: ") and "Traceback" not in done.stderr


def test_a_language_is_left_out_only_where_it_has_no_file(tmp_path: Path) -> None:
    for lang in ("tr", "en"):
        (tmp_path / lang).mkdir()
        put(tmp_path, f"{lang}/x.txt", "")
    spec, languages = f"{tmp_path}/{{lang}}", ("tr", "en", "de")
    assert [source.lang for source in find_sources(spec, languages, 1)] == ["tr", "en"]
    put(tmp_path, "secret.txt", "")
    (tmp_path / "en/y.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(UserError, match=r"y\.txt is a link"):
        find_sources(spec, languages, 1)


def test_links_of_the_hubs_cache_are_files_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshots/abc").mkdir(parents=True)
    put(tmp_path, "blobs/1", "Merhaba.\n")
    (tmp_path / "snapshots/abc/x.txt").symlink_to("../../blobs/1")
    assert find_files("--corpus", str(tmp_path / "snapshots/abc")) == [tmp_path / "snapshots/abc/x.txt"]


def test_a_job_elsewhere_gets_no_folder_and_no_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org/texts").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for spec in ("org/texts", "org/t*"):
        corpus = {"corpus": {"sources": [spec]}, "publish": {"namespace": "ada"}}
        with pytest.raises(UserError, match="is on this machine"):
            check_remote(RunConfig.from_dict({"teacher": "org/m", "lang": "tr", **corpus}))
    assert is_path("texts/A.TXT")


def test_files_that_a_shell_made_of_a_pattern_get_a_hint(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        put(tmp_path, name, "")
    for words in (["--corpus", "a.txt", "b.txt"], ["corpus", "--corpus", "a.txt", "b.txt"]):
        refused(hub_distill(*words, cwd=tmp_path), "'b.txt'. Put a pattern between quotation marks", code=2)


def test_parallel_and_sts_files_are_found_before_any_work(tiny_teacher: Path, tmp_path: Path) -> None:
    put(tmp_path, "p.txt", "")
    job = {"teacher": str(tiny_teacher), "lang": "tr", "output": str(tmp_path / "run")}
    for section in (
        {"corpus": {"parallel": [str(tmp_path / "p.txt")]}},
        {"evaluate": {"sts": [str(tmp_path / "p.txt")]}},
    ):
        with pytest.raises(UserError, match=r"p\.txt has no columns"):
            prepare(RunConfig.from_dict({**job, **section}), plan_only=True)
    (tmp_path / "pairs").mkdir()
    for name in ("b.csv", "a.jsonl"):
        put(tmp_path / "pairs", name, "")
    parallel = {"sources": ["sample"], "parallel": [str(tmp_path / "pairs")]}
    found = prepare(RunConfig.from_dict({**job, "corpus": parallel}), plan_only=True)
    assert [file.path.name for file in found.parallel] == ["a.jsonl", "b.csv"]


# Nothing of this machine through a dataset


@pytest.mark.parametrize(
    "name", ["text", "json", "csv", "parquet", "text:default", "json@main", "../x/y", "a/b/c", "./x"]
)
def test_a_name_that_is_not_of_the_hub_reads_no_file_here(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`datasets` takes such names for readers of all files below the working directory."""
    (tmp_path / "private").mkdir()
    put(tmp_path / "private", "diary.txt", "Sevgili günlük\n" * 100)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"owner/name|outside"):
        [list(source.open()) for source in find_sources(name, ("tr",), 1)]
    with pytest.raises(UserError, match="an id of the Hub like org/name"):
        find_embeddings(EmbedConfig(use=name))


def test_a_folder_here_is_not_taken_for_a_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org/set").mkdir(parents=True)
    put(tmp_path, "org/set/x.txt", "Merhaba.\n")
    monkeypatch.chdir(tmp_path)
    assert [list(source.open()) for source in find_sources("org/set", ("tr",), 1)] == [["Merhaba."]]
    for name in ("org/set:default", "org/set@main"):
        with pytest.raises(UserError, match="is a file or folder here"):
            find_sources(name, ("tr",), 1)
    with pytest.raises(UserError, match="expected the folder of a dataset"):
        find_embeddings(EmbedConfig(use="org/set@main"))


OUTSIDE = [
    "{here}/diary.txt",
    "../diary.txt",
    "data/../../diary.txt",
    "{hub}/inside.txt",
    "hf://datasets/org/other/x.txt",
]


@pytest.mark.parametrize("pattern", OUTSIDE)
def test_a_dataset_of_the_hub_reads_its_own_files_alone(
    tmp_path: Path, pattern: str, hub: FakeHub, online: dict[str, str]
) -> None:
    put(tmp_path, "diary.txt", "Sevgili günlük\n" * 100)
    (tmp_path / "set").mkdir()
    named = pattern.format(here=tmp_path, hub=hub.endpoint)
    put(tmp_path / "set", "README.md", f"---\nconfigs:\n- config_name: default\n  data_files: '{named}'\n---\n")
    hub.add("dataset", "org/set", tmp_path / "set")
    with environment(**online), pytest.raises(UserError, match="names files outside of itself in its README"):
        [list(source.open()) for source in find_sources("org/set", ("tr",), 1)]
    assert not any("inside.txt" in str(request) for request in hub.requests)


@pytest.mark.parametrize("pattern", OUTSIDE[:3])
def test_a_folder_of_vectors_reads_its_own_files_alone(tmp_path: Path, pattern: str, tiny_teacher: Path) -> None:
    put(tmp_path, "diary.txt", "Sevgili günlük\n" * 100)
    (tmp_path / "set").mkdir()
    named = pattern.format(here=tmp_path)
    put(tmp_path / "set", "README.md", f"---\nconfigs:\n- config_name: default\n  data_files: '{named}'\n---\n")
    (tmp_path / "saved").mkdir()
    put(tmp_path / "saved", "state.json", json.dumps({"_data_files": [{"filename": named}]}))
    for name in ("set", "saved"):
        ready = find_embeddings(EmbedConfig(use=str(tmp_path / name)))
        with pytest.raises(UserError, match="names files outside of itself"):
            import_embeddings(
                ready, tmp_path / "out", clone=tiny_teacher, targets=("tr",), dtype="float16", hardware=CPU, policy=SAFE
            )


def test_a_folder_beside_that_begins_like_it_is_not_its_own(tmp_path: Path, tiny_teacher: Path) -> None:
    (tmp_path / "set-private").mkdir()
    put(tmp_path / "set-private", "diary.txt", "Sevgili günlük\n" * 100)
    (tmp_path / "set").mkdir()
    put(tmp_path / "set", "train.csv", "text\nbir\n")
    readme = f"---\nconfigs:\n- config_name: default\n  data_dir: '{tmp_path}/set-private'\n---\n"
    put(tmp_path / "set", "README.md", readme)
    ready = find_embeddings(EmbedConfig(use=str(tmp_path / "set")))
    with pytest.raises(UserError, match="names files outside of itself"):
        import_embeddings(
            ready, tmp_path / "out", clone=tiny_teacher, targets=("tr",), dtype="float16", hardware=CPU, policy=SAFE
        )
