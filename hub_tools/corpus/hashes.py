"""A set of hashes that takes little memory, however many there are."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
# Slots in memory at most, 2 MB.
_MOST = 2**18
# Hashes of a run that are read to find one, and to merge it.
_BLOCK, _PART = 2**9, 2**16


class HashSet:
    """64-bit hashes, each in the first free slot of a table from the one that its lower bits name; 0 marks a free slot.

    What `hash_text` returns is spread evenly, so few look for long. A full table is written to the disk as a sorted
    run, and a run is merged with the one before it unless that is more than twice as long: of n hashes there are about
    log2(n / 200,000) runs, of 8 bytes a hash. In memory stay the table and 8 bytes for each 512 hashes on the disk.
    The files have no name, so they are gone with the process.

    Args:
        folder: where the runs go; by default where temporary files are.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._slots, self._count = array("Q", bytes(8 * 2**10)), 0
        self._runs: list[_Run] = []

    def __contains__(self, value: int) -> bool:
        value = value or 1
        return self._slots[self._find(value)] != 0 or any(value in run for run in self._runs)

    def add(self, value: int) -> None:
        """Add a hash; one that is on the disk already may stand there twice."""
        if self._slots[self._find(value or 1)]:
            return
        if 4 * self._count >= 3 * len(self._slots):
            if len(self._slots) < _MOST:
                self._grow()
            else:
                self._write()
        self._slots[self._find(value or 1)] = value or 1
        self._count += 1

    def _find(self, value: int) -> int:
        slots = self._slots
        mask = len(slots) - 1
        place = value & mask
        while slots[place] not in (0, value):
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        old, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        for value in old:
            if value:
                self._slots[self._find(value)] = value

    def _write(self) -> None:
        table = np.frombuffer(self._slots, np.uint64)
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._runs.append(_Run([np.sort(table[table != 0])], self._folder))
        while len(self._runs) > 1 and self._runs[-2].count <= 2 * self._runs[-1].count:
            new, old = self._runs.pop(), self._runs.pop()
            self._runs.append(_Run(_merge(old, new), self._folder))
        self._slots, self._count = array("Q", bytes(8 * len(self._slots))), 0


class _Run:
    """Sorted hashes in a file, of which the first of each block is held."""

    def __init__(self, parts: Iterable[Hashes], folder: Path | None) -> None:
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this
        self._firsts, self.count = array("Q"), 0
        for part in parts:
            self._file.write(part.tobytes())
            self._firsts.frombytes(part[-self.count % _BLOCK :: _BLOCK].tobytes())
            self.count += len(part)
        self._file.flush()

    def __contains__(self, value: int) -> bool:
        block = self._read(bisect_right(self._firsts, value) - 1, _BLOCK) if value >= self._firsts[0] else b""
        hashes = memoryview(block).cast("Q")
        place = bisect_left(hashes, value)
        return place < len(hashes) and hashes[place] == value

    def parts(self) -> Iterator[Hashes]:
        """Yield all hashes in their order."""
        for number in range(-(-self.count // _PART)):
            yield np.frombuffer(self._read(number, _PART), np.uint64)

    def _read(self, number: int, size: int) -> bytes:
        file = self._file.raw  # a buffer would only be filled anew for each
        file.seek(8 * number * size)
        found: bytes = file.read(8 * size)
        return found


def _merge(first: _Run, second: _Run) -> Iterator[Hashes]:
    """Yield the hashes of two runs in their order."""
    parts, left = second.parts(), np.empty(0, np.uint64)
    for part in first.parts():
        while (not len(left) or left[-1] < part[-1]) and (more := next(parts, None)) is not None:
            left = np.concatenate([left, more])
        end = np.searchsorted(left, part[-1])
        yield np.sort(np.concatenate([part, left[:end]]))
        left = left[end:]
    yield left
    yield from parts
