"""Measures of tokenizers on text: how many tokens, how they are used, what is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.corpus.build import Corpus
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

# Order of the Renyi entropy that goes best with translation quality (Zouhar et al. 2023, arXiv 2306.16842).
RENYI_ORDER = 2.5
_TEXTS = 1000


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How a tokenizer cuts text in one language; tokens without the template's special ones.

    Attributes:
        tokens: number of tokens.
        words: stretches between white space.
        characters: characters without white space.
        bytes: their UTF-8 bytes.
        continued: words of more than one token.
        unknown: unknown tokens.
        used: distinct tokens.
        renyi: Renyi efficiency, 0 to 1: how evenly the vocabulary is used.
        without_spaces: whether the language is written without spaces between words.
    """

    tokens: int
    words: int
    characters: int
    bytes: int
    continued: int
    unknown: int
    used: int
    renyi: float
    without_spaces: bool

    @property
    def per_unit(self) -> float:
        """Tokens per word, or per character in languages written without spaces (fertility)."""
        return self.tokens / max(self.characters if self.without_spaces else self.words, 1)

    def figures(self) -> dict[str, float]:
        """What the report says."""
        tokens = max(self.tokens, 1)
        return {
            "tokens_per_word": round(self.per_unit, 4),
            "characters_per_token": round(self.characters / tokens, 4),
            "bytes_per_token": round(self.bytes / tokens, 4),
            "continued_words": round(self.continued / max(self.words, 1), 4),
            "renyi_efficiency": round(self.renyi, 4),
            "tokens_used": self.used,
            "unknown": self.unknown,
        }


def measure(tokenizer: Tokenizer, texts: list[str], lang: str, unknown: str | None) -> Measures:
    """Measure a tokenizer on texts.

    Args:
        tokenizer: without truncation and padding.
        texts: in one language.
        lang: its code.
        unknown: the unknown token, if there is one.
    """
    encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    counts = np.bincount(
        np.fromiter((i for e in encoded for i in e.ids), dtype=np.int64),
        minlength=tokenizer.get_vocab_size(with_added_tokens=True),
    )
    bare = ["".join(text.split()) for text in texts]
    unknown_id = tokenizer.token_to_id(unknown) if unknown else None
    return Measures(
        tokens=int(counts.sum()),
        words=sum(len(text.split()) for text in texts),
        characters=sum(map(len, bare)),
        bytes=sum(len(text.encode()) for text in bare),
        continued=sum(_continued(text, encoding) for text, encoding in zip(texts, encoded, strict=True)),
        unknown=int(counts[unknown_id]) if unknown_id is not None else 0,
        used=int((counts > 0).sum()),
        renyi=_renyi_efficiency(counts),
        without_spaces=lang in WITHOUT_SPACES,
    )


def _continued(text: str, encoding: Encoding) -> int:
    """Words of a text that take more than one token."""
    ends, position = [], 0
    for word in text.split():
        position = text.index(word, position) + len(word)
        ends.append(position)
    # A token's last character stands inside its word, its first may be the space before.
    places = np.searchsorted(ends, [end for start, end in encoding.offsets if end > start])
    return int((np.bincount(places, minlength=1) > 1).sum())


def _renyi_efficiency(counts: NDArray[np.int64]) -> float:
    if (counts > 0).sum() <= 1:  # one token has no entropy
        return 0.0
    shares = counts[counts > 0] / counts.sum()
    entropy = np.log((shares**RENYI_ORDER).sum()) / (1 - RENYI_ORDER)
    return float(entropy / np.log(len(counts)))


def parity(tokenizer: Tokenizer, pairs: list[tuple[str, str]]) -> float:
    """Tokens of the second sides of aligned texts over tokens of the first (Petrov et al. 2023, arXiv 2305.15425)."""
    sides = [tokenizer.encode_batch_fast([p[i] for p in pairs], add_special_tokens=False) for i in (0, 1)]
    first, second = (sum(len(e.ids) for e in side) for side in sides)
    return second / max(first, 1)


def tokenizer_report(teacher: TokenizerSpec, student: TokenizerSpec, corpus: Corpus) -> dict[str, Any]:
    """Both tokenizers on the corpus: held-out texts, and others where these are few.

    Returns:
        `fertility` (language -> tokens per word of each), `measures` (the same with all figures), `parity` with the
        source side of the held-out pairs, `unused` (ids in no text), `new_unknowns` and `round_trip_failures`.
    """
    texts = sample_texts(corpus)
    both = {"teacher": teacher, "student": student}
    measures = side_by_side(both, texts)
    pairs = [(pair.source, pair.target) for pair in islice(corpus.pairs("heldout"), _TEXTS)]
    unknowns, failures = losses(teacher, student, [text for own in texts.values() for text in own])
    return {
        "fertility": {lang: {n: f["tokens_per_word"] for n, f in own.items()} for lang, own in measures.items()},
        "measures": measures,
        "parity": {name: round(parity(files.load(), pairs), 4) for name, files in both.items()} if pairs else None,
        "unused": {name: _unused(files, texts) for name, files in both.items()},
        "new_unknowns": unknowns,
        "round_trip_failures": failures,
    }


def _unused(files: TokenizerSpec, texts: Mapping[str, list[str]]) -> int:
    """How many ids none of the texts uses."""
    tokenizer = files.load()
    used: set[int] = set()
    for own in texts.values():
        used.update(i for e in tokenizer.encode_batch_fast(own, add_special_tokens=False) for i in e.ids)
    return len(files.ids) - len(used)


def sample_texts(corpus: Corpus) -> dict[str, list[str]]:
    """Up to a thousand texts per language: held-out ones, and where these are few, others too."""
    return {
        lang: list(islice((t for split in ("heldout", "train") for t in corpus.texts(lang, split)), _TEXTS))
        for lang in corpus.languages
    }


def losses(teacher: TokenizerSpec, student: TokenizerSpec, texts: Iterable[str]) -> tuple[int, int]:
    """What the student's tokenizer loses that the teacher's does not.

    Returns:
        (texts with an unknown token that the teacher read without, texts whose letters do not come back
        from encoding and decoding though the teacher's did).
    """
    new_unknowns = failures = 0
    batch = list(texts)
    theirs, ours = teacher.load(), student.load()
    encoded = (tokenizer.encode_batch(batch, add_special_tokens=False) for tokenizer in (theirs, ours))
    for text, before, after in zip(batch, *encoded, strict=True):
        if teacher.unknown in before.tokens:
            continue
        new_unknowns += student.unknown in after.tokens
        # Where the spaces were is lost in WordPiece, so only what stands between them can be compared.
        wanted = _normalized(ours, text) if student.family == "WordPiece" else theirs.decode(before.ids)
        failures += "".join(ours.decode(after.ids, skip_special_tokens=False).split()) != "".join(wanted.split())
    return new_unknowns, failures


def _normalized(tokenizer: Tokenizer, text: str) -> str:
    return str(tokenizer.normalizer.normalize_str(text)) if tokenizer.normalizer else text


def side_by_side(tokenizers: Mapping[str, TokenizerSpec], texts: Mapping[str, list[str]]) -> dict[str, Any]:
    """Any tokenizers on texts in any languages.

    Args:
        tokenizers: name -> tokenizer.
        texts: language -> texts.

    Returns:
        language -> name -> the figures of `Measures`.
    """
    loaded = {name: (files.load(), files.unknown) for name, files in tokenizers.items()}
    return {
        lang: {name: measure(t, own, lang, unknown).figures() for name, (t, unknown) in loaded.items()}
        for lang, own in texts.items()
        if own
    }
