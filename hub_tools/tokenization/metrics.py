"""Measures of tokenizers on text: how many tokens, how they are used, what is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.core.logging import bar
from hub_tools.results import Figures
from hub_tools.tokenization.pretokenization import normalize, segment
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

# Order of the Renyi entropy that goes best with translation quality (Zouhar et al. 2023, arXiv 2306.16842).
RENYI_ORDER = 2.5
# Texts that are enough to measure tokens per word on them alone.
_ENOUGH = 20


def measure(tokenizer: Tokenizer, texts: list[str], lang: str, unk_token: str | None) -> Figures:
    """Measure how a tokenizer without truncation cuts texts in a language; the template's special tokens do not count.

    Returns:
        `tokens_per_word`: tokens per stretch between white space, or per character in languages written without spaces
        (fertility). `characters_per_token` and `bytes_per_token` (UTF-8): white space does not count.
        `continued_words`: the share of words of more than one token. `renyi_efficiency`: how evenly the vocabulary is
        used, 0 to 1. `tokens_used`: distinct tokens. `unknown_tokens`: the share of tokens that stand for what the
        tokenizer cannot read. `unknown_text`: the share of characters that such tokens stand for; in WordPiece one
        letter makes its whole word unknown, and a word is one token then (see `results.is_read`).
    """
    return _measure(tokenizer, texts, tokenizer.encode_batch(texts, add_special_tokens=False), lang, unk_token)


def _measure(
    tokenizer: Tokenizer, texts: list[str], encodings: list[Encoding], lang: str, unk_token: str | None
) -> Figures:
    ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int64)
    counts = np.bincount(ids, minlength=tokenizer.get_vocab_size(with_added_tokens=True))
    unspaced = ["".join(text.split()) for text in texts]
    tokens, characters = int(counts.sum()), sum(map(len, unspaced))
    words = sum(len(text.split()) for text in texts)
    continued = sum(_continued_words(text, encoding) for text, encoding in zip(texts, encodings, strict=True))
    unk_id = tokenizer.token_to_id(unk_token) if unk_token else None
    return {
        "tokens_per_word": round(tokens / max(characters if lang in WITHOUT_SPACES else words, 1), 4),
        "characters_per_token": round(characters / max(tokens, 1), 4),
        "bytes_per_token": round(sum(len(text.encode()) for text in unspaced) / max(tokens, 1), 4),
        "continued_words": round(continued / max(words, 1), 4),
        "renyi_efficiency": round(_renyi_efficiency(counts), 4),
        "tokens_used": int((counts > 0).sum()),
        "unknown_tokens": round(int(counts[unk_id]) / max(tokens, 1), 4) if unk_id is not None else 0.0,
        "unknown_text": round(sum(map(unknown_characters, texts, encodings, repeat(unk_id))) / max(characters, 1), 4),
    }


def _continued_words(text: str, encoding: Encoding) -> int:
    word_ends, position = [], 0
    for word in text.split():
        position = text.index(word, position) + len(word)
        word_ends.append(position)
    # A token's last character is inside its word, its first may be the space before.
    words = np.searchsorted(word_ends, [end for start, end in encoding.offsets if end > start])
    return int((np.bincount(words, minlength=1) > 1).sum())


def unknown_characters(text: str, encoding: Encoding, unk_id: int | None) -> int:
    """Return how many characters of a text unknown tokens stand for, without white space."""
    if unk_id not in encoding.ids:
        return 0
    spans = zip(encoding.ids, encoding.offsets, strict=True)
    return sum(len("".join(text[start:end].split())) for token_id, (start, end) in spans if token_id == unk_id)


def _renyi_efficiency(counts: NDArray[np.int64]) -> float:
    if (counts > 0).sum() <= 1:  # one token has no entropy
        return 0.0
    shares = counts[counts > 0] / counts.sum()
    entropy = np.log((shares**RENYI_ORDER).sum()) / (1 - RENYI_ORDER)
    return float(entropy / np.log(len(counts)))


def parity(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> float:
    """Return tokens of the second sides of aligned texts over those of the first (arXiv 2305.15425)."""
    first, second = (sum(map(len, segment(tokenizer, [pair[side] for pair in pairs]))) for side in (0, 1))
    return second / max(first, 1)


def compare_tokenizers(
    teacher: TokenizerSpec,
    student: TokenizerSpec,
    texts: Mapping[str, list[str]],
    pairs: Sequence[tuple[str, str]] = (),
    unseen: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Measure both tokenizers on texts by language, and their parity on (source, translation) pairs.

    The student was not learned from the first `unseen` texts of a language. Where these are enough, tokens are counted
    in them alone; what is lost, and which ids are unused, is looked for in all texts.

    Returns the fields of `TokenizerResult` from `fertility` to `round_trip_failures`.
    """
    seen = None if unseen is None else [lang for lang in texts if texts[lang] and unseen.get(lang, 0) < _ENOUGH]
    names = ("teacher", "student")
    backends = (teacher.load(), student.load())
    unknown = (teacher.unk_token, student.unk_token)
    unknown_ids = [b.token_to_id(token) if token else None for b, token in zip(backends, unknown, strict=True)]
    used: tuple[set[int], set[int]] = (set(), set())
    measures: dict[str, dict[str, Figures]] = {}
    new_unknowns = failures = 0
    with bar("measuring tokenizers", sum(map(len, texts.values())), " texts", is_part=True) as progress:
        for lang, batch in texts.items():
            if not batch:
                continue
            encodings = [backend.encode_batch(batch, add_special_tokens=False) for backend in backends]
            new = slice(unseen[lang] if unseen and lang not in (seen or ()) else None)
            cut = [own[new] for own in encodings]
            figures = map(_measure, backends, repeat(batch[new]), cut, repeat(lang), unknown)
            measures[lang] = dict(zip(names, figures, strict=True))
            for found, own in zip(used, encodings, strict=True):
                found.update(chain.from_iterable(encoding.ids for encoding in own))
            losses = _count_losses(unknown_ids, backends, batch, encodings, is_wordpiece=student.family == "WordPiece")
            new_unknowns, failures = new_unknowns + losses[0], failures + losses[1]
            progress.update(len(batch))
    sizes = (len(teacher.vocab), len(student.vocab))
    return {
        "fertility": {lang: {n: f["tokens_per_word"] for n, f in row.items()} for lang, row in measures.items()},
        "measures": measures,
        "seen": seen,
        "parity": {n: round(parity(t, pairs), 4) for n, t in zip(names, backends, strict=True)} if pairs else None,
        "unused": {n: size - len(found) for n, size, found in zip(names, sizes, used, strict=True)},
        "new_unknowns": new_unknowns,
        "round_trip_failures": failures,
    }


