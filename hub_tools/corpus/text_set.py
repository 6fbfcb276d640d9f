"""A set of texts that holds hashes of them."""

from __future__ import annotations

import hashlib
from array import array

_SLOTS = 1 << 10


def hash_text(text: str) -> int:
    """Return 64 bits that depend on a text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


class TextSet:
    """A set of texts, 16 to 32 bytes each; a `set` of their hashes takes a hundred.

    Hashes of 64 bits stand for the texts: of ten million, two have the same hash with a probability of 3e-6. They lie
    in a table with open addressing and linear probing, which doubles when it is half full; 0 is an empty slot.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _SLOTS))
        self._count = 0

    def __contains__(self, text: str) -> bool:
        return bool(self._slots[self._find(_mark(text))])

    def add(self, text: str) -> None:
        """Add a text; one that the set holds changes nothing."""
        mark = _mark(text)
        slot = self._find(mark)
        if self._slots[slot]:
            return
        self._slots[slot] = mark
        self._count += 1
        if 2 * self._count > len(self._slots):
            self._grow()

    def _find(self, mark: int) -> int:
        """Return the slot that holds a hash, or the empty one where it would go."""
        last = len(self._slots) - 1
        slot = mark & last
        while self._slots[slot] not in (0, mark):
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", bytes(16 * len(old)))
        for mark in filter(None, old):
            self._slots[self._find(mark)] = mark


def _mark(text: str) -> int:
    return hash_text(text) or 1
