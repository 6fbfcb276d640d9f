"""The lines of a text file, plain or gzipped, in little memory, whatever is in it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from hub_tools.core.errors import UserError

# Characters of a line that are held at once; a row of a table may not be longer.
LONGEST_LINE = 2**23
# Spreadsheets put a byte order mark before the first column's name.
_ENCODING = "utf-8-sig"
# How files begin that are often given by mistake, and what they are.
_BEGINNINGS = {
    b"\x1f\x8b": "a gzip file: its name must end in .gz",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"BZh": "a bzip2 file: unpack it",
    b"\xfd7zXZ": "an xz file: unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd file: unpack it",
    b"PAR1": "a parquet file: its name must end in .parquet",
    b"%PDF": "a PDF: write its text to a .txt file",
    b"\xff\xfe": "UTF-16: write it again as UTF-8, e.g. by iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16: write it again as UTF-8, e.g. by iconv -f UTF-16 -t UTF-8",
}


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file with their ends; one longer than LONGEST_LINE comes in pieces of that length.

    Raises:
        UserError: the file is no UTF-8 text, is damaged, or is no file.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no regular file. Expected a file of text.")
    number = 0
    try:
        with (
            gzip.open(path, "rt", encoding=_ENCODING) if path.suffix == ".gz" else path.open(encoding=_ENCODING) as file
        ):
            while line := file.readline(LONGEST_LINE):
                if "\0" in line:
                    raise UserError(f"{path} is no text file (it holds zero bytes).{_hint(path)} Expected UTF-8 text.")
                number += 1
                yield line
    except UnicodeDecodeError as error:
        # Text is decoded some lines ahead.
        raise UserError(
            f"{path} is no UTF-8 text: {error.reason}, after line {number}.{_hint(path)} Convert it first."
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path} is no complete gzip file: {error}.{_hint(path)} Expected gzipped UTF-8 text."
        ) from error
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error


def table_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a table as `lines` does; one that does not come whole is a UserError too."""
    for number, line in enumerate(lines(path), 1):
        if len(line) >= LONGEST_LINE:
            raise too_long(f"{path}, line {number}")
        yield line


def too_long(where: str) -> UserError:
    """Return the error for a row of a table that is longer than LONGEST_LINE."""
    return UserError(
        f"{where}: a row of more than {LONGEST_LINE:,} characters. Expected one text a row; is a "
        "quotation mark missing, or the file no table?"
    )


def _hint(path: Path) -> str:
    with path.open("rb") as file:
        beginning = file.read(8)
    names = (name for start, name in _BEGINNINGS.items() if beginning.startswith(start))
    name = next(names, None)
    return f" It looks like {name}." if name and not (path.suffix == ".gz" and "gzip" in name) else ""
