"""How large the pages of a parquet file are, by what it says of itself.

A page is the least that can be read of a parquet file, and no list says how large the pages are: a file of a few
megabytes may hold one that unpacks to gigabytes. So the headers of all pages are looked at before anything is read.
pyarrow shows none of them, and ends the process over some damaged descriptions of columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

# Bytes of what a file says of itself at its end.
_LARGEST_FOOTER = 2**24
# Bytes to read where the header of a page begins: usually enough, and at most.
_HEADER, _LONGEST_HEADER = 2**8, 2**20
# Fields of parquet.thrift: of the file its row groups, of these the columns, of these the description, and of that the
# name, the bytes, and where the data and the dictionary begin; of a page its bytes, unpacked and packed.
_GROUPS, _COLUMNS, _ABOUT = 4, 1, 3
_NAME, _BYTES, _DATA, _DICTIONARY = 3, 7, 9, 11
_FOOTER_FIELDS = {_GROUPS: {_COLUMNS: {_ABOUT: dict.fromkeys((_NAME, _BYTES, _DATA, _DICTIONARY), None)}}}
_UNPACKED, _PACKED = 2, 3


def largest_pages(path: Path, columns: Sequence[str]) -> list[int]:
    """Return the bytes of the largest page of some columns, unpacked, in each group of rows.

    Raises:
        ValueError: the file is damaged.
    """
    with path.open("rb") as file:
        try:
            groups = _read_footer(file).get(_GROUPS, [])
            return [max((0, *_page_sizes(file, group, columns))) for group in groups]
        except (IndexError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ValueError("what it says of its columns and pages is damaged") from error


def _read_footer(file: BinaryIO) -> dict[int, Any]:
    end = file.seek(0, 2)
    file.seek(max(0, end - 8))
    size = int.from_bytes(file.read(4), "little")
    if file.read(4) != b"PAR1":
        raise ValueError("it does not end as one")
    if size > min(end - 8, _LARGEST_FOOTER):
        raise ValueError(f"what it says of itself takes {size:,} bytes")
    file.seek(end - 8 - size)
    return _Thrift(file.read(size)).struct(_FOOTER_FIELDS)


def _page_sizes(file: BinaryIO, group: dict[int, Any], columns: Sequence[str]) -> Iterator[int]:
    """Yield the unpacked bytes of each page of some columns, those of their parts too."""
    for chunk in group[_COLUMNS]:
        about = chunk[_ABOUT]
        if about[_NAME][0].decode() not in columns:
            continue
        start, dictionary = about[_DATA], about.get(_DICTIONARY, 0)
        start = dictionary if 0 < dictionary < start else start
        end = start + about[_BYTES]
        while start < end:
            length, unpacked, packed = _read_header(file, start)
            yield unpacked
            start += length + packed


def _read_header(file: BinaryIO, start: int) -> tuple[int, int, int]:
    """Return the bytes of a page's header, and of the page unpacked and packed."""
    size = _HEADER
    while True:
        file.seek(start)
        thrift = _Thrift(file.read(size))
        try:
            sizes = thrift.struct(dict.fromkeys((_UNPACKED, _PACKED), None))
        except IndexError:  # statistics may be long
            if len(thrift.data) < size or size >= _LONGEST_HEADER:
                raise
            size *= 16
            continue
        if min(sizes[_UNPACKED], sizes[_PACKED]) < 0:
            raise ValueError("a page has a negative size")
        return thrift.at, sizes[_UNPACKED], sizes[_PACKED]


# Types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12
_LONG = 15  # items of a list, from which on their number stands behind it
_SKIPPED: dict[int, Any] = {}


class _Thrift:
    """Bytes in Thrift's compact protocol.

    Raises:
        IndexError: they end too early.
        KeyError: they are none.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self, wanted: dict[int, Any]) -> dict[int, Any]:
        """Read an object: of its fields those that are wanted, with what is wanted of them in turn."""
        found, field = {}, 0
        while head := self._take(1)[0]:
            field = field + (head >> 4) if head >> 4 else self._number()
            value = self._value(head & 15, wanted.get(field, _SKIPPED))
            if field in wanted:
                found[field] = value
        return found

    def _value(self, kind: int, wanted: Any) -> Any:
        if kind in _INTEGERS:
            return self._number()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.struct(wanted)
        if kind in _LISTS:
            head = self._take(1)[0]
            count = head >> 4 if head >> 4 < _LONG else self._varint()
            items = (self._item(head & 15, wanted) for _ in range(count))
            return [item for item in items if wanted is not _SKIPPED]
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        return self._take({_BYTE: 1, _DOUBLE: 8}[kind])

    def _item(self, kind: int, wanted: Any) -> Any:
        return self._take(1) if kind in (_TRUE, _FALSE) else self._value(kind, wanted)

    def _take(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if self.at > len(self.data):
            raise IndexError(self.at)
        return self.data[start : self.at]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            if not byte & 128:
                return value
        raise KeyError(value)

    def _number(self) -> int:
        value = self._varint()  # zigzag: the sign is the last bit
        return (value >> 1) ^ -(value & 1)
