"""Cleaning and hashing of texts, and cutting of long ones."""

from __future__ import annotations

import hashlib
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# Characters of a text that are cleaned and encoded at once; the other side of a pair may not be longer either.
LONGEST_TEXT = 200_000
_AT_ONCE = 4  # of these; the tokenizer uses several processors
_SENTENCE_ENDS = ".!?。！？؟।…\n"


def hash_text(text: str) -> int:
    """Return 64 bits that depend on a text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def clean(text: str) -> str:
    """Return a text in NFC with single spaces and trimmed ends; lone surrogates become question marks."""
    text = text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
    return " ".join(unicodedata.normalize("NFC", text).split())


def pieces(raw: str, tokenizer: Tokenizer, max_tokens: int) -> Iterator[str]:
    """Clean a text and cut it as `chunks` does, in time that grows with its length and memory that does not."""
    if len(raw) <= LONGEST_TEXT:
        yield from chunks(clean(raw), tokenizer, max_tokens)
        return
    parts = _parts(raw)
    while texts := [clean(part) for part in islice(parts, _AT_ONCE)]:
        for text, encoding in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
            yield from _cut(text, encoding, max_tokens)


def _parts(raw: str) -> Iterator[str]:
    start = 0
    while start < len(raw):
        end = _cut_before(raw, start, start + LONGEST_TEXT) if len(raw) - start > LONGEST_TEXT else len(raw)
        yield raw[start:end]
        start = end


def chunks(text: str, tokenizer: Tokenizer, max_tokens: int) -> Iterator[str]:
    """Cut a text into pieces of at most `max_tokens` tokens, at the last sentence end or space before.

    An empty text is one (empty) piece, so that it can be counted.
    """
    # No family makes more than a handful of tokens of one character; short texts need no encoding.
    if len(text) * 4 <= max_tokens:
        yield text
        return
    yield from _cut(text, tokenizer.encode(text, add_special_tokens=False), max_tokens)


def _cut(text: str, encoding: Encoding, max_tokens: int) -> Iterator[str]:
    room = max(max_tokens - 2, 1)  # the template's first and last token
    starts = [start for start, _ in encoding.offsets]
    start = token = 0  # where the next piece begins
    while len(starts) - token > room:
        cut = _cut_before(text, start, starts[token + room])
        yield text[start:cut].strip()
        start, token = cut, bisect_left(starts, cut, token)
    if rest := text[start:].strip():
        yield rest


def _cut_before(text: str, start: int, limit: int) -> int:
    middle = (start + limit) // 2  # a piece shorter than half the room is not worth a clean end
    for marks in (_SENTENCE_ENDS, " "):
        best = max(text.rfind(mark, middle, limit) for mark in marks)
        if best >= 0:
            return best + 1
    return max(limit, start + 1)
