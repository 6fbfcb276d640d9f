"""Cleaning and hashing of texts, and cutting of long ones."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SENTENCE_ENDS = ".!?。！？؟।…\n"


def hash_text(text: str) -> int:
    """Return 64 bits that depend on a text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def clean(text: str) -> str:
    """Return a text in NFC with single spaces and trimmed ends; lone surrogates become question marks."""
    text = text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
    return " ".join(unicodedata.normalize("NFC", text).split())


def chunks(text: str, tokenizer: Tokenizer, max_tokens: int) -> Iterator[str]:
    """Cut a text into pieces of at most `max_tokens` tokens, at the last sentence end or space before.

    An empty text is one (empty) piece, so that it can be counted.
    """
    # No family makes more than a handful of tokens of one character; short texts need no encoding.
    if len(text) * 4 <= max_tokens:
        yield text
        return
    room = max(max_tokens - 2, 1)  # the template's first and last token
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    start = 0
    while len(offsets) > room:
        limit = offsets[room][0]
        cut = _cut_before(text, start, limit)
        yield text[start:cut].strip()
        start = cut
        offsets = [o for o in offsets[: room + 1] if o[0] >= cut] + offsets[room + 1 :]
    if rest := text[start:].strip():
        yield rest


def _cut_before(text: str, start: int, limit: int) -> int:
    middle = (start + limit) // 2  # a piece shorter than half the room is not worth a clean end
    for marks in (_SENTENCE_ENDS, " "):
        best = max(text.rfind(mark, middle, limit) for mark in marks)
        if best >= 0:
            return best + 1
    return max(limit, start + 1)
