"""What happens to files: seeded kinds of damage, to bytes, to text and to what JSON says."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 10**18, 1e308, float("nan"), "", "x", "../../../etc/passwd", [], {}, [1, "a"]),
    *({"x": None}, "\ud800", "a" * 100_000, "9" * 5000),
)
_DEEPER = 0.9  # how often damage goes to what a list or object holds rather than to itself
_OTHER_FORMATS = (b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"PAR1PAR1", b"%PDF-1.7\n", b"\x80\x04}.", b"<html>404</html>\n")


def damage(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Return the name of a kind of damage, and the content so damaged."""
    kind = rng.choice([*_TO_BYTES, *_TO_VALUES])
    if kind in _TO_VALUES:
        try:
            value = json.loads(content)
        except ValueError:
            kind = rng.choice(list(_TO_BYTES))
        else:
            return kind, json.dumps(_TO_VALUES[kind](value, rng)).encode()
    return kind, _TO_BYTES[kind](content, rng)


def _flip(content: bytes, rng: random.Random, count: int = 1) -> bytes:
    data = bytearray(content)
    for _ in range(count if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _insert(content: bytes, rng: random.Random, what: bytes) -> bytes:
    place = rng.randint(0, len(content))
    return content[:place] + what + content[place:]


def _shuffle(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def _replace(value: Any, rng: random.Random) -> Any:
    root, holder, place = _choose(value, rng)
    holder[place] = deepcopy(rng.choice(_VALUES))  # or a list would come to hold itself
    return root[0]


def _remove(value: Any, rng: random.Random) -> Any:
    root, holder, place = _choose(value, rng)
    del holder[place]
    return root[0] if root else None


def _choose(value: Any, rng: random.Random) -> tuple[list[Any], Any, Any]:
    """Return a list with a JSON value, and one place in the value: the list or object that holds it and its key."""
    root = [value]
    holder: Any = root
    place: Any = 0
    while isinstance(inner := holder[place], list | dict) and inner and rng.random() < _DEEPER:
        holder, place = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
    return root, holder, place


# Name -> content and generator -> damaged content.
_TO_BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut": lambda content, rng: content[: rng.randint(0, max(0, len(content) - 1))],
    "cut at the front": lambda content, rng: content[rng.randint(0, len(content)) :],
    "empty": lambda _content, _rng: b"",
    "a bit flipped": _flip,
    "bits flipped": lambda content, rng: _flip(content, rng, 1 + len(content) // 100),
    "zero bytes": lambda content, rng: _insert(content, rng, b"\0" * 9),
    "not UTF-8": lambda content, rng: _insert(content, rng, b"\xff\xfe\xc3"),
    "UTF-16": lambda content, _rng: content.decode("utf-8", "replace").encode("utf-16"),
    "byte order mark": lambda content, _rng: b"\xef\xbb\xbf" + content,
    "Windows lines": lambda content, _rng: content.replace(b"\n", b"\r\n"),
    "old Mac lines": lambda content, _rng: content.replace(b"\n", b"\r"),
    "lines shuffled": _shuffle,
    "a quote": lambda content, rng: _insert(content, rng, b'"'),
    "separators": lambda content, rng: _insert(content, rng, rng.choice([b"\t", b",", b";", b"\n", b"="]) * 3),
    "a long line": lambda content, rng: _insert(content, rng, b"abc " * 100_000),
    "deep lists": lambda _content, _rng: b"[" * 100_000,
    "deep objects": lambda _content, _rng: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep keys": lambda _content, _rng: b"a" + b".a" * 100_000 + b" = 1\n",
    "a long number": lambda content, rng: _insert(content, rng, b"9" * 5000),
    "random bytes": lambda _content, rng: rng.randbytes(1000),
    "twice": lambda content, _rng: content + content,
    "another format": lambda _content, rng: rng.choice(_OTHER_FORMATS),
}
_TO_VALUES: dict[str, Callable[[Any, random.Random], Any]] = {
    "a value replaced": _replace,
    "values replaced": lambda value, rng: _replace(_replace(_replace(value, rng), rng), rng),
    "a value removed": _remove,
}
