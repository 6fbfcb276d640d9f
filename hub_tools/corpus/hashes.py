"""A set of hashes that takes a fifth of the memory of Python's."""

from __future__ import annotations

from array import array

# Slots at most, half a gigabyte.
_MOST = 2**26


class HashSet:
    """64-bit hashes, each in the first free slot of a table from the one that its lower bits name; 0 marks a free slot.

    A million takes 11 to 22 MB. What `hash_text` returns is spread evenly, so few look for long. After 50 million no
    more are noted, and later ones always seem new.
    """

    def __init__(self) -> None:
        self._slots, self._count = array("Q", bytes(8 * 2**10)), 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, value: int) -> bool:
        return self._slots[self._find(value or 1)] != 0

    def add(self, value: int) -> bool:
        """Add a hash; return whether it is new."""
        place = self._find(value or 1)
        if self._slots[place]:
            return False
        if 4 * self._count >= 3 * len(self._slots):
            if len(self._slots) >= _MOST:
                return True
            self._grow()
            place = self._find(value or 1)
        self._slots[place] = value or 1
        self._count += 1
        return True

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
