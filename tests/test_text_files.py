"""Files of text as users have them: how tables are written, which files a name stands for, and damage of every kind."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_tools.config import EmbedConfig, RunConfig
from hub_tools.core.errors import HubToolsError, UserError
from hub_tools.corpus.build import Corpus, build_corpus
from hub_tools.corpus.readers import TABLES, find_files, read_table, read_texts
from hub_tools.corpus.sources import find_sources
from hub_tools.evaluation.data import Similarity, read_similarity
from hub_tools.hub.jobs import check_remote
from hub_tools.reporting.redact import is_path
from hub_tools.stages.job import prepare
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.vectors.imported import find_embeddings, import_embeddings
from tests.commands import environment, hub_distill, refused
from tests.damage import damage
from tests.fake_hub import FakeHub
from tests.test_ready_vectors import CPU, SAFE

PAIRS = [(f"This is sentence {n}.", f"Bu {n} numaralı cümledir.") for n in range(300)]
# Cells that every way of quoting has to bring back.
HARD = [
    'He said "Hi", twice.',
    '"Merhaba."',
    "iki\nsatır",
    "sekme\tburada",
    "Bir kedi, iki köpek; üç kuş.",
    '5" ekran',
    "",
]


def put(tmp_path: Path, name: str, content: str | bytes) -> Path:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def texts(file: Path) -> list[str]:
    return list(read_texts(file, "tr"))


def as_table(rows: list[tuple[str, ...]], **style: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", **style).writerows(rows)
    return buffer.getvalue()


def pairs_of(tmp_path: Path, file: Path, files: TokenizerSpec) -> list[tuple[str, str]]:
    build_corpus(
        tmp_path / "corpus",
        [],
        [file],
        targets=("tr",),
        languages=("tr",),
        limits={},
        seed=1,
        tokenizer=files.load(),
        max_tokens=64,
    )
    corpus = Corpus(tmp_path / "corpus")
    return sorted((pair.source, pair.target) for split in ("train", "heldout") for pair in corpus.pairs(split))


# How tables are written


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_csv_may_be_separated_by_commas_semicolons_and_tabs(tmp_path: Path, separator: str, quoting: Any) -> None:
    rows = [("id", "text"), *((str(n), text) for n, text in enumerate(HARD))]
    file = put(tmp_path, "x.csv", as_table(rows, delimiter=separator, quoting=quoting))
    assert texts(file) == HARD


def test_spreadsheets_put_a_mark_before_and_spaces_around_the_names(tmp_path: Path) -> None:
    assert texts(put(tmp_path, "x.csv", "\ufeffid; text\n0;Bir kedi, iki köpek.\n")) == ["Bir kedi, iki köpek."]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_tsv_of_pandas_is_read_as_it_was_written_and_the_log_says_so(
    tmp_path: Path, quoting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    rows = [("id", "text"), *((str(n), text) for n, text in enumerate(HARD))]
    assert texts(put(tmp_path, "x.tsv", as_table(rows, delimiter="\t", quoting=quoting))) == HARD
    assert "x.tsv: quotation marks enclose cells" in caplog.text


@pytest.mark.parametrize(
    "cells",
    [
        ['"Merhaba."', '"Selam."'],  # whole sentences in marks prove nothing
        ['"Merhaba" dedi.', "sade"],
        ['5" ekran', '"a ""b"" c"'],
        ['"açık kaldı', "sade"],
        ["sade", "sade"],
    ],
)
def test_marks_of_other_tsv_files_are_text(tmp_path: Path, cells: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    rows = "".join(f"{n}\t{cell}\n" for n, cell in enumerate(cells))
    assert texts(put(tmp_path, "x.tsv", f"id\ttext\n{rows}")) == cells
    assert ("x.tsv: quotation marks are text" in caplog.text) == ('"' in rows)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "id,text\n0,Tamam.\n1,Bir kedi, iki köpek.\n", "line 3: 3 cells, but 2 columns"),
        ("x.csv", 'id,text\n0,"iki\nsatır"\n1,a,b\n', "line 4: 3 cells"),
        ("x.csv", "text\nBir kedi, iki köpek.\n", "line 2: 2 cells, but 1 columns"),
        ("x.tsv", "id\ttext\n0\ta\tb\n", "line 2: 3 cells"),
        ("x.csv", 'id,text\n0,"açık kaldı\n1,b\n', "line 2: unexpected end of data"),
        ("x.csv", 'id,text\n0,"kapalı" ama\n', "line 2: .*expected after"),
        ("x.csv", "Bir kedi.\nİki köpek.\n", "columns Bir kedi.; expected one named text.*is a .txt"),
        ("x.tsv", "Bir kedi.\nİki köpek.\n", "expected one named text"),
        ("x.csv", "0,Bir kedi.\n1,İki köpek.\n", "columns 0, Bir kedi.; expected one named text"),
        ("x.tsv", "id,text\n0,Bir kedi.\n", "columns id,text; expected one named text"),
    ],
)
def test_a_table_that_is_not_what_it_seems_is_refused_with_its_line(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        texts(put(tmp_path, name, content))


def test_separators_at_the_end_of_rows_are_no_cells(tmp_path: Path) -> None:
    assert texts(put(tmp_path, "x.csv", "text\nBir.,,\n\nİki.\n")) == ["Bir.", "İki."]


@pytest.mark.parametrize(
    ("cell", "kind"),
    [(["a"], "a list"), ({"a": 1}, "a"), (5, "a number"), (float("nan"), "a number"), (True, "true or false")],
)
def test_cells_that_are_no_text_are_refused_with_column_and_line(tmp_path: Path, cell: Any, kind: str) -> None:
    lines = [json.dumps({"text": "Tamam."}), json.dumps({"text": None}), json.dumps({"text": cell})]
    file = put(tmp_path, "x.jsonl", "\n".join(lines))
    with pytest.raises(UserError, match=rf"x.jsonl, line 3: 'text' (is|holds) {kind}.*(Write it as|expected tr)"):
        texts(file)


@pytest.mark.parametrize(
    "column", [pa.array([b"a", b"b"]), pa.array([["a"], ["b"]]), pa.array([1, 2]), pa.array([0, 1], pa.timestamp("s"))]
)
def test_columns_of_parquet_that_are_no_text_are_refused(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"x.parquet.*'text'.*expected text"):
        texts(tmp_path / "x.parquet")


def test_kinds_of_text_in_parquet_are_all_read(tmp_path: Path) -> None:
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        column = pa.array(["Bir.", None, "İki."], pa.string()).cast(kind)
        pq.write_table(pa.table({"n": [[1], [2], [3]], "text": column}), tmp_path / "x.parquet")
        assert texts(tmp_path / "x.parquet") == ["Bir.", "", "İki."]


def test_objects_of_opus_and_wmt_are_pairs_and_text(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    rows = [{"id": n, "translation": {"en": en, "tr": tr}} for n, (en, tr) in enumerate(PAIRS)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "opus.parquet")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    for number, file in enumerate((tmp_path / "opus.parquet", put(tmp_path, "opus.jsonl", lines))):
        assert pairs_of(tmp_path / str(number), file, minilm_files) == sorted(PAIRS)
        assert texts(file) == [tr for _, tr in PAIRS]
    other = put(tmp_path, "de.jsonl", json.dumps({"translation": {"en": "Hi.", "de": "Hallo."}}))
    with pytest.raises(UserError, match="'translation' holds en, de; expected tr among them"):
        texts(other)
    with pytest.raises(UserError, match=r"line 1: 'translation' is .*; expected an object such as"):
        pairs_of(tmp_path / "de", other, minilm_files)


def test_pairs_with_line_breaks_stay_aligned(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    rows = [(f'He said "{en}"\nAnd left.', f"{tr}\tSon.") for en, tr in PAIRS]
    file = put(tmp_path, "p.tsv", as_table([("en", "tr"), *rows], delimiter="\t"))
    assert pairs_of(tmp_path, file, minilm_files) == sorted((" ".join(a.split()), " ".join(b.split())) for a, b in rows)


def test_sts_tables_say_where_they_are_wrong(tmp_path: Path) -> None:
    good = {"sentence1": "a", "sentence2": "b", "score": 1}
    for number, (cells, message) in enumerate(
        [
            ({"sentence2": ["b"]}, "line 2: 'sentence2' is a list"),
            ({"score": True}, "line 2: score True is no number"),
            ({"score": int("9" * 400)}, "line 2: score 999.* is no number"),
            ({"score": [1]}, r"line 2: score \[1\] is no number"),
            ({"sentence1": ""}, "line 2: no sentence1"),
        ]
    ):
        lines = "\n".join(json.dumps(row) for row in (good, {**good, **cells}))
        with pytest.raises(UserError, match=message):
            read_similarity(str(put(tmp_path, f"{number}.jsonl", lines)), "tr")
    with pytest.raises(UserError, match="has the columns a, b; no sentence1, sentence2, score"):
        read_similarity(str(put(tmp_path, "x.csv", "a;b\n1;2\n")), "tr")
    halves = put(tmp_path, "half.jsonl", '{"sentence1": "a\\ud800", "sentence2": "b", "score": "2.5"}\n' * 2)
    expected = Similarity(first=["a?"] * 2, second=["b"] * 2, scores=[2.5] * 2)
    assert read_similarity(str(halves), "tr") == expected


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


# Damage


def _zip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.txt", content)
    return buffer.getvalue()


def _parquet(column: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": column}), buffer)
    return buffer.getvalue()


MISTAKES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "a zip": ("x.txt", _zip, "looks like a zip archive"),
    "a bzip2": ("x.txt", bz2.compress, "looks like a bzip2 file"),
    "an xz": ("x.jsonl", lzma.compress, "looks like an xz file"),
    "a gzip": ("x.csv", gzip.compress, "looks like a gzip file: its name must end in .gz"),
    "a zip as gzip": ("x.txt.gz", _zip, "looks like a zip archive"),
    "a gzip cut off": ("x.txt.gz", lambda text: gzip.compress(text)[:-9], "no complete gzip"),
    "a gzip with more behind": ("x.txt.gz", lambda text: gzip.compress(text) + b"more", "no complete gzip"),
    "UTF-16": ("x.txt", lambda text: text.decode().encode("utf-16"), "looks like UTF-16"),
    "UTF-16 without a mark": ("x.txt", lambda text: text.decode().encode("utf-16-le"), "no UTF-8 text|zero bytes"),
    "Windows-1254": ("x.txt", lambda text: text.decode().encode("cp1254"), "no UTF-8 text: .* after line"),
    "zero bytes": ("x.csv", lambda text: b"text\n\0" + text, "zero bytes"),
    "a parquet": ("x.txt", lambda _: _parquet(["a"]), "looks like a parquet file"),
    "no parquet": ("x.parquet", lambda text: text, "no readable parquet file"),
    "an empty parquet": ("x.parquet", lambda _: b"", "no readable parquet file"),
    "deep JSON": ("x.jsonl", lambda _: b'{"text": ' + b"[" * 100_000, "line 1: not valid JSON"),
    "a long number": ("x.jsonl", lambda _: b'{"text": ' + b"9" * 5000 + b"}", "line 1: not valid JSON"),
    "no object": ("x.jsonl", lambda _: b'"text"', "expected a JSON object"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_files_given_by_mistake_are_refused_with_what_they_are(tmp_path: Path, mistake: str) -> None:
    name, make, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        texts(put(tmp_path, name, make("Günaydın, şöyle böyle.\n".encode() * 400)))


def test_text_of_parquet_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    column = pa.array([b"a\xff", b"b"]).view(pa.string())
    with pytest.raises(UserError, match="no readable parquet file"):
        texts(put(tmp_path, "x.parquet", _parquet(column)))


def test_halves_of_characters_become_question_marks_in_the_corpus(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    rows = "".join(f'{{"en": "{en} \\ud800", "tr": "{tr}"}}\n' for en, tr in PAIRS)
    found = pairs_of(tmp_path, put(tmp_path, "p.jsonl", rows), minilm_files)
    assert found == sorted((f"{en} ?", tr) for en, tr in PAIRS)


def _originals() -> dict[str, bytes]:
    rows = [
        ("id", "sentence1", "sentence2", "score", "text"),
        *((str(n), *pair, "1.5", "a b") for n, pair in enumerate(PAIRS[:40])),
    ]
    objects = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    table, lines = pa.Table.from_pylist(objects), "".join(json.dumps(row) + "\n" for row in objects)
    buffers = {kind: io.BytesIO() for kind in ("snappy", "zstd", "none")}
    for kind, buffer in buffers.items():
        pq.write_table(table, buffer, compression=kind, row_group_size=16, data_page_size=200)
    plain = {
        "txt": "\n".join(tr for _, tr in PAIRS),
        "csv": as_table(rows),
        "tsv": as_table(rows, delimiter="\t", quoting=csv.QUOTE_ALL),
        "jsonl": lines,
    }
    files = {ending: text.encode() for ending, text in plain.items()}
    files |= {f"{ending}.gz": gzip.compress(content, mtime=0) for ending, content in files.items()}
    files |= {f"{kind}.parquet": buffer.getvalue() for kind, buffer in buffers.items()}
    config = RunConfig.from_dict({"teacher": "org/model", "lang": "tr,en", "distill": {"matryoshka": [384, 128]}})
    return files | {"toml": config.to_toml().encode()}


def damaged_files(seed: int, count: int) -> list[tuple[str, bytes]]:
    """Files of every format that the readers of text know, each damaged in a way that depends on the seed alone."""
    rng, originals = random.Random(seed), sorted(_originals().items())
    return [(name, damage(content, rng)[1]) for name, content in (rng.choice(originals) for _ in range(count))]


READERS: tuple[Callable[[Path], Any], ...] = (
    texts,
    lambda file: list(read_table(file)),
    lambda file: read_similarity(str(file), "tr"),
)
CONFIG_READERS: tuple[Callable[[Path], Any], ...] = (RunConfig.from_toml,)


def test_any_damage_gives_text_or_one_sentence(tmp_path: Path) -> None:
    outcomes = {"read": 0, "refused": 0}
    for number, (name, content) in enumerate(damaged_files(17, 300)):
        file = put(tmp_path, f"{number}.{name}", content)
        for reader in CONFIG_READERS if name == "toml" else READERS:
            try:
                reader(file)
                outcomes["read"] += 1
            except HubToolsError as error:
                assert len(str(error)) < 1500, str(error)
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 50
