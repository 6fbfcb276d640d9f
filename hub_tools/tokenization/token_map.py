"""Which teacher tokens a new token stands for: pure data, no weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.tokenization.bpe import BYTE_TOKENS
from hub_tools.tokenization.pretokenization import SPACE, model_only_tokenizer, normalize, segment
from hub_tools.tokenization.special_tokens import match_special_tokens
from hub_tools.tokenization.token_text import TokenAlphabet
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.vocabulary_selection import subword_model
from hub_tools.tokenization.wordpiece import PREFIX, segmenter

# A part of a character that the teacher cannot write becomes the mean of at most so many characters that have it.
_MOST_CHARACTERS = 64
# Bytes of a character in UTF-8, by the first half of its first byte.
_LENGTHS = (1,) * 8 + (0,) * 4 + (2, 2, 3, 4)
# Bytes that are no text, as Python's surrogateescape shows them.
_ESCAPED = "surrogateescape"
_NO_TEXT = re.compile("([\udc80-\udcff]+)")


class Match(IntEnum):
    """How a student token's row is found."""

    EXACT = 0  # the teacher has the same token, or a special one with the same role
    COMPOSED = 1  # from the teacher's tokens of its text
    BYTE = 2  # from byte tokens
    UNKNOWN = 3  # `fallback` in reports: the teacher can only read it as unknown, or as nothing


@dataclass(frozen=True, kw_only=True)
class TokenMap:
    """For each student token its teacher tokens, as one flat list.

    For example, ids [7, 3, 5, 9] and lengths [1, 2, 1] map three student tokens to [7], [3, 5] and [9]; their offsets
    are [0, 1, 3].

    `lengths` and `kinds`, a `Match` for each student token, have the shape (V,), `token_ids` (sum of lengths,).
    """

    token_ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    kinds: NDArray[np.int8]

    def count(self, kind: Match) -> int:
        """Count the student tokens of a kind."""
        return int((self.kinds == kind).sum())

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each token's ids begin, int64, shape (V,)."""
        return np.concatenate(([0], np.cumsum(self.lengths)[:-1])).astype(np.int64)


def map_tokens(teacher: TokenizerSpec, student: TokenizerSpec) -> TokenMap:
    """Map each student token to the teacher tokens of its text, in its position in a word.

    `##lik` becomes the teacher's continued pieces (`##li`, `##k`), not the pieces of a word "lik"; `lik` of a family
    that marks spaces becomes pieces without a space. Two tokens are the same when they stand for the same bytes in the
    same position, so the name alone decides only where both tokenizers write tokens in one alphabet. Special tokens
    are mapped to those with the same name, or else the same role; no other token is mapped to a token of the template.
    The tokenizers may be of different families.
    """
    teacher_vocab, student_vocab = teacher.vocab, student.vocab
    tokens = sorted(student_vocab, key=student_vocab.__getitem__)
    special = match_special_tokens(student, teacher)
    alphabet = TokenAlphabet.of(teacher)
    by_name: Mapping[str, int] = teacher_vocab if alphabet.kind == TokenAlphabet.of(student).kind else {}
    rows = [[teacher_vocab[special[token]] if token in special else by_name.get(token, -1)] for token in tokens]
    new = [student_id for student_id, row in enumerate(rows) if row == [-1]]
    kinds = np.full(len(tokens), Match.EXACT, dtype=np.int8)
    unk_id = teacher_vocab.get(teacher.unk_token or "", -1)
    byte_ids = {teacher_vocab[token] for token in BYTE_TOKENS if token in teacher_vocab and alphabet.byte_tokens}
    pieces, is_same = _teacher_pieces(teacher, student, [tokens[student_id] for student_id in new])
    for student_id, piece_ids, same in zip(new, pieces, is_same, strict=True):
        rows[student_id] = piece_ids or [max(unk_id, 0)]
        if not same:
            kinds[student_id] = _kind(piece_ids, unk_id, byte_ids)
    return flat_map(rows, kinds)


