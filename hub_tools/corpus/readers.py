"""Reading files of text and tables, in each format, and the bundled sample."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from importlib import resources
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.files import user_path
from hub_tools.corpus.delimited import delimited_rows
from hub_tools.corpus.lines import lines, table_lines
from hub_tools.corpus.parquet import parquet_columns, parquet_rows

TABLES = (".tsv", ".csv", ".jsonl", ".parquet")
FORMATS = (".txt", *TABLES)
# Names of columns with text, in the order in which they are looked for.
TEXT_COLUMNS = ("text", "sentence", "content")
# The column that OPUS and WMT have on the Hub, of objects such as {"en": "Hi.", "tr": "Selam."}.
TRANSLATION = "translation"
# Characters of a list of names that a message shows.
_SHOWN = 200

Row = dict[str, Any]


class NoFileError(UserError):
    """Nothing that can be read has the name."""


def sample_file(name: str) -> Path:
    """Return the path of a file of the bundled sample."""
    return Path(str(resources.files("hub_tools") / "sample" / name))


def find_files(option: str, spec: str, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Return the files that an option names: one, all below a folder, or those that fit a pattern (`data/*.txt`).

    Raises:
        NoFileError: there is none.
        UserError: one has another format, or is a link out of the folder.
    """
    path, expected = user_path(spec), f"expected {', '.join(formats)}, plain or with .gz"
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if format_of(file) in formats and _is_shown(file, path))
        if outside := [file for file in files if _leads_out(file, path)]:
            raise UserError(
                f"{option} {spec}: {outside[0]} is a link to a file outside of the folder. Name that itself."
            )
    else:
        is_pattern = has_magic(spec) and not path.exists()
        found = sorted(glob(str(path), recursive=True)) if is_pattern else [path]  # noqa: PTH207 - may be absolute
        files = [file for file in map(Path, found) if file.is_file()]
    if not files:
        what = f"the folder holds no file to read; {expected}" if path.is_dir() else f"there is no file {path}"
        raise NoFileError(f"{option} {spec}: {what}.")
    for file in files:
        if format_of(file) not in formats:
            what = "has no columns. Write a .tsv: first their names, then a row a line, with a tab between two cells"
            what = what if format_of(file) == ".txt" else f"has an unknown format; {expected}"
            raise UserError(f"{option} {spec}: {file.name} {what}.")
    return files


def _is_shown(file: Path, folder: Path) -> bool:
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)


def _leads_out(file: Path, folder: Path) -> bool:
    """Return whether a file is a link out of a folder; in the Hub's cache files are links to its blobs."""
    home, target = folder.resolve(), file.resolve()
    return not (target.is_relative_to(home) or target.is_relative_to(home.parent.parent / "blobs"))


def format_of(path: Path) -> str:
    """Return the ending of a file's name, in small letters and without .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_texts(path: Path, lang: str) -> Iterator[str]:
    """Read a .txt file (one text a line) or a table's texts; a column `translation` of objects gives those in `lang`.

    Raises:
        UserError: the file is damaged, or has no such column, or a cell of it is no text.
    """
    if format_of(path) == ".txt":
        yield from (line.rstrip("\n") for line in lines(path))
        return
    names = column_names(path)
    column = text_column(names, lang) or (TRANSLATION if TRANSLATION in names else None)
    # A lone column of any name is taken, unless the name may be the first text.
    if names and (column is None or (column not in (*TEXT_COLUMNS, TRANSLATION, lang) and is_delimited(path))):
        raise UserError(
            f"{path} has the columns {list_names(names)}; expected one named {', '.join(TEXT_COLUMNS)} or {lang}. The "
            "first line has to name them; a file of texts alone, one a line, is a .txt."
        )
    for where, (cell,) in read_columns(path, [column] if column else []):
        yield text_of(cell, f"{where}: {column!r}", lang)


def text_column(columns: Iterable[str], lang: str = "") -> str | None:
    """Return the column with text: `text`, `sentence`, `content`, the language code or the only one, else None."""
    names = list(columns)
    known = (name for name in (*TEXT_COLUMNS, lang) if name in names)
    return next(known, names[0] if len(names) == 1 else None)


def text_of(cell: Any, where: str, lang: str = "") -> str:
    """Return a cell's text, of an object such as {"en": "Hi."} the one in a language; "" where there is none.

    Raises:
        UserError: it is no text; `where` names it.
    """
    if lang and isinstance(cell, dict):
        if lang not in cell:
            raise UserError(f"{where} holds {list_names(cell)}; expected {lang} among them.")
        where, cell = f"{where}, {lang!r}", cell[lang]
    if cell is None:
        return ""
    if not isinstance(cell, str):
        kind = {dict: "an object", list: "a list", bytes: "bytes", bool: "true or false"}.get(type(cell), "a number")
        raise UserError(
            f"{where} is {kind}, {ascii(cell)[:80]}; expected text. Write it as one text between quotation marks, or "
            "leave it empty (null)."
        )
    return cell


def list_names(names: Iterable[Any]) -> str:
    """Return names for a message, not all of many."""
    text = ", ".join(map(str, names))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def read_table(path: Path) -> Iterator[Row]:
    """Read all columns of a table, as `read_columns` does."""
    names = column_names(path)
    return (dict(zip(names, cells, strict=True)) for _, cells in read_columns(path, names))


def column_names(path: Path) -> list[str]:
    """Return the names of a table's columns, of .jsonl those of the first object; none of an empty file.

    Raises:
        UserError: the file is damaged, or is no .tsv, .csv, .jsonl or .parquet, plain or gzipped.
    """
    if format_of(path) == ".parquet":
        return parquet_columns(path)
    if format_of(path) == ".jsonl":
        return list(next((row for _, row in _json_rows(path)), {}))
    if is_delimited(path):
        return [name.strip() for name in next((row for _, row in delimited_rows(path)), [])]
    raise UserError(f"{path} is no table; expected {', '.join(TABLES)}, plain or with .gz.")


def read_columns(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the place of each row of a table, for messages, and its cells in some of its columns; None where it ends.

    Raises:
        UserError: as of `column_names`.
    """
    if not columns:
        return
    if format_of(path) == ".parquet":
        yield from parquet_rows(path, columns)
    elif format_of(path) == ".jsonl":
        yield from ((where, tuple(row.get(column) for column in columns)) for where, row in _json_rows(path))
    else:
        rows = delimited_rows(path)
        names = [name.strip() for name in next(rows)[1]]
        numbers = [names.index(column) for column in columns]
        for where, row in rows:
            yield where, tuple(row[number] if number < len(row) else None for number in numbers)


def is_delimited(path: Path) -> bool:
    """Return whether a file is a table whose first line names its columns."""
    return format_of(path) in (".tsv", ".csv")


def _json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(table_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits, lists in lists in lists
            raise UserError(f"{where}: not valid JSON ({error}). Expected one object a line.") from error
        if not isinstance(row, dict):
            raise UserError(f'{where}: expected a JSON object such as {{"text": "..."}}.')
        yield where, row
