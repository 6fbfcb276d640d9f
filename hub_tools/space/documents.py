"""A visitor's own documents: pasted, from a file, or from a dataset on the Hub."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hub_tools.space.limits import CORPUS, DOCUMENT, DOCUMENTS, UPLOAD, RefusedError
from hub_tools.space.sandbox import ask, check_id

FILE_TYPES = (".txt", ".csv", ".pdf")
_CELL = 131_072  # characters; Python's own limit, which other libraries raise for all
_TEXT_COLUMNS = ("text", "sentence", "content", "document", "passage")


def bounded(texts: list[str]) -> list[str]:
    """Texts within the limits: folded white space, none empty, none twice, at most so many, each cut to its length.

    Raises:
        RefusedError: nothing is left.
    """
    found: dict[str, None] = {}
    total = 0
    for text in texts:
        # Only what can be kept is folded: a pasted giant costs no more than its first part.
        short = " ".join(text[: 2 * DOCUMENT].split())[:DOCUMENT].encode("utf-8", "replace").decode("utf-8")
        total += len(short)
        if total > CORPUS or len(found) >= DOCUMENTS:
            break
        if short:
            found[short] = None
    if not found:
        raise RefusedError("error_empty")
    return list(found)


def pasted(text: str) -> list[str]:
    """One document a line, or a paragraph where empty lines stand between them."""
    if len(text) > 2 * CORPUS:
        raise RefusedError("error_long", characters=f"{len(text):,}", longest=f"{2 * CORPUS:,}")
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    return bounded(normal.split("\n\n" if "\n\n" in normal.strip() else "\n"))


def uploaded(file: Path) -> list[str]:
    """The documents of an uploaded file: .txt, .csv or .pdf; nothing is unpacked.

    Raises:
        RefusedError: another kind, too large, or nothing readable in it.
    """
    kind = file.suffix.lower()
    if kind not in FILE_TYPES:
        raise RefusedError("error_kind", kinds=", ".join(FILE_TYPES))
    if file.stat().st_size > UPLOAD:
        raise RefusedError("error_large", bytes=f"{UPLOAD:,}")
    if kind == ".pdf":
        return bounded(ask("pdf", file=str(file)))
    text = decode(file.read_bytes())
    return bounded(_cells(text)) if kind == ".csv" else pasted(text)


def from_hub(repo: str, config: str = "", split: str = "", column: str = "") -> list[str]:
    """The first texts of a public dataset on the Hub.

    Raises:
        RefusedError: no such id, nothing public there, or it holds no text.
    """
    found = ask("dataset", repo=check_id(repo), config=config[:200], split=split[:200], column=column[:200])
    return bounded([str(text) for text in found])


def decode(content: bytes) -> str:
    """Text in UTF-8, in UTF-16 with its mark, or in Windows' Turkish and Western alphabet.

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


def _cells(text: str) -> list[str]:
    """The column that holds text: one with a known name, else the one with the most letters."""
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    try:
        rows = [row for row in csv.reader(io.StringIO(text), dialect) if row]
    except csv.Error as error:
        raise RefusedError("error_csv") from error
    if any(len(cell) > _CELL for row in rows for cell in row):
        raise RefusedError("error_csv")
    if not rows:
        return []
    names = [name.strip().lower() for name in rows[0]]
    for name in _TEXT_COLUMNS:
        if name in names:
            place = names.index(name)
            return [row[place] for row in rows[1:] if len(row) > place]
    widths = [sum(len(row[i]) for row in rows if len(row) > i) for i in range(len(names))]
    place = widths.index(max(widths))
    return [row[place] for row in rows if len(row) > place]
