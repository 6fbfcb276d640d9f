"""Tables as users write them: separators, quotation marks, cells that are no text, parquet, objects of OPUS."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_tools.core.errors import UserError
from hub_tools.evaluation.data import Similarity, read_similarity
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.text_files import PAIRS, as_table, pairs_of, put, texts

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
