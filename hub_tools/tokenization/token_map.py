"""Which teacher tokens a new token stands for: pure data, no weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.tokenization.bpe import Bpe
from hub_tools.tokenization.pretokenization import SPACE, model_only_tokenizer, segment
from hub_tools.tokenization.special_tokens import match_special_tokens
from hub_tools.tokenization.token_text import BYTE_TOKENS, TokenAlphabet
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.wordpiece import PREFIX, segmenter

# Characters of the teacher that stand for a part of a character which it cannot write: the most frequent are enough.
_MOST_CHARACTERS = 64
# Bytes of a character in UTF-8, by the first half of its first byte.
_LENGTHS = (1,) * 8 + (0,) * 4 + (2, 2, 3, 4)
# Bytes that are no text, as Python's surrogateescape shows them.
_ESCAPED = "surrogateescape"
_NO_TEXT = re.compile("([\udc80-\udcff]+)")


class Match(IntEnum):
    """How a student token's row is found.

    exact: the teacher has the same token, or a special one with the same role. composed: from the teacher's tokens of
    its surface. byte: from byte tokens. fallback: the teacher can only read it as unknown, or as nothing.
    """

    EXACT = 0
    COMPOSED = 1
    BYTE = 2
    UNKNOWN = 3


@dataclass(frozen=True, kw_only=True)
class TokenMap:
    """For each student token its teacher tokens, as one flat list.

    Attributes:
        ids: teacher ids, int64, shape (sum of lengths,).
        lengths: how many of them belong to each student token, int64, shape (V,).
        kinds: a `Match` for each student token, int8, shape (V,).
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    kinds: NDArray[np.int8]

    def count(self, kind: Match) -> int:
        """How many student tokens are of this kind."""
        return int((self.kinds == kind).sum())

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each token's ids begin, int64, shape (V,)."""
        return np.concatenate(([0], np.cumsum(self.lengths)[:-1])).astype(np.int64)


def map_tokens(teacher: TokenizerSpec, student: TokenizerSpec) -> TokenMap:
    """Map each student token to the teacher tokens of its surface, in its position in a word.

    `##lik` becomes the teacher's continued pieces (`##li`, `##k`), not the pieces of a word "lik"; `lik` of a family
    that marks spaces becomes pieces without a space. Two tokens are the same when they stand for the same bytes in the
    same position, so the name alone decides only where both tokenizers write tokens in one alphabet. Special tokens
    are those with the same name, or else the same role; the template is in no other map.

    Args:
        teacher: the teacher's tokenizer.
        student: any other tokenizer, of the same family or not.
    """
    own = teacher.ids
    tokens = sorted(student.ids, key=student.ids.__getitem__)
    special = match_special_tokens(student, teacher)
    alphabets = [TokenAlphabet.of(files) for files in (teacher, student)]
    by_name: Mapping[str, int] = own if alphabets[0].kind == alphabets[1].kind else {}
    found = (own[special[token]] if token in special else by_name.get(token, -1) for token in tokens)
    same = np.fromiter(found, dtype=np.int64, count=len(tokens))
    new = np.flatnonzero(same < 0)
    unknown = own.get(teacher.unknown or "", -1)
    spelled = {own[token] for token in BYTE_TOKENS if token in own and alphabets[0].byte_tokens}

    kinds = np.full(len(tokens), Match.EXACT, dtype=np.int8)
    lengths = np.ones(len(tokens), dtype=np.int64)
    pieces: list[list[int]] = []
    if len(new):
        pieces, is_same = _teacher_pieces(teacher, student, [tokens[number] for number in new])
        kinds[new] = [_kind(ids, unknown, spelled) for ids in pieces]
        kinds[new[is_same]] = Match.EXACT
        lengths[new] = [len(ids) or 1 for ids in pieces]
    ids = np.repeat(same, lengths)
    ids[ids < 0] = list(chain.from_iterable(ids or [max(unknown, 0)] for ids in pieces))
    return TokenMap(ids=ids, lengths=lengths, kinds=kinds)


def _kind(ids: Sequence[int], unknown: int, spelled: set[int]) -> Match:
    if not ids or unknown in ids:
        return Match.UNKNOWN
    return Match.BYTE if spelled.issuperset(ids) else Match.COMPOSED


