"""How two tokenizers cut a text: every token with its id, what can be seen of it, and who else has it."""

from __future__ import annotations

from typing import Any

from hub_tools.surgery import TokenizerFiles
from hub_tools.surgery.bpe import BYTE_ALPHABET, byte_string
from hub_tools.surgery.words import SPACE

_BYTE_TOKEN_LENGTH = len("<0x00>")


def visible(token: str, *, byte_level: bool) -> str:
    """A token as a reader can tell it from others: spaces are ␣, line breaks ⏎, lone bytes ⟨E2⟩.

    Args:
        token: as the vocabulary has it.
        byte_level: whether the vocabulary is written in the alphabet of 256 characters.
    """
    if token.startswith("<0x") and token.endswith(">") and len(token) == _BYTE_TOKEN_LENGTH:
        return f"⟨{token[3:5]}⟩"
    if byte_level and set(token) <= BYTE_ALPHABET:
        raw = byte_string(token)
        try:
            token = raw.decode("utf-8")
        except UnicodeDecodeError:
            return f"⟨{raw.hex(' ').upper()}⟩"
    token = token.replace(SPACE, "␣").replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else f"⟨U+{ord(c):04X}⟩" for c in token)


def cut(files: TokenizerFiles, text: str, others: set[str] | None) -> dict[str, Any]:
    """A text cut by a tokenizer, without the template's special tokens.

    Args:
        files: the tokenizer.
        text: what to cut.
        others: tokens of the tokenizer that it is compared with, if there is one.

    Returns:
        `tokens` (each `token`, `shown`, `id`, `start` and `end` in the text, `shared` with the other tokenizer and
        `unknown`), `count`, `vocabulary`, `characters`, `words`, `per_character` and `per_word`.
    """
    encoding = files.load().encode(text, add_special_tokens=False)
    tokens = [
        {
            "token": token,
            "shown": visible(token, byte_level=files.byte_level),
            "id": number,
            "start": start,
            "end": end,
            "shared": others is None or token in others,
            "unknown": token == files.unknown,
        }
        for token, number, (start, end) in zip(encoding.tokens, encoding.ids, encoding.offsets, strict=True)
    ]
    words = len(text.split())
    return {
        "tokens": tokens,
        "count": len(tokens),
        "vocabulary": len(files.ids),
        "characters": len(text),
        "words": words,
        "per_character": round(len(tokens) / max(len(text), 1), 4),
        "per_word": round(len(tokens) / max(words, 1), 4),
    }


def compare(text: str, first: TokenizerFiles, second: TokenizerFiles) -> dict[str, Any]:
    """Two tokenizers on one text.

    Returns:
        `first` and `second` as from `cut`; `only_first`, `only_second` and `both`, numbers of tokens of the
        vocabularies; and `ratio`, tokens of the second over tokens of the first.
    """
    own, other = set(first.ids), set(second.ids)
    cuts = {"first": cut(first, text, other), "second": cut(second, text, own)}
    return {
        **cuts,
        "only_first": len(own - other),
        "only_second": len(other - own),
        "both": len(own & other),
        "ratio": round(cuts["second"]["count"] / max(cuts["first"]["count"], 1), 4),
    }
