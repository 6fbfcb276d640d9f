"""Rows of .csv and .tsv files: which character stands between the cells, and what quotation marks mean."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.logging import log
from hub_tools.corpus.lines import LONGEST_LINE, table_lines, too_long

# What may stand between the cells of a .csv; spreadsheets of many countries write semicolons.
_SEPARATORS = ",;\t"
_MOST_COLUMNS = 100_000


def delimited_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the place of each row, for messages, and its cells; the first are the names of the columns.

    A .csv is quoted. A .tsv is, if it reads as one throughout and could not have been written otherwise: most say that
    a quotation mark in them is a character like any other.

    Raises:
        UserError: the file is damaged, or a row has more cells than there are columns.
    """
    columns: int | None = None
    for number, row in _parse(path, **_style(path)):
        columns = columns or len(row)
        if columns > _MOST_COLUMNS:
            raise UserError(f"{path} has {columns:,} columns. Expected a table of text, or a .txt.")
        if any(row[columns:]):
            raise UserError(
                f"{path}, line {number}: {len(row)} cells, but {columns} columns in the first line. Put cells that "
                "hold the separator between quotation marks, or write a .jsonl."
            )
        if row:
            yield f"{path}, line {number}", row[:columns]


def _style(path: Path) -> dict[str, Any]:
    """Return how to read a file, as options of the csv module."""
    state = path.stat()
    return _find_style(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _find_style(path: Path, *_state: int) -> dict[str, Any]:
    header = next((line for line in table_lines(path) if line.strip()), "")
    if not path.name.lower().removesuffix(".gz").endswith(".tsv"):
        outside = re.sub(r'"[^"]*"', "", header)
        separator = max(_SEPARATORS, key=outside.count)
        if separator != ",":
            log.debug("  %s: cells are separated by %s", path, "tabs" if separator == "\t" else separator)
        return {"delimiter": separator, "strict": True}
    quoted = _is_quoted(path, header)
    if quoted is None:
        return {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    log.debug("  %s: quotation marks %s", path, "enclose cells, as pandas writes them" if quoted else "are text")
    return {"delimiter": "\t", "strict": True} if quoted else {"delimiter": "\t", "quoting": csv.QUOTE_NONE}


def _is_quoted(path: Path, header: str) -> bool | None:
    """Return whether quotation marks enclose cells of a .tsv; None where there are none.

    They do if all rows that hold any read so, with as many cells as there are columns, and some of these marks are
    needed: by a tab, a line break or another mark in the cell, or the names of the columns are enclosed too. A cell
    such as `"Merhaba."` alone proves nothing; it is text, marks and all.
    """
    columns = header.count("\t") + 1
    verdict: bool | None = None
    source = table_lines(path)
    for line in source:
        if '"' not in line:
            continue
        verdict = verdict or False
        rows = _Rows(path, source, line)
        try:
            row = next(rows.reader({"delimiter": "\t", "strict": True}))
        except (csv.Error, UserError):
            return False
        needed = sum(2 + 2 * cell.count('"') for cell in row if any(mark in cell for mark in '"\t\n\r'))
        # Each cell may be enclosed without need too, by two marks more.
        if len(row) != columns or rows.marks < needed or (rows.marks - needed) % 2:
            return False
        verdict = verdict or bool(needed) or line == header
    return verdict


def _parse(path: Path, **style: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each row's first line, and its cells."""
    rows = _Rows(path, table_lines(path))
    reader = rows.reader(style)
    while True:
        number, rows.size = rows.number + 1, 0
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{path}, line {number}: {error}. Expected cells that hold quotation marks between quotation marks, "
                'with each of them doubled: "He said ""Hi""."'
            ) from error
        if row is None:
            return
        yield number, row


class _Rows:
    """The lines that the csv module reads; counted, and refused where a row does not end."""

    def __init__(self, path: Path, source: Iterable[str], first: str = "") -> None:
        self.path, self.source, self.first = path, iter(source), first
        self.number = self.size = self.marks = 0  # lines read; characters of this row; quotation marks

    def reader(self, style: dict[str, Any]) -> Iterator[list[str]]:
        csv.field_size_limit(max(LONGEST_LINE, csv.field_size_limit()))  # 131,072 characters otherwise
        return csv.reader(self, **style)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line, self.first = self.first or next(self.source), ""
        self.number += 1
        self.size += len(line)
        self.marks += line.count('"')
        if self.size > LONGEST_LINE:
            raise too_long(f"{self.path}, line {self.number}")
        return line
