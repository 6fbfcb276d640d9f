"""What a token stands for, whatever alphabet its tokenizer writes tokens in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hub_tools.tokenization.bpe import BYTE_ALPHABET, BYTE_TOKENS, byte_alphabet, byte_string
from hub_tools.tokenization.pretokenization import SPACE
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.wordpiece import PREFIX

_BYTE_OF = {token: bytes([byte]) for byte, token in enumerate(BYTE_TOKENS)}


@dataclass(frozen=True, kw_only=True)
class TokenAlphabet:
    """The alphabet in which a tokenizer's model writes text.

    `words`: continued pieces have a prefix (WordPiece); `bytes`: a character for a byte; `marks`: a mark for a space.
    """

    kind: Literal["words", "bytes", "marks"]
    byte_tokens: bool  # whether `<0x0A>` stands for a byte

    @classmethod
    def of(cls, tokenizer: TokenizerSpec) -> TokenAlphabet:
        """Return the alphabet of a tokenizer."""
        return cls(
            kind="words" if tokenizer.family == "WordPiece" else "bytes" if tokenizer.byte_level else "marks",
            byte_tokens=bool(tokenizer.spec["model"].get("byte_fallback")),
        )

    def decode(self, token: str) -> tuple[bytes, bool]:
        """Return the bytes that a token stands for, without the space before it, and whether it begins a word.

        They are UTF-8, but may begin or end inside a character.
        """
        if self.kind == "words":
            return token.removeprefix(PREFIX).encode(), not token.startswith(PREFIX)
        if self.kind == "bytes" and BYTE_ALPHABET.issuperset(token):
            text = byte_string(token)
            return text.removeprefix(b" "), text.startswith(b" ")
        if self.byte_tokens and token in _BYTE_OF:
            byte = _BYTE_OF[token]
            return byte.removeprefix(b" "), byte == b" "
        return token.removeprefix(SPACE).replace(SPACE, " ").encode(), token.startswith(SPACE)

    def encode(self, text: bytes, begins: bool) -> str:
        """Return bytes as the model gets them; only the alphabet `bytes` can write parts of characters."""
        if self.kind == "words":
            return ("" if begins else PREFIX) + text.decode()
        if self.kind == "bytes":
            return byte_alphabet((b" " if begins else b"") + text)
        return (SPACE if begins else "") + text.decode().replace(" ", SPACE)


def surface_of(tokenizer: TokenizerSpec, token: str) -> tuple[str, bool]:
    """Return the text that a token stands for, parts of characters left out, and whether it begins a word."""
    text, begins = TokenAlphabet.of(tokenizer).decode(token)
    return text.decode(errors="ignore"), begins
