"""Documents to search: the Space's own, or a visitor's: pasted, from a file, or from a dataset on the Hub."""

from __future__ import annotations

import csv
import io
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hub_tools.core.files import digest
from hub_tools.corpus.readers import TEXT_COLUMNS, text_column
from hub_tools.space.limits import CORPUS, UPLOAD, RefusedError, limit_texts
from hub_tools.space.sandbox import check_id, run_sandboxed

FILE_TYPES = (".txt", ".csv", ".pdf")
_CELL = 131_072  # characters; Python's own limit, which other libraries raise for all


@dataclass(frozen=True)
class Documents:
    """Documents that can be searched."""

    texts: tuple[str, ...]  # none empty
    keep: bool = False  # their vectors stay in memory as long as the page; a visitor's make room for others
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
        raise RefusedError("error_large", bytes=f"{UPLOAD:,}")
    if ending == ".pdf":
        paragraphs: list[str] = run_sandboxed("pdf", file=str(file))
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
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=None), dialect) if row]
    except csv.Error as error:
        raise RefusedError("error_csv") from error
    if any(len(cell) > _CELL for row in rows for cell in row):
        raise RefusedError("error_csv")
    names = [name.strip().lower() for name in rows[0]] if rows else []
    if (name := text_column(names)) in TEXT_COLUMNS:  # a single column may have any name, or none
        column, rows = names.index(name), rows[1:]
    else:
        letters = {place: sum(len(row[place]) for row in rows if len(row) > place) for place in range(len(names))}
        column = max(letters, key=letters.__getitem__, default=0)
    return [row[column] for row in rows if len(row) > column]
