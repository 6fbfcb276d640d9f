"""Reading columns of text from a parquet file in little memory, whatever is in it.

A page is the least that can be read of a parquet file, and no list says how large the pages are: a file of a few
megabytes may hold one that unpacks to gigabytes. So the headers of all pages are looked at first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hub_tools.core.errors import UserError

# Bytes of a page, and of what a file says of itself at its end.
_LARGEST_PAGE, _LARGEST_FOOTER = 2**27, 2**24
# Bytes of cells that become Python's objects at once, and rows at most.
_BATCH, _MOST_ROWS = 2**25, 1024
# Bytes to read where the header of a page begins: usually enough, and at most.
_HEADER, _LONGEST_HEADER = 2**8, 2**20


def parquet_columns(path: Path) -> list[str]:
    """Return the names of the columns; a UserError says that the file is damaged."""
    with _open(path) as file:
        return list(file.schema_arrow.names)


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the place of each row, for messages, and its cells in these columns.

    Raises:
        UserError: the file is damaged, a column holds neither text nor numbers, or a page is too large to be read.
    """
    number = 0
    with _open(path) as file:
        for column in columns:
            _check_column(path, file.schema_arrow, column)
        for group in range(file.num_row_groups):
            # A cell is no larger than a page; of one that stands in a dictionary there may be any number.
            size = max(1, _largest_page(path, file.metadata.row_group(group), columns))
            rows = min(_MOST_ROWS, max(1, _BATCH // size))
            # Group by group: over a whole file, iter_batches reads ever more groups ahead and keeps them.
            for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=list(columns)):
                for cells in zip(*(batch.column(column).to_pylist() for column in columns), strict=True):
                    number += 1
                    yield f"{path}, row {number}", cells


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _check_footer(path)
        # So a column of a group is read page by page; otherwise whole.
        with pq.ParquetFile(path, buffer_size=2**16, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        # What the file holds is cut off: damaged bytes are quoted by some messages.
        first = ascii(str(error).partition("\n")[0][:200])[1:-1]
        raise UserError(f"{path} is no readable parquet file: {first}") from error


def _check_footer(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8))
        size = int.from_bytes(file.read(4), "little")
    if size > _LARGEST_FOOTER:
        raise ValueError(f"its description of itself takes {size:,} bytes")


def _check_column(path: Path, schema: Any, column: str) -> None:
    import pyarrow.types as kinds

    if schema.get_field_index(column) < 0:
        raise UserError(f"{path} has more than one column {column!r}. Leave one.")
    kind = schema.field(column).type
    # Objects such as {"en": "...", "tr": "..."}; anything else may be of any size.
    parts = [field.type for field in kind] if kinds.is_struct(kind) else [kind]
    parts = [part.value_type if kinds.is_dictionary(part) else part for part in parts]
    if any(kinds.is_nested(part) or kinds.is_binary(part) or kinds.is_temporal(part) for part in parts):
        raise UserError(f"{path}: column {column!r} holds {kind}; expected texts. Store each text as one string.")


def _largest_page(path: Path, group: Any, columns: Sequence[str]) -> int:
    """Return the bytes of the largest page of columns in a group of rows, unpacked."""
    largest = 0
    chunks = (group.column(number) for number in range(group.num_columns))
    with path.open("rb") as file:
        for chunk in chunks:
            name = chunk.path_in_schema
            if not any(name == column or name.startswith(f"{column}.") for column in columns):
                continue
            start = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)), default=0)
            largest = max(largest, *_page_sizes(file, start, start + chunk.total_compressed_size), 0)
            if largest > _LARGEST_PAGE:
                raise UserError(
                    f"{path}: {largest:,} bytes of column {name!r} can only be read at once; expected at most "
                    f"{_LARGEST_PAGE:,}. Write the file again with shorter texts, or with smaller pages "
                    "(of pyarrow: use_dictionary=False, write_batch_size=16)."
                )
    return largest


def _page_sizes(file: BinaryIO, start: int, end: int) -> Iterator[int]:
    """Yield the unpacked bytes of each page between two places of a file."""
    while start < end:
        length, unpacked, packed = _read_header(file, start)
        yield unpacked
        start += length + packed


def _read_header(file: BinaryIO, start: int) -> tuple[int, int, int]:
    size = _HEADER
    while True:
        file.seek(start)
        data = file.read(size)
        header = _Header(data)
        try:
            header.read()
            unpacked, packed = header.numbers[_UNPACKED], header.numbers[_PACKED]
        except (IndexError, KeyError, RecursionError) as error:
            if len(data) < size or size >= _LONGEST_HEADER:
                raise ValueError("the header of a page is damaged") from error
            size *= 16
            continue
        if min(unpacked, packed) < 0:
            raise ValueError("a page has a negative size")
        return header.at, unpacked, packed


# Fields of a page's header in parquet.thrift, and types of Thrift's compact protocol.
_UNPACKED, _PACKED = 2, 3
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, 12


class _Header:
    """The header of a page: whole numbers that stand in it itself, and where it ends.

    Raises:
        IndexError: the bytes end before it does.
        ValueError: it is none.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.numbers = data, 0, dict[int, int]()

    def read(self) -> None:
        """Read the fields of the header."""
        field = 0
        while (head := self._byte()) != 0:
            field = field + (head >> 4) if head >> 4 else self._number()
            kind = head & 15
            if kind in _INTEGERS:
                self.numbers[field] = self._number()
            else:
                self._skip(kind)

    def _skip(self, kind: int) -> None:
        if kind in _INTEGERS:
            self._varint()
        elif kind in (_BYTE, _DOUBLE):
            self.at += 1 if kind == _BYTE else 8
        elif kind == _BINARY:
            length = self._varint()
            self.at += length
        elif kind == _STRUCT:
            while (head := self._byte()) != 0:
                if not head >> 4:
                    self._varint()
                self._skip(head & 15)
        elif kind not in (_TRUE, _FALSE):
            raise ValueError("the header of a page is damaged")

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte <= 127:  # noqa: PLR2004
                return value
        raise ValueError("the header of a page is damaged")

    def _number(self) -> int:
        value = self._varint()  # zigzag: the sign is the last bit
        return (value >> 1) ^ -(value & 1)