def _teacher_pieces(
    teacher: TokenizerSpec, student: TokenizerSpec, tokens: list[str]
) -> tuple[list[list[int]], NDArray[np.bool_]]:
    """The teacher's ids of the surface of each of the student's tokens, and which of them are the same token."""
    theirs, ours = TokenAlphabet.of(teacher), TokenAlphabet.of(student)
    nothing_new = np.zeros(len(tokens), bool)
    if theirs == ours and theirs.kind == "words":
        return _compose(teacher, tokens, teacher.ids), nothing_new
    if theirs == ours and teacher.spec["normalizer"] == student.spec["normalizer"]:
        return list(segment(model_only_tokenizer(teacher.spec["model"]), tokens)), nothing_new
    surfaces = _surfaces(student, ours, tokens)
    pieces = _pieces_of_text(teacher, theirs, surfaces)
    names = {number: token for token, number in teacher.vocabulary.items()}
    same = [
        len(ids) == 1 and ids[0] in names and theirs.read(names[ids[0]])[0] == text.encode(errors=_ESCAPED)
        for ids, (text, _) in zip(pieces, surfaces, strict=True)
    ]
    return pieces, np.array(same)


def _surfaces(student: TokenizerSpec, alphabet: TokenAlphabet, tokens: list[str]) -> list[tuple[str, bool]]:
    """The text of each token, bytes that are no text as surrogates, and whether a space comes before it."""
    added = set(student.added)
    read = [(token.encode(), False) if token in added else alphabet.read(token) for token in tokens]
    surfaces = [(text.decode(errors=_ESCAPED), begins) for text, begins in read]
    if alphabet.kind != "words":
        return surfaces
    # A tokenizer that takes punctuation apart does not say whether a space was before it: mostly there was none.
    backend = student.load()
    return [(text, begins and not _stands_apart(backend, text)) for text, begins in surfaces]


def _stands_apart(tokenizer: Tokenizer, text: str) -> bool:
    """Whether a tokenizer of words splits a text off from a letter right before it."""
    return _words_of(tokenizer, "a" + text)[0] == "a"


def _pieces_of_text(
    teacher: TokenizerSpec, alphabet: TokenAlphabet, surfaces: Sequence[tuple[str, bool]]
) -> list[list[int]]:
    """The teacher's ids of texts that may begin or end inside a character."""
    whole = alphabet.kind == "bytes"  # there parts of characters are written as any other text
    parts = [
        (number, part, begins and place == 0, not whole and place % 2 == 1)
        for number, (text, begins) in enumerate(surfaces)
        for place, part in enumerate([text] if whole else _NO_TEXT.split(text))
        if part or (alphabet.kind != "words" and begins and place == 0)
    ]
    texts = [(part, begins) for _, part, begins, is_bytes in parts if not is_bytes]
    bytes_of = _byte_reader(teacher, alphabet)
    read = iter(_read_words(teacher, texts) if alphabet.kind == "words" else _read_text(teacher, alphabet, texts))
    found: list[list[int]] = [[] for _ in surfaces]
    for number, part, _, is_bytes in parts:
        found[number] += bytes_of(part.encode(errors=_ESCAPED)) if is_bytes else next(read)
    return found


def _read_words(teacher: TokenizerSpec, texts: Sequence[tuple[str, bool]]) -> list[list[int]]:
    backend = teacher.load()
    words = [text if begins or _stands_apart(backend, text) else PREFIX + text for text, begins in texts]
    return _compose(teacher, words, teacher.ids)


def _read_text(
    teacher: TokenizerSpec, alphabet: TokenAlphabet, texts: Sequence[tuple[str, bool]]
) -> Iterator[list[int]]:
    normalizer = teacher.load().normalizer
    # What the normalizer puts before every text belongs only where a word begins.
    lead = normalizer.normalize_str("a").replace(SPACE, " ").partition("a")[0] if normalizer else ""

    def normal(text: str) -> str:
        if normalizer is None or _NO_TEXT.search(text):
            return text
        found = str(normalizer.normalize_str(text)).replace(SPACE, " ").removeprefix(lead)
        return found or (" " if text.isspace() else "")

    spelled = [alphabet.write(normal(text).encode(errors=_ESCAPED), begins) for text, begins in texts]
    return segment(model_only_tokenizer(teacher.spec["model"]), spelled)


