"""Arrays that are larger than memory should have to be."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

T = TypeVar("T", bound=np.generic)


class OnDisk(Generic[T]):
    """Numbers, or rows of them, in a file that has no name and is gone when the process ends, however it ends.

    It is read by slices or by the numbers of rows, as an array is, and not mapped into memory: pages that were read
    once would count as the memory of the process.
    """

    def __init__(self, folder: Path | None, dtype: DTypeLike, width: tuple[int, ...] = ()) -> None:
        """Begin an empty array, in a folder or where temporary files are; `width` is the shape of a row."""
        self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - it is open as long as the array lives
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._row_bytes = self.dtype.itemsize * int(np.prod(width))
        self.shape: tuple[int, ...] = (0, *width)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def append(self, rows: NDArray[T]) -> None:
        """Add rows at the end."""
        self._file.seek(len(self) * self._row_bytes)
        left = np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data
        while left:
            left = left[self._file.write(left) :]
        self.shape = (len(self) + len(rows), *self.shape[1:])

    def __getitem__(self, key: slice | NDArray[np.int64]) -> NDArray[T]:
        """Read the rows of a slice without steps, or those with these numbers, in their order; none can be changed."""
        if isinstance(key, slice):
            start, end, _ = key.indices(len(self))
            count = max(0, end - start)
            found = self._read(start, count)
        else:
            count = len(key)
            found = b"".join([self._read(number, 1) for number in key.tolist()])
        return np.frombuffer(found, self.dtype).reshape(count, *self.shape[1:])

    def _read(self, start: int, count: int) -> bytes:
        size = count * self._row_bytes
        self._file.seek(start * self._row_bytes)
        found = self._file.read(size)
        while len(found) < size:  # of more than two gigabytes a part comes
            more = self._file.read(size - len(found))
            if not more:
                raise IndexError(f"row {start} and those after it are not among {len(self)}")
            found += more
        return found
