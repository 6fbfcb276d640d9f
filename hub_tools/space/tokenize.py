"""How two tokenizers tokenize a text: every token with its id, what can be seen of it, and whether both have it."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from hub_tools.tokenization.bpe import BYTE_ALPHABET, byte_string
from hub_tools.tokenization.metrics import unknown_characters
from hub_tools.tokenization.pretokenization import SPACE
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SHOWN = 2_000  # tokens; all are counted


def visible(token: str, *, byte_level: bool) -> str:
    """Write a token as a reader can tell it from others: spaces are ␣, line breaks ⏎, lone bytes ⟨E2⟩.

    A vocabulary is `byte_level` that is written in the alphabet of 256 characters.
    """
    if byte := re.fullmatch("<0x(..)>", token):
        return f"⟨{byte[1]}⟩"
    if byte_level and set(token) <= BYTE_ALPHABET:
        raw = byte_string(token)
        try:
            token = raw.decode("utf-8")
        except UnicodeDecodeError:
            return f"⟨{raw.hex(' ').upper()}⟩"
    token = token.replace(SPACE, "␣").replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else f"⟨U+{ord(c):04X}⟩" for c in token)


class TokenizerView:
    """A tokenizer that shows its tokens in text after text: what each call needs is made once."""

    def __init__(self, spec: TokenizerSpec) -> None:
        self._spec = spec

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return self._spec.load()

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Its tokens."""
        return frozenset(self._spec.vocab)

    def tokenize(self, text: str, other_vocabulary: frozenset[str]) -> dict[str, Any]:
        """Tokenize a checked text, without the template's special tokens, beside a tokenizer with another vocabulary.

        Returns:
            the first 2,000 `tokens` (each `token`, `shown`, `id`, `start` and `end` in the text, `shared` with the
            other tokenizer and `unknown`), `count` of all, those `not_shared`, `vocabulary`, `characters`, `words`,
            `per_character`, `per_word` and `unknown_text`, the share of the characters that is unknown.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        # By its id: an unknown piece of a Unigram model has its text as its token.
        byte_level, unknown = self._spec.byte_level, self._spec.vocab.get(self._spec.unk_token or "")
        parts = zip(encoding.tokens, encoding.ids, encoding.offsets, strict=True)
        tokens = [
            {
                "token": token,
                "shown": visible(token, byte_level=byte_level),
                "id": token_id,
                "start": start,
                "end": end,
                "shared": token in other_vocabulary,
                "unknown": token_id == unknown,
            }
            for token, token_id, (start, end) in islice(parts, _SHOWN)
        ]
        count, words = len(encoding), len(text.split())
        return {
            "tokens": tokens,
            "count": count,
            "not_shared": sum(token not in other_vocabulary for token in encoding.tokens),
            "vocabulary": len(self.vocabulary),
            "characters": len(text),
            "words": words,
            "per_character": round(count / max(len(text), 1), 4),
            "per_word": round(count / max(words, 1), 4),
            "unknown_text": round(unknown_characters(text, encoding, unknown) / max(len("".join(text.split())), 1), 4),
        }


def compare(text: str, first: TokenizerView, second: TokenizerView) -> dict[str, Any]:
    """Tokenize a text by two tokenizers.

    Returns:
        `first` and `second` as from `TokenizerView.tokenize`; `only_first`, `only_second` and `both`, numbers of tokens
        of the vocabularies; and `ratio`, tokens of the second over tokens of the first.
    """
    cut_first, cut_second = first.tokenize(text, second.vocabulary), second.tokenize(text, first.vocabulary)
    both = len(first.vocabulary & second.vocabulary)
    return {
        "first": cut_first,
        "second": cut_second,
        "only_first": len(first.vocabulary) - both,
        "only_second": len(second.vocabulary) - both,
        "both": both,
        "ratio": round(cut_second["count"] / max(cut_first["count"], 1), 4),
    }