def _kind(piece_ids: Sequence[int], unk_id: int, byte_ids: set[int]) -> Match:
    if not piece_ids or unk_id in piece_ids:
        return Match.UNKNOWN
    return Match.BYTE if byte_ids.issuperset(piece_ids) else Match.COMPOSED


def _teacher_pieces(
    teacher: TokenizerSpec, student: TokenizerSpec, tokens: list[str]
) -> tuple[list[list[int]], list[bool]]:
    """Return the teacher's ids of the text of each of the student's tokens, and which of them are the same token."""
    alphabet, student_alphabet = TokenAlphabet.of(teacher), TokenAlphabet.of(student)
    none_same = [False] * len(tokens)
    if alphabet == student_alphabet and alphabet.kind == "words":
        return _compose(teacher, tokens, teacher.vocab), none_same
    if alphabet == student_alphabet and teacher.spec["normalizer"] == student.spec["normalizer"]:
        return list(segment(model_only_tokenizer(teacher.spec["model"]), tokens)), none_same
    surfaces = _surfaces(student, student_alphabet, tokens)
    pieces = _pieces_of_text(teacher, alphabet, surfaces)
    token_of = {token_id: token for token, token_id in teacher.model_vocab.items()}
    is_same = [
        len(ids) == 1 and ids[0] in token_of and alphabet.decode(token_of[ids[0]])[0] == text.encode(errors=_ESCAPED)
        for ids, (text, _) in zip(pieces, surfaces, strict=True)
    ]
    return pieces, is_same


def _surfaces(student: TokenizerSpec, alphabet: TokenAlphabet, tokens: list[str]) -> list[tuple[str, bool]]:
    """Return the text of each token, bytes that are no text as surrogates, and whether a space comes before it."""
    added = set(student.added_tokens)
    decoded = [(token.encode(), False) if token in added else alphabet.decode(token) for token in tokens]
    surfaces = [(text.decode(errors=_ESCAPED), begins) for text, begins in decoded]
    if alphabet.kind != "words":
        return surfaces
    # A tokenizer that splits punctuation off does not say whether a space was before it: mostly there was none.
    backend = student.load()
    return [(text, begins and not _is_split_off(backend, text)) for text, begins in surfaces]


def _is_split_off(tokenizer: Tokenizer, text: str) -> bool:
    return _words_of(tokenizer, "a" + text)[0] == "a"


def _pieces_of_text(
    teacher: TokenizerSpec, alphabet: TokenAlphabet, surfaces: Sequence[tuple[str, bool]]
) -> list[list[int]]:
    """Return the teacher's ids of texts that may begin or end inside a character."""
    is_bytes = alphabet.kind == "bytes"  # it writes parts of characters as any other text
    parts = [
        (number, part, begins and place == 0, not is_bytes and place % 2 == 1)
        for number, (text, begins) in enumerate(surfaces)
        for place, part in enumerate([text] if is_bytes else _NO_TEXT.split(text))
        if part or (alphabet.kind != "words" and begins and place == 0)
    ]
    texts = [(part, begins) for _, part, begins, no_text in parts if not no_text]
    read_bytes = _byte_reader(teacher, alphabet)
    pieces_of_texts = iter(_read_texts(teacher, alphabet, texts))
    pieces: list[list[int]] = [[] for _ in surfaces]
    for number, part, _, no_text in parts:
        pieces[number] += read_bytes(part.encode(errors=_ESCAPED)) if no_text else next(pieces_of_texts)
    return pieces


def _read_texts(
    teacher: TokenizerSpec, alphabet: TokenAlphabet, texts: Sequence[tuple[str, bool]]
) -> Iterable[list[int]]:
    backend = teacher.load()
    if alphabet.kind == "words":
        words = [text if begins or _is_split_off(backend, text) else PREFIX + text for text, begins in texts]
        return _compose(teacher, words, teacher.vocab)
    # What the normalizer puts before every text belongs only where a word begins.
    lead = normalize(backend, "a").replace(SPACE, " ").partition("a")[0]

    def normalize_inside(text: str) -> str:
        if backend.normalizer is None or _NO_TEXT.search(text):
            return text
        normalized = normalize(backend, text).replace(SPACE, " ").removeprefix(lead)
        return normalized or (" " if text.isspace() else "")

    encoded = [alphabet.encode(normalize_inside(text).encode(errors=_ESCAPED), begins) for text, begins in texts]
    return segment(model_only_tokenizer(teacher.spec["model"]), encoded)


