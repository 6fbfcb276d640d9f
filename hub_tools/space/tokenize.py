"""How two tokenizers tokenize a text: every token with its id, what can be seen of it, and whether both have it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from importlib import resources
from itertools import islice
from typing import TYPE_CHECKING, Any

from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.results import Figures
from hub_tools.tokenization.bpe import BYTE_ALPHABET, byte_string
from hub_tools.tokenization.metrics import unknown_characters
from hub_tools.tokenization.pretokenization import SPACE, normalize
from hub_tools.tokenization.token_text import TokenAlphabet
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

    @cached_property
    def _alphabet(self) -> TokenAlphabet:
        return TokenAlphabet.of(self._spec)

    @cached_property
    def _texts(self) -> frozenset[bytes]:
        return frozenset(self._text_of(token) for token in self.vocabulary)

    def _text_of(self, token: str) -> bytes:
        return self._alphabet.decode(token)[0]

    def shared_with(self, other: TokenizerView) -> Callable[[str], bool]:
        """Return what says of a token whether another tokenizer has it too.

        Where the two write tokens in other alphabets, `Ġev`, `▁ev` and `ev` are the same: what counts is their text.
        """
        if self._alphabet == other._alphabet:
            return other.vocabulary.__contains__
        return lambda token: self._text_of(token) in other._texts

    def count(self, texts: list[str]) -> Figures:
        """Return the number of `tokens` of texts, and `unknown_text`, the share of the characters that is unknown."""
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        unknown = self._spec.vocab.get(self._spec.unk_token or "")
        lost = sum(unknown_characters(text, encoding, unknown) for text, encoding in zip(texts, encodings, strict=True))
        characters = sum(len("".join(text.split())) for text in texts)
        return {"tokens": sum(map(len, encodings)), "unknown_text": round(lost / max(characters, 1), 4)}

    def tokenize(self, text: str, other: TokenizerView) -> dict[str, Any]:
        """Tokenize a checked text, without the template's special tokens, beside another tokenizer.

        Returns:
            the first 2,000 `tokens` (each `token`, `shown`, `id`, `start` and `end` in the text, `shared` with the
            other tokenizer and `unknown`), `count` of all, those `not_shared`, `vocabulary`, `characters`, `words`,
            `per_character`, `per_word`, `unknown_text`, the share of the characters that is unknown, and `changed`
            letters of the text, see `changed_letters`.
        """
        is_shared = self.shared_with(other)
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
                "shared": is_shared(token),
                "unknown": token_id == unknown,
            }
            for token, token_id, (start, end) in islice(parts, _SHOWN)
        ]
        count, words = len(encoding), len(text.split())
        return {
            "tokens": tokens,
            "count": count,
            "not_shared": sum(not is_shared(token) for token in encoding.tokens),
            "vocabulary": len(self.vocabulary),
            "characters": len(text),
            "words": words,
            "per_character": round(count / max(len(text), 1), 4),
            "per_word": round(count / max(words, 1), 4),
            "unknown_text": round(unknown_characters(text, encoding, unknown) / max(len("".join(text.split())), 1), 4),
            "changed": list(changed_letters(text, lambda letter: normalize(self._tokenizer, letter))),
        }


def changed_letters(text: str, read: Callable[[str], str]) -> Iterator[dict[str, Any]]:
    """Find the letters of a text that a model never sees, since its normalizer takes their marks or all of them away.

    Upper case and other forms of the same letter do not count. Each letter has its `start` and `end` in the text and
    `read`, what the model reads instead.
    """
    known: dict[str, str | None] = {}
    for start, end in _letters(text):
        letter = text[start:end]
        if letter not in known:
            left = "".join(read(letter).replace(SPACE, "").split())
            # I and İ are capitals of another letter in Turkic languages than elsewhere.
            same = {_fold(letter), *{"I": "ı", "İ": "i"}.get(letter, "")}
            known[letter] = None if _fold(left) in same else left
        if known[letter] is not None:
            yield {"start": start, "end": end, "read": known[letter]}


def _letters(text: str) -> Iterator[tuple[int, int]]:
    """Return start and end of each character that can be seen, with the marks that follow it."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not unicodedata.category(text[end]).startswith("M"):
            if text[start:end].strip() and text[start] not in "\u200c\u200d":
                yield start, end
            start = end


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def compare(text: str, first: TokenizerView, second: TokenizerView) -> dict[str, Any]:
    """Tokenize a text by two tokenizers.

    Returns:
        `first` and `second` as from `TokenizerView.tokenize`; `only_first`, `only_second` and `both`, numbers of tokens
        of the vocabularies, `both` of the second; and `ratio`, tokens of the second over tokens of the first.
    """
    cut_first, cut_second = first.tokenize(text, second), second.tokenize(text, first)
    only_first, only_second = (
        sum(not is_shared(token) for token in own.vocabulary)
        for own, is_shared in ((first, first.shared_with(second)), (second, second.shared_with(first)))
    )
    return {
        "first": cut_first,
        "second": cut_second,
        "only_first": only_first,
        "only_second": only_second,
        "both": len(second.vocabulary) - only_second,
        "ratio": round(cut_second["count"] / max(cut_first["count"], 1), 4),
    }


@cache
def known_counts() -> dict[str, dict[str, Figures]]:
    """Return what `count_languages` finds for tokenizers of the Hub that many know, by id, without the Hub.

    scripts/known_tokenizers.py makes the file.
    """
    file = resources.files("hub_tools") / "space" / "known.json"
    known = json.loads(file.read_text(encoding="utf-8"))["counts"]
    return {
        name: {lang: {"tokens": tokens, "unknown_text": unknown} for lang, (tokens, unknown) in found.items()}
        for name, found in known.items()
    }


def count_languages(tokenizer: TokenizerView) -> dict[str, Figures]:
    """Count the tokens of the sample's sentences, which are the same in each language: language -> what it counts."""
    rows = list(read_table(sample_file("languages.tsv")))
    return {lang: tokenizer.count([row[lang] for row in rows]) for lang in rows[0]}
