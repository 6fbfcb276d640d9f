"""Measures of tokenizers on text: how many tokens, how they are used, what is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.results import Figures
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

# Order of the Renyi entropy that goes best with translation quality (Zouhar et al. 2023, arXiv 2306.16842).
RENYI_ORDER = 2.5


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

    def figures(self) -> Figures:
        """Return the figures of the report by name, rounded."""
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


def measure(tokenizer: Tokenizer, texts: list[str], lang: str, unk_token: str | None) -> Measures:
    """Measure a tokenizer on texts.

    Args:
        tokenizer: without truncation and padding.
        texts: in one language.
        lang: its code.
        unk_token: the unknown token, if there is one.
    """
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    counts = np.bincount(
        np.fromiter((token_id for encoding in encodings for token_id in encoding.ids), dtype=np.int64),
        minlength=tokenizer.get_vocab_size(with_added_tokens=True),
    )
    unspaced = ["".join(text.split()) for text in texts]
    unk_id = tokenizer.token_to_id(unk_token) if unk_token else None
    return Measures(
        tokens=int(counts.sum()),
        words=sum(len(text.split()) for text in texts),
        characters=sum(map(len, unspaced)),
        bytes=sum(len(text.encode()) for text in unspaced),
        continued=sum(_continued_words(text, encoding) for text, encoding in zip(texts, encodings, strict=True)),
        unknown=int(counts[unk_id]) if unk_id is not None else 0,
        used=int((counts > 0).sum()),
        renyi=_renyi_efficiency(counts),
        without_spaces=lang in WITHOUT_SPACES,
    )


def _continued_words(text: str, encoding: Encoding) -> int:
    """Count the words of a text that take more than one token."""
    word_ends, position = [], 0
    for word in text.split():
        position = text.index(word, position) + len(word)
        word_ends.append(position)
    # A token's last character is inside its word, its first may be the space before.
    words = np.searchsorted(word_ends, [end for start, end in encoding.offsets if end > start])
    return int((np.bincount(words, minlength=1) > 1).sum())


def _renyi_efficiency(counts: NDArray[np.int64]) -> float:
    if (counts > 0).sum() <= 1:  # one token has no entropy
        return 0.0
    shares = counts[counts > 0] / counts.sum()
    entropy = np.log((shares**RENYI_ORDER).sum()) / (1 - RENYI_ORDER)
    return float(entropy / np.log(len(counts)))


def parity(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> float:
    """Return tokens of the second sides of aligned texts over those of the first (arXiv 2305.15425)."""
    first, second = (
        sum(len(e.ids) for e in tokenizer.encode_batch_fast([p[i] for p in pairs], add_special_tokens=False))
        for i in (0, 1)
    )
    return second / max(first, 1)


def compare_tokenizers(
    teacher: TokenizerSpec,
    student: TokenizerSpec,
    texts: Mapping[str, list[str]],
    pairs: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Measure both tokenizers.

    Args:
        teacher: the teacher's tokenizer.
        student: the student's.
        texts: language -> texts.
        pairs: (source, translation), for the parity.

    Returns:
        The fields `fertility`, `measures`, `parity`, `unused`, `new_unknowns` and `round_trip_failures` of
        `TokenizerResult`.
    """
    tokenizers = {"teacher": teacher, "student": student}
    measures = side_by_side(tokenizers, texts)
    new_unknowns, failures = count_losses(teacher, student, [text for batch in texts.values() for text in batch])
    return {
        "fertility": {lang: {n: f["tokens_per_word"] for n, f in row.items()} for lang, row in measures.items()},
        "measures": measures,
        "parity": {n: round(parity(t.load(), pairs), 4) for n, t in tokenizers.items()} if pairs else None,
        "unused": {name: _count_unused(tokenizer, texts) for name, tokenizer in tokenizers.items()},
        "new_unknowns": new_unknowns,
        "round_trip_failures": failures,
    }


def _count_unused(tokenizer: TokenizerSpec, texts: Mapping[str, list[str]]) -> int:
    """Count the ids that none of the texts uses."""
    backend = tokenizer.load()
    used: set[int] = set()
    for batch in texts.values():
        used.update(i for e in backend.encode_batch_fast(batch, add_special_tokens=False) for i in e.ids)
    return len(tokenizer.vocab) - len(used)


def count_losses(teacher: TokenizerSpec, student: TokenizerSpec, texts: Iterable[str]) -> tuple[int, int]:
    """Count what the student's tokenizer loses and the teacher's does not.

    Returns:
        (texts with an unknown token that the teacher read without, texts whose letters do not come back
        from encoding and decoding though the teacher's did).
    """
    new_unknowns = failures = 0
    batch = list(texts)
    backends = teacher_backend, student_backend = teacher.load(), student.load()
    encodings = (backend.encode_batch(batch, add_special_tokens=False) for backend in backends)
    for text, by_teacher, by_student in zip(batch, *encodings, strict=True):
        if teacher.unk_token in by_teacher.tokens:
            continue
        new_unknowns += student.unk_token in by_student.tokens
        # Where the spaces were is lost in WordPiece, so only what stands between them can be compared.
        is_wordpiece = student.family == "WordPiece"
        expected = _normalize(student_backend, text) if is_wordpiece else teacher_backend.decode(by_teacher.ids)
        decoded = student_backend.decode(by_student.ids, skip_special_tokens=False)
        failures += "".join(decoded.split()) != "".join(expected.split())
    return new_unknowns, failures


def _normalize(tokenizer: Tokenizer, text: str) -> str:
    return str(tokenizer.normalizer.normalize_str(text)) if tokenizer.normalizer else text


def side_by_side(
    tokenizers: Mapping[str, TokenizerSpec], texts: Mapping[str, list[str]]
) -> dict[str, dict[str, Figures]]:
    """Measure any tokenizers on texts in any languages.

    Args:
        tokenizers: name -> tokenizer.
        texts: language -> texts.

    Returns:
        language -> name -> the figures of `Measures`.
    """
    loaded = {name: (tokenizer.load(), tokenizer.unk_token) for name, tokenizer in tokenizers.items()}
    return {
        lang: {name: measure(backend, batch, lang, unk).figures() for name, (backend, unk) in loaded.items()}
        for lang, batch in texts.items()
        if batch
    }
