"""Reading one file of text or of a table, in each format, and the bundled sample."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError

FORMATS = (".txt", ".tsv", ".csv", ".jsonl", ".parquet")
# Names of columns with text, in the order in which they are looked for.
TEXT_COLUMNS = ("text", "sentence", "content")
# Spreadsheets put a byte order mark before the first column's name.
_ENCODING = "utf-8-sig"
# The csv module refuses cells over 131,072 characters by itself.
_LONGEST_CELL = 2**31 - 1

Row = dict[str, Any]


def sample_file(name: str) -> Path:
    """Return the path of a file of the bundled sample."""
    return Path(str(resources.files("hub_tools") / "sample" / name))


def read_texts(path: Path, lang: str) -> Iterator[str]:
    """Read a .txt file (one text a line) or a table's text column; UserError: it is damaged, or has no such column."""
    if path.name.removesuffix(".gz").endswith(".txt"):
        yield from (line.rstrip("\n") for line in _lines(path))
        return
    column: str | None = None
    for row in read_table(path):
        column = column or text_column(row, lang)
        if column is None:
            names = ", ".join(map(str, row))
            raise UserError(f"{path} has the columns {names}; expected one named {', '.join(TEXT_COLUMNS)} or {lang}.")
        yield str(row.get(column) or "")


def text_column(columns: Iterable[str], lang: str = "") -> str | None:
    """Return the column with text: `text`, `sentence`, `content`, the language code or the only one, else None."""
    names = list(columns)
    known = (name for name in (*TEXT_COLUMNS, lang) if name in names)
    return next(known, names[0] if len(names) == 1 else None)


def read_table(path: Path) -> Iterator[Row]:
    """Read the rows of a .tsv, .csv, .jsonl or .parquet file, plain or gzipped; UserError: it is none of these.

    A .tsv has a header line, one tab between cells and no quoting.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from _parquet_rows(path)
    elif name.endswith(".jsonl"):
        yield from _json_rows(path)
    elif name.endswith((".tsv", ".csv")):
        style: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if name.endswith(".tsv") else {}
        limit = csv.field_size_limit(_LONGEST_CELL)
        try:
            yield from csv.DictReader(_lines(path), **style)
        except csv.Error as error:
            raise UserError(f"{path} is no readable table: {error}.") from error
        finally:
            csv.field_size_limit(limit)
    else:
        raise UserError(f"{path} has an unknown format; expected {', '.join(FORMATS)}, plain or with .gz.")


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            # Group by group: over a whole file, iter_batches reads ever more groups ahead and keeps them.
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(batch_size=1024, row_groups=[group]):
                    yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is no readable parquet file: {error}") from error


def _json_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number}: not valid JSON ({error}). Expected one object a line.") from error
        if not isinstance(row, dict):
            raise UserError(f'{path}, line {number}: expected a JSON object such as {{"text": "..."}}.')
        yield row


def _lines(path: Path) -> Iterable[str]:
    try:
        with (
            gzip.open(path, "rt", encoding=_ENCODING) if path.suffix == ".gz" else path.open(encoding=_ENCODING) as file
        ):
            for line in file:
                if "\0" in line:
                    raise UserError(f"{path} is no text file (it holds zero bytes). Expected UTF-8 text.")
                yield line
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}. Convert it first.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is no complete gzip file: {error}. Expected gzipped UTF-8 text.") from error
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
