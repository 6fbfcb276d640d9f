"""How two tokenizers cut a text: every token with its id, what can be seen of it, and who else has it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from hub_tools.tokenization.bpe import BYTE_ALPHABET, byte_string
from hub_tools.tokenization.pretokenization import SPACE
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

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


class Cutter:
    """A tokenizer that cuts text after text: what each needs is made once.

    Args:
        files: the tokenizer as data.
    """

    def __init__(self, files: TokenizerSpec) -> None:
        self._files = files

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, without truncation."""
        return self._files.load()

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Its tokens."""
        return frozenset(self._files.vocab)

    def cut(self, text: str, others: frozenset[str]) -> dict[str, Any]:
        """A text cut by the tokenizer, without the template's special tokens.

        Args:
            text: what to cut.
            others: tokens of the tokenizer that it is compared with.

        Returns:
            `tokens` (each `token`, `shown`, `id`, `start` and `end` in the text, `shared` with the other tokenizer and
            `unknown`), `count`, `vocabulary`, `characters`, `words`, `per_character` and `per_word`.
        """
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        byte_level, unknown = self._files.byte_level, self._files.unk_token
        tokens = [
            {
                "token": token,
                "shown": visible(token, byte_level=byte_level),
                "id": number,
                "start": start,
                "end": end,
                "shared": token in others,
                "unknown": token == unknown,
            }
            for token, number, (start, end) in zip(encoding.tokens, encoding.ids, encoding.offsets, strict=True)
        ]
        words = len(text.split())
        return {
            "tokens": tokens,
            "count": len(tokens),
            "vocabulary": len(self.vocabulary),
            "characters": len(text),
            "words": words,
            "per_character": round(len(tokens) / max(len(text), 1), 4),
            "per_word": round(len(tokens) / max(words, 1), 4),
        }


def compare(text: str, first: Cutter, second: Cutter) -> dict[str, Any]:
    """Two tokenizers on one text.

    Returns:
        `first` and `second` as from `Cutter.cut`; `only_first`, `only_second` and `both`, numbers of tokens of the
        vocabularies; and `ratio`, tokens of the second over tokens of the first.
    """
    own, other = first.vocabulary, second.vocabulary
    cuts = {"first": first.cut(text, other), "second": second.cut(text, own)}
    both = len(own & other)
    return {
        **cuts,
        "only_first": len(own) - both,
        "only_second": len(other) - both,
        "both": both,
        "ratio": round(cuts["second"]["count"] / max(cuts["first"]["count"], 1), 4),
    }