def _count_losses(
    unknown: Sequence[int | None],
    backends: tuple[Tokenizer, Tokenizer],
    texts: list[str],
    encodings: Sequence[list[Encoding]],
    *,
    is_wordpiece: bool,
) -> tuple[int, int]:
    # Texts with an unknown token only for the student; texts whose letters do not come back as the teacher gives them.
    # An unknown piece of a Unigram model has its text as its token, so only ids tell.
    new_unknowns = failures = 0
    for text, by_teacher, by_student in zip(texts, *encodings, strict=True):
        if unknown[0] in by_teacher.ids:
            continue
        new_unknowns += unknown[1] in by_student.ids
        # Where the spaces were is lost in WordPiece, so only what stands between them can be compared.
        expected = normalize(backends[1], text) if is_wordpiece else backends[0].decode(by_teacher.ids)
        decoded = backends[1].decode(by_student.ids, skip_special_tokens=False)
        failures += "".join(decoded.split()) != "".join(expected.split())
    return new_unknowns, failures


def side_by_side(
    tokenizers: Mapping[str, TokenizerSpec], texts: Mapping[str, list[str]]
) -> dict[str, dict[str, Figures]]:
    """Measure tokenizers by name on texts by language: language -> name -> figures, see `measure`."""
    loaded = {name: (tokenizer.load(), tokenizer.unk_token) for name, tokenizer in tokenizers.items()}
    return {
        lang: {name: measure(backend, batch, lang, unk) for name, (backend, unk) in loaded.items()}
        for lang, batch in texts.items()
        if batch
    }
