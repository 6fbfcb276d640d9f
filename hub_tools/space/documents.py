"""Documents to search: the Space's own, or a visitor's: pasted, from a file, or from a dataset on the Hub."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hub_tools.core.files import digest
from hub_tools.corpus.readers import TEXT_COLUMNS, text_column
from hub_tools.space.limits import CORPUS, UPLOAD, RefusedError, limit_texts
from hub_tools.space.sandbox import check_id, run_sandboxed

FILE_TYPES = (".txt", ".csv", ".pdf")
_CELL = 131_072  # characters; Python's own limit, which other libraries raise for all
_COLUMNS = 1_000
_CELLS = 200_000
_WORDS = 3  # of a column's name
_LONGER = 3  # times, than its name a column of texts is


@dataclass(frozen=True)
class Documents:
    """Documents that can be searched."""

    texts: tuple[str, ...]  # none empty
    keep: bool = False  # their vectors stay in memory as long as the page; a visitor's make room for others
    # Of a bundled corpus, where it is known: what language each text is in, what it says in English, and what it is
    # about, by the language of the page.
    languages: tuple[str, ...] = ()
    english: tuple[str, ...] = ()
    topics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Held while they are encoded.
    encoding: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @cached_property
    def key(self) -> str:
        """A hash of the texts."""
        return digest(self.texts)


def from_paste(text: str) -> list[str]:
    """Split pasted text: one document a line, or a paragraph where empty lines stand between them."""
    if len(text) > 2 * CORPUS:
        raise RefusedError("error_long", characters=f"{len(text):,}", longest=f"{2 * CORPUS:,}")
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    return limit_texts(normal.split("\n\n" if "\n\n" in normal.strip() else "\n"))


def from_file(file: Path) -> list[str]:
    """Return the documents of an uploaded file: .txt, .csv or .pdf; nothing is unpacked.

    Raises:
        RefusedError: another kind, too large, or nothing readable in it.
    """
    ending = file.suffix.lower()
    if ending not in FILE_TYPES:
        raise RefusedError("error_kind", kinds=", ".join(FILE_TYPES))
    if file.stat().st_size > UPLOAD:
        raise RefusedError("error_large", megabytes=UPLOAD // 2**20)
    if ending == ".pdf":
        paragraphs: list[str] = run_sandboxed("pdf", file=str(file.absolute()))
        return paragraphs
    text = decode(file.read_bytes())
    return limit_texts(_text_cells(text)) if ending == ".csv" else from_paste(text)


def from_hub(repo: str, config: str = "", split: str = "", column: str = "") -> list[str]:
    """Return the first texts of a public dataset on the Hub.

    Raises:
        RefusedError: no such id, nothing public there, or it holds no text.
    """
    arguments = {"repo": check_id(repo), "config": config[:200], "split": split[:200], "column": column[:200]}
    texts: list[str] = run_sandboxed("dataset", **arguments)
    return texts


def decode(content: bytes) -> str:
    """Return text in UTF-8, in UTF-16 with its mark, or in Windows' Turkish and Western alphabet.

    Raises:
        RefusedError: it holds zero bytes, so it is no text.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    if b"\0" in content:
        raise RefusedError("error_binary")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1254", "replace")


def _text_cells(text: str) -> list[str]:
    """Return the column that holds text: one with a known name, else the one with the most letters."""
    rows = _read_rows(text)
    names = [name.strip().lower() for name in rows[0]] if rows else []
    if (name := text_column(names)) in TEXT_COLUMNS:  # a single column may have any name, or none
        column, rows = names.index(name), rows[1:]
    else:
        letters = [0] * len(names)
        for row in rows:
            for place, cell in enumerate(row[: len(names)]):
                letters[place] += len(cell)
        column = max(range(len(names)), key=letters.__getitem__, default=0)
        rows = rows[1:] if _is_head(rows, column) else rows
    return [row[column] for row in rows if len(row) > column]


def _is_head(rows: list[list[str]], column: int) -> bool:
    """Return whether the first of some rows names columns: `id,title,body` over numbers or over much longer texts."""
    head, *rest = rows or [[]]
    is_names = all(cell.strip() and len(cell.split()) <= _WORDS and not _is_number(cell) for cell in head)
    if len(head) == 1 or not rest or not is_names:
        return False
    whole = [row for row in rest if len(row) == len(head)]
    has_numbers = any(all(_is_number(row[place]) for row in whole) for place in range(len(head)))
    longest = sum(len(row[column]) for row in whole) / max(len(whole), 1)
    return bool(whole) and (has_numbers or longest > _LONGER * len(head[column]))


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"\s*[-+]?[\d.,]+\s*", cell))


def _read_rows(text: str) -> list[list[str]]:
    """Return the rows that are not empty, the first `_CELLS` cells of them."""
    # Counted here: csv.Sniffer may take seconds for a few thousand characters.
    head = re.sub('"[^"]*"', "", text[:4096].lstrip().partition("\n")[0])
    rows: list[list[str]] = []
    cells = 0
    try:
        for row in csv.reader(io.StringIO(text, newline=None), delimiter=max(",;\t|", key=head.count)):
            if len(row) > _COLUMNS:
                raise RefusedError("error_columns", columns=f"{len(row):,}", most=f"{_COLUMNS:,}")
            if any(len(cell) > _CELL for cell in row):
                raise RefusedError("error_csv")
            cells += len(row)
            if cells > _CELLS:
                break
            if row:
                rows.append(row)
    except csv.Error as error:
        raise RefusedError("error_csv") from error
    return rows