def _byte_reader(teacher: TokenizerSpec, alphabet: TokenAlphabet) -> Callable[[bytes], list[int]]:
    """How the teacher reads a part of a character: as byte tokens, or else as the characters that have this part."""
    own = teacher.ids
    if alphabet.byte_tokens:
        return lambda part: [own[token] for byte in part if (token := f"<0x{byte:02X}>") in own]
    pieces = ((alphabet.read(token)[0], number) for token, number in teacher.vocabulary.items())
    single = [(text, number) for text, number in pieces if text and len(text) == _LENGTHS[text[0] >> 4] > 1]

    def read(part: bytes) -> list[int]:
        return [number for text, number in single if part in text][:_MOST_CHARACTERS]

    return read


def compose_from_own(student: TokenizerSpec, without: NDArray[np.int64]) -> TokenMap:
    """Map some student tokens to the student's other tokens, in position.

    Args:
        student: the student's tokenizer.
        without: student ids of tokens that the model has, int64, ascending; none of them is used in a composition.

    Returns:
        A map with one entry for each of `without`, whose ids are the student's.
    """
    vocabulary = student.vocabulary
    left_out = set(without.tolist())
    tokens = [token for token, index in sorted(vocabulary.items(), key=lambda item: item[1]) if index in left_out]
    if student.family == "WordPiece":
        rest = {token: index for token, index in vocabulary.items() if index not in left_out}
        rows = _compose(student, tokens, rest)
    else:
        reduced = model_only_tokenizer(_reduced(student, set(tokens)))
        names = {number: token for token, number in reduced.get_vocab().items()}
        rows = [[vocabulary[names[number]] for number in ids] for ids in segment(reduced, tokens)]
    unknown = vocabulary.get(student.unknown or "", -1)
    kinds = np.array([Match.UNKNOWN if unknown in ids or not ids else Match.COMPOSED for ids in rows], dtype=np.int8)
    return flat_map([ids or [0] for ids in rows], kinds)


def _reduced(student: TokenizerSpec, gone: set[str]) -> dict[str, Any]:
    """A model without some tokens and without what is built from them."""
    model = student.spec["model"]
    if student.family == "Unigram":
        vocab = [[piece, score] for piece, score in model["vocab"] if piece not in gone]
        unknown = next((n for n, (piece, _) in enumerate(vocab) if piece == student.unknown), None)
        return {**model, "vocab": vocab, "unk_id": unknown}
    family = Bpe(student.spec)
    return family.build([token for token in family.vocabulary if token not in gone], [], [])


def flat_map(rows: Sequence[Sequence[int]], kinds: NDArray[np.int8]) -> TokenMap:
    """A map of the teacher ids of each student token, none of them empty, and their kinds."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    ids = np.fromiter((i for row in rows for i in row), dtype=np.int64, count=int(lengths.sum()))
    return TokenMap(ids=ids, lengths=lengths, kinds=kinds)


def _compose(tokenizer: TokenizerSpec, tokens: list[str], vocabulary: Mapping[str, int]) -> list[list[int]]:
    """Ids from a vocabulary for each token's surface, as a tokenizer normalizes and splits it; never empty."""
    backend = tokenizer.load()
    unknown = tokenizer.spec["model"]["unk_token"]
    words = segmenter(vocabulary, unknown)
    # Words whose beginning is already behind us: only continued pieces, their prefix taken off.
    continued_ids = {t.removeprefix(PREFIX): i for t, i in vocabulary.items() if t.startswith(PREFIX)} | {
        unknown: vocabulary[unknown]
    }
    continued = segmenter(continued_ids, unknown, prefix="")
    surfaces = [_words_of(backend, token.removeprefix(PREFIX)) or [unknown] for token in tokens]
    inside = [token.startswith(PREFIX) for token in tokens]
    heads = [
        (c if mid else w)
        for mid, w, c in zip(
            inside, segment(words, [s[0] for s in surfaces]), segment(continued, [s[0] for s in surfaces]), strict=True
        )
    ]
    tails = segment(words, [word for surface in surfaces for word in surface[1:]])
    return [head + [i for _ in surface[1:] for i in next(tails)] for head, surface in zip(heads, surfaces, strict=True)]


def _words_of(tokenizer: Tokenizer, surface: str) -> list[str]:
    text = tokenizer.normalizer.normalize_str(surface) if tokenizer.normalizer else surface
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