def _byte_reader(teacher: TokenizerSpec, alphabet: TokenAlphabet) -> Callable[[bytes], list[int]]:
    """Return how the teacher reads a part of a character: as byte tokens, or else as characters that have this part."""
    vocab = teacher.vocab
    if alphabet.byte_tokens:
        return lambda part: [vocab[BYTE_TOKENS[byte]] for byte in part if BYTE_TOKENS[byte] in vocab]
    decoded = ((alphabet.decode(token)[0], token_id) for token, token_id in teacher.model_vocab.items())
    characters = [(text, number) for text, number in decoded if text and len(text) == _LENGTHS[text[0] >> 4] > 1]
    return lambda part: [token_id for text, token_id in characters if part in text][:_MOST_CHARACTERS]


def compose_from_others(student: TokenizerSpec, without: NDArray[np.int64]) -> TokenMap:
    """Map each id of `without`, tokens of the student's model, to ids of its other tokens, in position."""
    vocab = student.model_vocab
    token_of = {token_id: token for token, token_id in vocab.items()}
    tokens = [token_of[token_id] for token_id in without.tolist()]
    left_out = set(tokens)
    rest = {token: token_id for token, token_id in vocab.items() if token not in left_out}
    if student.family == "WordPiece":
        rows = _compose(student, tokens, rest)
    else:
        reduced = model_only_tokenizer(subword_model(student).build(rest, [], []))
        token_of = {token_id: token for token, token_id in reduced.get_vocab().items()}
        rows = [[vocab[token_of[token_id]] for token_id in token_ids] for token_ids in segment(reduced, tokens)]
    unk_id = vocab.get(student.unk_token or "", -1)
    kinds = np.array([_kind(token_ids, unk_id, set()) for token_ids in rows], dtype=np.int8)
    return flat_map([token_ids or [0] for token_ids in rows], kinds)


def flat_map(rows: Sequence[Sequence[int]], kinds: NDArray[np.int8]) -> TokenMap:
    """Return a map of the teacher ids of each student token, none of them empty, and their kinds."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    token_ids = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
    return TokenMap(token_ids=token_ids, lengths=lengths, kinds=kinds)


def _compose(tokenizer: TokenizerSpec, tokens: list[str], vocab: Mapping[str, int]) -> list[list[int]]:
    """Return ids from a vocabulary for each token's text, as a tokenizer normalizes and splits it; never empty."""
    backend = tokenizer.load()
    unk_token = tokenizer.spec["model"]["unk_token"]
    word_segmenter = segmenter(vocab, unk_token)
    # Inside a word there are only continued pieces: a segmenter of these, their prefix taken off.
    continued = {t.removeprefix(PREFIX): i for t, i in vocab.items() if t.startswith(PREFIX)}
    inside_segmenter = segmenter(continued | {unk_token: vocab[unk_token]}, unk_token, prefix="")
    surfaces = [_words_of(backend, token.removeprefix(PREFIX)) or [unk_token] for token in tokens]
    first_words = [words[0] for words in surfaces]
    heads = [
        inside_ids if token.startswith(PREFIX) else word_ids
        for token, word_ids, inside_ids in zip(
            tokens, segment(word_segmenter, first_words), segment(inside_segmenter, first_words), strict=True
        )
    ]
    tails = segment(word_segmenter, [word for words in surfaces for word in words[1:]])
    return [head + [i for _ in words[1:] for i in next(tails)] for head, words in zip(heads, surfaces, strict=True)]


def _words_of(tokenizer: Tokenizer, surface: str) -> list[str]:
    text = normalize(tokenizer, surface)
    if tokenizer.pre_tokenizer is None:
        return [text] if text else []
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
